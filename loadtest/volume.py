"""How often the event rate of a model alarms for nothing, and how late it is when there is cause.

    python -m loadtest.volume --seeds 1 2 3 4 --weeks 4 --runs 20

Prints two tables: changes told in each week of traffic in which nothing changes, of each seed; and
the delay of changes, in seconds of event time, by how long the model has been watched.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.changes import Step, StepKind
from streamdrift.durations import SECOND
from streamdrift.kernels.compiler import kernel
from streamdrift.models.settings import ModelSettings
from streamdrift.records import Floats
from streamdrift.signals.volume import LENGTHS, WANTED, Counted
from streamdrift.volume.event_rate import Volume

BEGIN = 1_767_571_200
"""A Monday's midnight, UTC, in seconds: 2026-01-05."""
DAY, WEEK = 86_400, 7 * 86_400
_CHUNK = 6 * 3_600
_PATIENCE = 3_600
"""Seconds for which a change is waited for."""


class Shape(NamedTuple):
    """Traffic: its mean rate, and the logarithm of its rhythm at seconds from BEGIN."""

    rate: float
    rhythm: Callable[[Floats], Floats]
    spread: float = 0.0
    """Standard deviation of independent disturbances of each second, in logarithms."""
    wander: tuple[float, float] = (0.0, 1.0)
    """Standard deviation and time constant, in seconds, of disturbances that last."""
    regular: bool = False
    """Whether events come at even distances."""


def _flat(times: Floats) -> Floats:
    return np.zeros(len(times))


def _daily(times: Floats) -> Floats:
    return np.log1p(0.5 * np.sin(2 * np.pi * times / DAY))


def _weekly(times: Floats) -> Floats:
    """Half more and half less by day and night, and 0.6 of it at weekends, at once."""
    return _daily(times) + np.where(times // DAY % 7 >= 5, math.log(0.6), 0.0)


def _office(times: Floats) -> Floats:
    """Three times as much from 9 to 17, coming and going within an hour; weekends without."""
    hours = times / 3_600 % 24
    there = np.clip(hours - 8.5, 0, 1) * np.clip(17.5 - hours, 0, 1)
    return math.log(3) * there * (times // DAY % 7 < 5)


def _batch(times: Floats) -> Floats:
    """Have a job that triples the rate every night from 2:00 to 2:30."""
    hours = times / 3_600 % 24
    return _daily(times) + math.log(3) * ((hours >= 2) & (hours < 2.5))


def _growing(times: Floats) -> Floats:
    return _daily(times) + 0.05 * times / WEEK


QUIET: Mapping[str, Shape] = {
    "100/s, +-50 % a day, weekends x0.6": Shape(100, _weekly),
    "100/s, office hours x3": Shape(100, _office),
    "100/s, +-50 %, nightly job x3": Shape(100, _batch),
    "100/s, +-50 %, growing 5 % a week": Shape(100, _growing),
    "100/s, +-50 %, each second +-20 %": Shape(100, _daily, spread=0.2),
    "100/s, +-50 %, bursts +-20 % of 20 s": Shape(100, _daily, wander=(0.2, 20.0)),
    "100/s, +-50 %, bursts +-20 % of 5 min": Shape(100, _daily, wander=(0.2, 300.0)),
    "100/s, +-50 %, wandering +-10 % over 2 h": Shape(100, _daily, wander=(0.1, 7_200.0)),
    "100/s, at even distances": Shape(100, _flat, regular=True),
    "5/s, +-50 % a day, weekends x0.6": Shape(5, _weekly),
    "1 a minute, +-50 % a day, weekends x0.6": Shape(1 / 60, _weekly),
}
FACTORS = (1.1, 1.2, 1.5, 2.0, 0.8, 0.5)
AFTER = {"2 h": 2 * 3_600, "3 d": 3 * DAY, "10 d": 10 * DAY}


@kernel
def _remembered(noise: Floats, kept: float, before: float) -> float:
    """Turn white noise float64[n] into noise that remembers; return its last value."""
    for i in range(len(noise)):
        before = kept * before + noise[i]
        noise[i] = before
    return before


class Source:
    """Draws the events of a shape, chunk after chunk."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._random = np.random.default_rng(seed)
        self._last = 0.0
        self._owed = 0.0

    def counts(self, start: int, stop: int, factor: Callable[[Floats], Floats]) -> Floats:
        """Return the events of each second, times a factor of that second."""
        shape = self._shape
        seconds = np.arange(start, stop, dtype=np.float64)
        logs = shape.rhythm(seconds)
        if shape.spread:
            logs = logs + shape.spread * self._random.standard_normal(len(seconds))
        size, constant = shape.wander
        if size:
            kept = math.exp(-1 / constant)
            noise = size * math.sqrt(1 - kept * kept) * self._random.standard_normal(len(seconds))
            self._last = _remembered(noise, kept, self._last)
            logs = logs + noise
        rates = shape.rate * np.exp(logs) * factor(seconds)
        if not shape.regular:
            return self._random.poisson(rates).astype(np.float64)
        whole = np.floor(np.cumsum(rates) + self._owed)
        counts: Floats = np.diff(whole, prepend=0.0)
        self._owed += float(rates.sum()) - float(counts.sum())
        return counts


def _one(seconds: Floats) -> Floats:
    return np.ones(len(seconds))


def told(
    shape: Shape,
    seed: int,
    seconds: int,
    factor: Callable[[Floats], Floats] = _one,
    since: int | None = None,
) -> list[Step]:
    """Return what the event rate says of so many seconds; up to its first change after `since`.

    Bins are counted here: events would only cost time.
    """
    fitting = (each for each in LENGTHS if shape.rate * each >= WANTED)
    length = next(fitting, LENGTHS[-1])
    volume = Volume("model", ModelSettings().of_volume(), length * SECOND)
    source, start, steps = Source(shape, seed), 0, list[Step]()
    while start < seconds:
        size = _CHUNK if since is None or start + _CHUNK <= since else 60 * length
        counts = source.counts(start, start + size, factor).astype(np.int64)
        sums = counts.reshape(-1, length).sum(axis=1)
        steps += volume.take(Counted((BEGIN + start) // length + np.arange(len(sums)), sums))
        start += size
        if since is not None and any(_is_alarm(step, since) for step in steps):
            break
    return steps


def _is_alarm(step: Step, since: float) -> bool:
    return step.kind is StepKind.CHANGED and step.time > (BEGIN + since) * SECOND


def by_week(steps: Sequence[Step], weeks: int) -> list[int]:
    """Return how many changes there were in each week."""
    found = [0] * weeks
    for step in steps:
        if step.kind is StepKind.CHANGED:
            found[min(int((step.time / SECOND - BEGIN) // WEEK), weeks - 1)] += 1
    return found


def delay(factor: float, since: int, seed: int, shape: Shape) -> float:
    """Return the seconds until a change of the rate is told; infinite after an hour."""
    steps = told(
        shape,
        seed,
        since + _PATIENCE,
        lambda seconds: np.where(seconds >= since, factor, 1.0),
        since,
    )
    alarms = [step.time / SECOND - BEGIN - since for step in steps if _is_alarm(step, since)]
    return min(alarms, default=math.inf)


def print_quiet(seeds: Sequence[int], weeks: int, only: str) -> None:
    settings = ModelSettings()
    allowed = settings.alert_budget.per_week
    print(f"\nchanges told by week, {len(seeds)} seeds; the whole model is allowed {allowed:g}")
    for name, shape in QUIET.items():
        if only in name:
            runs = [by_week(told(shape, seed, weeks * WEEK), weeks) for seed in seeds]
            cells = [" ".join(f"{run[week]}" for run in runs) for week in range(weeks)]
            print(f"{name:44}", " | ".join(cells), flush=True)


def print_delays(runs: int) -> None:
    shape = Shape(100, _weekly)
    print(
        f"\nseconds to a change of 100/s, +-50 %: median / largest [found in an hour], {runs} runs"
    )
    for name, since in AFTER.items():
        for factor in FACTORS:
            # Not always at the same time of day.
            delays = [delay(factor, since + 3_137 * run, run, shape) for run in range(runs)]
            found = sum(map(math.isfinite, delays))
            print(
                f"x{factor:<4g} after {name:5}",
                f"{np.median(delays):6.0f} / {max(delays):6.0f} [{found}]",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--runs", type=int, default=20, help="of each change; 0: no delays")
    parser.add_argument("--only", default="", help="traffic whose name contains this")
    arguments = parser.parse_args()
    print_quiet(arguments.seeds, arguments.weeks, arguments.only)
    if arguments.runs:
        print_delays(arguments.runs)


if __name__ == "__main__":
    main()
