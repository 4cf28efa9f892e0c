"""How often detectors alarm for nothing beside what was asked, and how late they are.

    python -m loadtest.false_alarms --run-length 1e5 --updates 2e7

Counts alarms; nothing is estimated. The first table says what share of the alarms that were asked
for came (1 is as asked), with the upper end of the 95 % interval, on signals as the detectors see
them: ranks under an exact reference, and 0/1 values. Each slot starts anew after its alarm, and
after as many values as the run length, so that old age hides nothing. The second table has the
mean delay of changes, and the share that is found; changes come after 5,000 quiet values.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors import (
    RATES_ONLY,
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    EDetectorSettings,
    Expected,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    make_bank,
)
from streamdrift.kernels import kernel
from streamdrift.records import Floats, Stream

SLOTS = 64
BLOCK = 10_000
QUIET = 5_000
HORIZON = 5_000

DETECTORS: Mapping[str, DetectorSettings] = {
    "e-detector": EDetectorSettings(),
    "FOCuS": FocusSettings(),
    "FOCuS (unknown)": FocusSettings(mean="unknown"),
    "ADWIN": AdwinSettings(),
    "Page-Hinkley": PageHinkleySettings(),
    "HDDM-A": HddmASettings(),
    "HDDM-W": HddmWSettings(),
    "KSWIN": KswinSettings(),
    "DDM": DdmSettings(),
    "EDDM": EddmSettings(),
}

Draw = Callable[[np.random.Generator, int, int], Floats]
"""Draws float64[rows, columns] of a signal."""


class Signal(NamedTuple):
    """A signal, and what its reference would say of it."""

    draw: Draw
    expected: Expected


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


def rate(share: float) -> Signal:
    return Signal(
        lambda random, rows, columns: (random.random((rows, columns)) < share).astype(np.float64),
        Expected.of_rate(1e4 * (1 - share), 1e4 * share),
    )


def rank(shift: float = 0.0, factor: float = 1.0) -> Signal:
    """Ranks, in a standard normal reference, of normal values moved and stretched."""
    return Signal(
        lambda random, rows, columns: ranks(random.normal(shift, factor, (rows, columns)), 0.0),
        Expected(Stream.NUMERIC),
    )


def autocorrelated(random: np.random.Generator, rows: int, columns: int) -> Floats:
    return ranks(random.normal(0, math.sqrt(0.75), (rows, columns)), 0.5)


def cycle(random: np.random.Generator, rows: int, columns: int) -> Floats:
    wave = 0.5 * np.sin(2 * np.pi * np.arange(columns) / 1_000)
    return ranks((random.normal(0, 1, (rows, columns)) + wave) / 1.06, 0.0)


NULLS: Mapping[str, Signal] = {
    "ranks": Signal(lambda random, *shape: random.random(shape), Expected(Stream.NUMERIC)),
    **{f"rate {share:g}": rate(share) for share in (0.5, 0.2, 0.05, 0.02, 0.01, 0.001, 1e-4)},
    "ranks, AR(1) 0.5": Signal(autocorrelated, Expected(Stream.NUMERIC)),
    "ranks, cycle of 0.5 sd": Signal(cycle, Expected(Stream.NUMERIC)),
}
"""The last two show what dependence does to detectors that are told nothing of it."""

CHANGES: Mapping[str, tuple[Signal, Signal]] = {
    **{f"mean {shift:+g} sd": (rank(), rank(shift)) for shift in (0.25, 0.5, 1, -1, 2)},
    **{f"sd x {factor:g}": (rank(), rank(0, factor)) for factor in (1.5, 2, 0.5)},
    **{
        f"rate {before:g} to {after:g}": (rate(before), rate(after))
        for before, after in (
            (0.001, 0.05),
            (0.01, 0.03),
            (0.05, 0.07),
            (0.05, 0.15),
            (0.2, 0.25),
            (0.2, 0.3),
            (0.2, 0.1),
            (0.5, 0.7),
        )
    },
}


def takes(settings: DetectorSettings, signal: Signal) -> bool:
    return settings.kind not in RATES_ONLY or signal.expected.stream is Stream.RATE


def alarms_in(
    settings: DetectorSettings, signal: Signal, run_length: float, blocks: int, seed: int
) -> int:
    """Count the alarms in `blocks` blocks of SLOTS signals."""
    random = np.random.default_rng(seed)
    bank = make_bank(settings, [signal.expected] * SLOTS, np.full(SLOTS, run_length))
    rows, alarms = np.arange(SLOTS), 0
    for block in range(blocks):
        if block % math.ceil(run_length / BLOCK) == 0:
            for slot in range(SLOTS):
                bank.reset(slot)
        values = signal.draw(random, SLOTS, BLOCK)
        start = np.zeros(SLOTS, dtype=np.int64)
        while (start < BLOCK).any():
            found = bank.update(values.copy(), rows, start)
            start = found + 1
            for slot in np.flatnonzero(found < BLOCK).tolist():
                alarms += 1
                bank.reset(slot)
    return alarms


def upper(count: int) -> float:
    """Return the upper end of the 95 % interval of a Poisson mean of which `count` were seen.

    Wilson and Hilferty's approximation of the chi-square quantile.
    """
    if count == 0:
        return 3.0
    mean = count + 1
    return float(mean * (1 - 1 / (9 * mean) + 1.96 / (3 * math.sqrt(mean))) ** 3)


def print_false_alarms(kinds: Sequence[str], run_length: float, updates: float, seed: int) -> None:
    blocks = max(round(updates / (SLOTS * BLOCK)), 1)
    asked = blocks * SLOTS * BLOCK / run_length
    print(f"\nalarms beside the {asked:,.0f} asked for (95 % upper end): 1 is as asked")
    for name, signal in NULLS.items():
        cells = []
        for kind in kinds:
            if takes(DETECTORS[kind], signal):
                count = alarms_in(DETECTORS[kind], signal, run_length, blocks, seed)
                cells.append(f"{kind} {count / asked:.2f} (<{upper(count) / asked:.2f})")
        print(f"{name:24}", " | ".join(cells), flush=True)


def print_delays(kinds: Sequence[str], run_length: float, repetitions: int, seed: int) -> None:
    print(f"\nmean delay in values [% found in {HORIZON:,}], {repetitions} times")
    shape = repetitions, QUIET
    for name, (before, after) in CHANGES.items():
        random = np.random.default_rng(seed + 1)
        values = np.concatenate([before.draw(random, *shape), after.draw(random, *shape)], axis=1)
        rows, start = np.arange(repetitions), np.zeros(repetitions, dtype=np.int64)
        cells = []
        for kind in kinds:
            if takes(DETECTORS[kind], before):
                expected, lengths = (
                    [before.expected] * repetitions,
                    np.full(repetitions, run_length),
                )
                bank = make_bank(DETECTORS[kind], expected, lengths)
                found = bank.update(values.copy(), rows, start)
                found = found[found >= QUIET]
                delay, share = np.mean(found - QUIET + 1), 100 * np.mean(found < QUIET + HORIZON)
                cells.append(f"{kind} {delay:.0f} [{share:.0f}]")
        print(f"{name:24}", " | ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-length", type=float, default=1e5, help="asked of each detector")
    parser.add_argument("--updates", type=float, default=2e7, help="for each signal")
    parser.add_argument("--repetitions", type=int, default=300, help="of each change")
    parser.add_argument("--detectors", nargs="*", default=list(DETECTORS), choices=list(DETECTORS))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    kinds, run_length = arguments.detectors, arguments.run_length
    print_delays(kinds, run_length, arguments.repetitions, arguments.seed)
    print_false_alarms(kinds, run_length, arguments.updates, arguments.seed)


if __name__ == "__main__":
    main()
