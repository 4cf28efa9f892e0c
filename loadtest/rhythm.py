"""A service's weeks: false incidents of a signal with a daily rhythm, and how late changes are.

python -m loadtest.rhythm --rate 100 --weeks 4 --seeds 3

Events of one model with one number, through the pure core. Their rate has a daily cycle of
+-50 % and is less on weekends; the number has a daily cycle of `--amplitude` standard deviations
(half of its range), and its level on weekends differs by `--weekend`. With `--memory` its noise
is an autoregression. With `--share` it is a boolean that is true so often, and the amplitude and
the rest are those of its chance. Prints the incidents of each week, and then, from copies of the
state at the ends of the second and later weeks, how long a change of 1 sd (of a chance by .2) takes
to be told.
"""

import argparse
import math
import time as clock
from collections import Counter
from dataclasses import dataclass

import numpy as np

from streamdrift.durations import DAY, SECOND
from streamdrift.kernels.compiler import kernel
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import (
    Alert,
    Batch,
    Column,
    ColumnKey,
    Floats,
    Group,
    Ints,
    Kind,
    Partition,
    Released,
)

BATCH = 8_192
WEEK = 7 * DAY
KEY = ColumnKey(Group.FEATURE, "x")
START = 1_767_571_200 * SECOND
"""2026-01-05T00:00:00Z, a Monday."""
WATCHED = 3_600 * SECOND
"""Event time for which a change is waited for."""


@dataclass(frozen=True)
class Shape:
    """What the stream is like."""

    rate: float
    amplitude: float
    weekend: float
    memory: float
    wander: float
    """Standard deviation of a level that wanders, with a memory of a day."""
    share: float
    """How often a boolean is true; 0 for a number."""
    kind: str
    """`sine`, `office` (up from 8 to 18 h on workdays, ramps of half an hour) or `none`."""


@kernel
def fill(
    gaps: Floats,
    noise: Floats,
    steps: Floats,
    shape: Floats,
    office: int,
    state: Floats,
    times: Ints,
    values: Floats,
) -> None:
    """Fill times and values from exponential gaps and normal noise; `state` moves on.

    `shape` holds rate a second, amplitude, weekend, memory, wander, and the shift; `state` the
    time in seconds since START, the noise's last value and the wandering level.
    """
    rate, amplitude, weekend, memory, wander = shape[0], shape[1], shape[2], shape[3], shape[4]
    scale = math.sqrt(1.0 - memory * memory)
    for i in range(len(gaps)):
        now = state[0]
        hour = (now / 3_600.0) % 24.0
        rests = (now / 86_400.0) % 7.0 >= 5.0
        busy = 1.0 + 0.5 * math.sin(2 * math.pi * (hour - 9.0) / 24.0)
        gap = gaps[i] / (rate * busy * (0.6 if rests else 1.0))
        state[0] += gap
        state[1] = memory * state[1] + scale * noise[i]
        kept = math.exp(-gap / 86_400.0)
        state[2] = kept * state[2] + wander * math.sqrt(1.0 - kept * kept) * steps[i]
        level = amplitude * math.sin(2 * math.pi * (hour - 9.0) / 24.0)
        if office:
            up = min(max(min(hour - 8.0, 18.0 - hour) * 2.0, 0.0), 1.0)
            level = 2 * amplitude * (0.0 if rests else up)
        if rests:
            level += weekend
        times[i] = int(state[0] * 1e6)
        values[i] = level + state[1] + state[2] + shape[5]


def _column(kind: Kind, values: Floats) -> Column:
    """Return values as a column; what is above 0 is true."""
    numbers = (values > 0).astype(np.float64) if kind is Kind.BOOLEAN else values
    return Column(np.full(len(values), kind, dtype=np.uint8), numbers, None, (), None)


class Service:
    """One model's stream and its monitor."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self.random = np.random.default_rng(seed)
        self.state = np.zeros(3)
        self.offset = 0
        self.settings = ModelSettings()
        self.monitor = Monitor(lambda _: self.settings)
        self.notices: list[str] = []

    def step(self, shift: float = 0.0) -> list[Alert]:
        """Observe another batch."""
        draw, shape = self.random, self.shape
        times, values = np.empty(BATCH, np.int64), np.empty(BATCH)
        steps = draw.standard_normal(BATCH) if shape.wander else np.zeros(BATCH)
        # What a chance exceeds is true.
        flags = shape.share > 0
        noise = shape.share - draw.random(BATCH) if flags else draw.standard_normal(BATCH)
        numbers = (shape.rate, shape.amplitude, shape.weekend, shape.memory, shape.wander, shift)
        fill(
            draw.standard_exponential(BATCH),
            noise,
            steps,
            np.array(numbers)
            if shape.kind != "none"
            else np.array([*numbers[:1], 0, 0, *numbers[3:]]),
            int(shape.kind == "office"),
            self.state,
            times,
            values,
        )
        batch = Batch(
            "m",
            "1",
            (Partition("t", 0),),
            np.zeros(BATCH, dtype=np.int32),
            np.arange(self.offset, self.offset + BATCH, dtype=np.int64),
            np.zeros(BATCH, dtype=np.int32),
            np.zeros(BATCH, dtype=np.uint64),
            START + times,
            {KEY: _column(Kind.BOOLEAN if flags else Kind.NUMBER, values)},
        )
        self.offset += BATCH
        observed = self.monitor.observe(Released((batch,), int(batch.time[-1])))
        for notice in observed.notices:
            self.notices.append(f"{self.state[0] / 86_400:.2f} d {notice.event}: {notice.fields}")
        return list(observed.alerts)

    @property
    def now(self) -> int:
        """Event time since the beginning."""
        return int(self.state[0] * 1e6)


def delay(service: Service, shift: float) -> float:
    """Return the seconds a shift takes to open an incident, inf if none does in WATCHED."""
    tried = Service(service.shape, 1)
    tried.random = np.random.default_rng(service.offset)
    tried.state, tried.offset = service.state.copy(), service.offset
    tried.monitor.restore(service.monitor.snapshot())
    since = START + tried.now
    while START + tried.now < since + WATCHED:
        for alert in tried.step(shift):
            if alert.type == "opened" and alert.version and alert.time >= since:
                return (alert.time - since) / SECOND
    return math.inf


def run(
    shape: Shape, weeks: int, seed: int, *, told: bool
) -> tuple[list[int], list[int], list[float]]:
    """Return the incidents of the number, and of the event rate, in each week; delays of 1 sd."""
    service = Service(shape, seed)
    opened, rates = [0] * weeks, [0] * weeks
    delays = []
    probes = [(7 * week + day / 3) * DAY for week in range(1, weeks) for day in (1, 6, 14)]
    probes = [0.2 * DAY, 2.6 * DAY, 5.7 * DAY, *probes]
    while service.now < weeks * WEEK:
        for alert in service.step():
            if told:
                at = (alert.time - START) / DAY
                print(f"  {at:7.3f} d {alert.type} {alert.data.get('summary')}", flush=True)
            if alert.type == "opened":
                week = (alert.time - START) // WEEK
                (rates if alert.version == "" else opened)[min(week, weeks - 1)] += 1
        if probes and service.now >= probes[0]:
            probes.pop(0)
            delays.append(delay(service, 0.2 if shape.share else 1.0))
    if told:
        print("\n".join(service.notices))
    return opened, rates, delays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--amplitude", type=float, default=0.5)
    parser.add_argument("--weekend", type=float, default=0.0)
    parser.add_argument("--memory", type=float, default=0.0)
    parser.add_argument("--wander", type=float, default=0.0)
    parser.add_argument("--share", type=float, default=0.0, help="how often a boolean is true")
    parser.add_argument("--kind", choices=("sine", "office", "none"), default="sine")
    parser.add_argument("--told", action="store_true", help="print alerts and notices")
    asked = parser.parse_args()
    shape = Shape(
        asked.rate,
        asked.amplitude,
        asked.weekend,
        asked.memory,
        asked.wander,
        asked.share,
        asked.kind,
    )
    weeks = Counter[int]()
    for seed in range(asked.first, asked.first + asked.seeds):
        began = clock.perf_counter()
        opened, rates, delays = run(shape, asked.weeks, seed, told=asked.told)
        weeks.update(dict(enumerate(opened)))
        took = clock.perf_counter() - began
        seconds = " ".join(f"{each:.1f}" for each in delays)
        print(
            f"seed {seed}: opened by week {opened}, by the event rate {rates}; "
            f"changes after {seconds} s ({took:.0f} s)",
            flush=True,
        )
    later = sum(count for week, count in weeks.items() if week)
    print(
        f"{asked.seeds} seeds: {weeks.total() / asked.seeds / asked.weeks:.2f} a week, "
        f"{weeks[0] / asked.seeds:.2f} in the first, "
        f"{later / asked.seeds / max(asked.weeks - 1, 1):.2f} a week from the second on"
    )


if __name__ == "__main__":
    main()
