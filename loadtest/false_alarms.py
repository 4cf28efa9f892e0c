"""How often the default detectors alarm for nothing, and how late they are when there is cause.

    python -m loadtest.false_alarms --updates 1e8 --lives 20000

Prints three tables. False alarms per 100 million updates, with the upper end of the 95 %
interval, on signals as the detectors see them (ranks, spreads, 0/1 rates); the share of young
detectors that alarm for nothing among their first 2,000 values, when their own means are
still rough; and delays in values, changes coming after 5,000 quiet values.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from streamdrift.detectors import DEFAULT_DETECTORS, DetectorSettings, make_bank
from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints

SLOTS = 64
BLOCK = 20_000
YOUNG = 2_000
QUIET = 5_000
HORIZON = 5_000
REFERENCE = 10_000
UNIFORM_SCALE = math.sqrt(1 / 12)

Draw = Callable[[np.random.Generator, int, int], Floats]
"""Draws float64[rows, columns] of a signal."""


class Stream(NamedTuple):
    """A signal, and the standard deviation its reference would state."""

    draw: Draw
    scale: float


@kernel
def ranks(values: Floats, memory: float) -> Floats:
    """Return the ranks, in a normal reference, of rows that remember `memory` of what was.

    Row by row y[i] = memory * y[i - 1] + values[i]; the rank is the normal distribution's.
    """
    result = np.empty_like(values)
    for row in range(values.shape[0]):
        past = 0.0
        for column in range(values.shape[1]):
            past = memory * past + values[row, column]
            result[row, column] = 0.5 * math.erfc(-past * math.sqrt(0.5))
    return result


def rate(share: float) -> Stream:
    smoothed = (share * REFERENCE + 0.5) / (REFERENCE + 1)
    return Stream(
        lambda random, rows, columns: (random.random((rows, columns)) < share).astype(np.float64),
        math.sqrt(smoothed * (1 - smoothed)),
    )


def rank(shift: float = 0.0, factor: float = 1.0) -> Stream:
    """Ranks, in a standard normal reference, of normal values moved and stretched."""
    return Stream(
        lambda random, rows, columns: ranks(random.normal(shift, factor, (rows, columns)), 0.0),
        UNIFORM_SCALE,
    )


def spread(factor: float = 1.0) -> Stream:
    return Stream(
        lambda random, rows, columns: np.abs(2 * rank(0, factor).draw(random, rows, columns) - 1),
        UNIFORM_SCALE,
    )


def uniform(random: np.random.Generator, rows: int, columns: int) -> Floats:
    return random.random((rows, columns))


def autocorrelated(random: np.random.Generator, rows: int, columns: int) -> Floats:
    noise = random.normal(0, math.sqrt(0.75), (rows, columns))
    return ranks(noise, 0.5)


def cycle(period: int) -> Draw:
    def draw(random: np.random.Generator, rows: int, columns: int) -> Floats:
        wave = 0.5 * np.sin(2 * np.pi * np.arange(columns) / period)
        return ranks((random.normal(0, 1, (rows, columns)) + wave) / 1.06, 0.0)

    return draw


NULLS: Mapping[str, Stream] = {
    "rank (uniform)": Stream(uniform, UNIFORM_SCALE),
    "spread": Stream(
        lambda random, rows, columns: np.abs(2 * uniform(random, rows, columns) - 1),
        UNIFORM_SCALE,
    ),
} | {f"rate {share:g}": rate(share) for share in (0, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5)}

HARD_NULLS: Mapping[str, Stream] = {
    "rank, AR(1) 0.5": Stream(autocorrelated, UNIFORM_SCALE),
    "rank, cycle of 0.5 sd, period 1,000": Stream(cycle(1000), UNIFORM_SCALE),
    "rank, cycle of 0.5 sd, period 10,000": Stream(cycle(10_000), UNIFORM_SCALE),
}

CHANGES: Mapping[str, tuple[Stream, Stream]] = {
    "rank, mean +0.25 sd": (rank(), rank(0.25)),
    "rank, mean +0.5 sd": (rank(), rank(0.5)),
    "rank, mean +1 sd": (rank(), rank(1)),
    "rank, mean -1 sd": (rank(), rank(-1)),
    "rank, mean +2 sd": (rank(), rank(2)),
    "spread, sd x 1.5": (spread(), spread(1.5)),
    "spread, sd x 2": (spread(), spread(2)),
    "spread, sd x 0.5": (spread(), spread(0.5)),
} | {
    f"rate {before:g} to {after:g}": (rate(before), rate(after))
    for before, after in (
        (0, 0.01),
        (0, 0.03),
        (0, 0.1),
        (0, 1),
        (0.001, 0.05),
        (0.01, 0.03),
        (0.01, 0.1),
        (0.05, 0.15),
        (0.2, 0.3),
        (0.2, 0.4),
        (0.5, 0.7),
        (0.5, 0.3),
    )
}


def alarms_in(
    settings: DetectorSettings, stream: Stream, random: np.random.Generator, blocks: int
) -> int:
    """Count alarms over `blocks` blocks of SLOTS signals; a slot starts anew after its own."""
    bank = make_bank(settings, np.full(SLOTS, stream.scale))
    rows = np.arange(SLOTS)
    alarms = 0
    for _ in range(blocks):
        values = stream.draw(random, SLOTS, BLOCK)
        start = np.zeros(SLOTS, dtype=np.int64)
        while (start < BLOCK).any():
            found = bank.update(values, rows, start)
            start = found + 1
            for slot in np.flatnonzero(found < BLOCK).tolist():
                alarms += 1
                bank.reset(slot)
    return alarms


def first_alarms(settings: DetectorSettings, values: Floats, scale: float) -> Ints:
    """Return where each row, seen by a new detector, raises its first alarm."""
    bank = make_bank(settings, np.full(len(values), scale))
    return bank.update(values, np.arange(len(values)), np.zeros(len(values), dtype=np.int64))


def upper(count: int) -> float:
    """Return the upper end of the 95 % interval of a Poisson mean of which `count` were seen.

    Wilson and Hilferty's approximation of the chi-square quantile.
    """
    if count == 0:
        return 3.0
    mean = count + 1
    return float(mean * (1 - 1 / (9 * mean) + 1.96 / (3 * math.sqrt(mean))) ** 3)


def print_false_alarms(streams: Mapping[str, Stream], updates: float, lives: int) -> None:
    blocks = max(round(updates / (SLOTS * BLOCK)), 1)
    million = blocks * SLOTS * BLOCK / 1e8
    print(f"\nfalse alarms per 100 million of {million * 1e8:,.0f} updates (95 % upper end);")
    print(f"and among the first {YOUNG:,} values, in % of {lives:,} new detectors")
    for name, stream in streams.items():
        cells, begun = [], time.perf_counter()
        for settings in DEFAULT_DETECTORS:
            random = np.random.default_rng(1)
            alarms = alarms_in(settings, stream, random, blocks)
            young = sum(
                int(np.sum(first_alarms(settings, values, stream.scale) < YOUNG))
                for values in (stream.draw(random, 500, YOUNG) for _ in range(max(lives // 500, 1)))
            )
            cells.append(
                f"{settings.kind}: {alarms / million:10.2f} (< {upper(alarms) / million:.2f})"
                f" young {100 * young / lives:7.3f} %"
            )
        print(f"{name:38}", " | ".join(cells), f" {time.perf_counter() - begun:.0f} s", flush=True)


def print_delays(repetitions: int) -> None:
    print(f"\ndelay in values: mean / 90 % quantile [% found in {HORIZON:,}], {repetitions} times")
    for name, (before, after) in CHANGES.items():
        random = np.random.default_rng(2)
        values = np.concatenate(
            [before.draw(random, repetitions, QUIET), after.draw(random, repetitions, HORIZON)],
            axis=1,
        )
        found = [first_alarms(one, values, before.scale) for one in DEFAULT_DETECTORS]
        cells = []
        for kind, first in [
            *zip((one.kind for one in DEFAULT_DETECTORS), found, strict=True),
            ("first of all", np.min(found, axis=0)),
        ]:
            delay = first - QUIET + 1
            share = 100 * np.mean(first < QUIET + HORIZON)
            cells.append(
                f"{kind}: {np.mean(delay):6.0f} / {np.quantile(delay, 0.9):5.0f} [{share:3.0f}]"
            )
        print(f"{name:24}", " | ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=float, default=2e7, help="for each signal")
    parser.add_argument("--lives", type=int, default=5_000, help="new detectors for each signal")
    parser.add_argument("--repetitions", type=int, default=300, help="of each change")
    arguments = parser.parse_args()
    for settings in DEFAULT_DETECTORS:
        print(settings)
    print_delays(arguments.repetitions)
    print_false_alarms(NULLS, arguments.updates, arguments.lives)
    print_false_alarms(HARD_NULLS, arguments.updates / 20, arguments.lives // 10)


if __name__ == "__main__":
    main()
