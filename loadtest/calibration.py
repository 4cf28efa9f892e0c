"""Which parameter a detector needs for a run length: makes the data of `calibrated` anew.

    python -m loadtest.calibration --seed 1

A detector keeps a run length A if it alarms within its first n values with a probability of at
most n / A, for n from 1,000 to 100,000 (1 - exp(-n / A) where that is not small), on ranks and on
0/1 values of some rates, as `loadtest.rare` measures it; the upper end of the one-sided 95 %
interval counts. A value of a parameter whose probability at a great n is not known within a factor
of two ends a detector's table. Writes `run_lengths.json` beside the detectors.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import streamdrift.detectors
from loadtest.rare import Null, alarm_weights, drawn, ranks, rates
from streamdrift.detectors import (
    RATES_ONLY,
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    PageHinkleySettings,
    make_bank,
)

DATA = Path(streamdrift.detectors.__file__).parent / "run_lengths.json"
RATES = (0.5, 0.2, 0.05, 0.01, 0.001)
HIGH_RATES = (0.8, 0.95, 0.99)
"""For detectors that look for rises only; to the others a rate p is 1 - p."""
LENGTHS: Mapping[int, int] = {1_000: 8_192, 10_000: 4_096, 100_000: 768}
"""How many streams of so many values are drawn."""
OLD = 100_000
"""Values from which on the age of a detector makes no difference to those that are known well."""
LONG = 300_000
"""Also drawn where 1s are so rare that a warm start takes long."""
LONGEST = 1e13
"""Run lengths beyond it are of no use."""
CONFIDENCE = 1.645


class Grid(NamedTuple):
    """The values of a detector's parameter to measure, from those that alarm most on."""

    parameter: str
    safer: str
    """Whether a higher or a lower value alarms less."""
    values: Sequence[float]
    settings: Callable[[float], DetectorSettings]


def _falling(first: float, last: float, count: int) -> list[float]:
    """Return numbers whose logarithms are evenly spread."""
    return [float(f"{value:.3g}") for value in np.geomspace(first, last, count)]


GRIDS: Mapping[str, Grid] = {
    "adwin": Grid(
        "delta",
        "lower",
        [0.99, 0.9, 0.7, 0.5, *_falling(0.3, 1e-8, 12)],
        lambda value: AdwinSettings(delta=value, minimum_effect=0),
    ),
    "page_hinkley": Grid(
        "threshold",
        "higher",
        _falling(8, 700, 25),
        lambda value: PageHinkleySettings(threshold=value, headroom=0, minimum_effect=0),
    ),
    "focus_known": Grid(
        "threshold",
        "higher",
        [*np.arange(5.0, 34, 2.0).tolist()],
        lambda value: FocusSettings(threshold=value, minimum_effect=0),
    ),
    "focus_unknown": Grid(
        "threshold",
        "higher",
        [*np.arange(5.0, 34, 2.0).tolist()],
        lambda value: FocusSettings(mean="unknown", threshold=value, minimum_effect=0),
    ),
    "hddm_a": Grid(
        "drift_confidence",
        "lower",
        [0.99, 0.9, 0.75, *_falling(0.6, 1e-8, 13)],
        lambda value: HddmASettings(drift_confidence=value),
    ),
    "hddm_w": Grid(
        "drift_confidence",
        "lower",
        [0.99, 0.9, 0.75, *_falling(0.6, 1e-6, 13)],
        lambda value: HddmWSettings(drift_confidence=value),
    ),
    "ddm": Grid(
        "drift_threshold",
        "higher",
        [*np.arange(1.5, 10.1, 0.5).tolist()],
        lambda value: DdmSettings(drift_threshold=value),
    ),
    "eddm": Grid(
        "beta",
        "lower",
        [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1],
        lambda value: EddmSettings(beta=value),
    ),
}


class Estimate(NamedTuple):
    """How likely an alarm within so many values is, and the standard error."""

    length: int
    value: float
    error: float

    @property
    def upper(self) -> float:
        """The upper end of the one-sided 95 % interval."""
        return self.value + CONFIDENCE * self.error


def measure(
    null: Null, chosen: Sequence[tuple[str, float]], length: int, count: int, seed: int
) -> list[Estimate]:
    """Return the estimates of (kind, value), each on the same `count` streams."""
    weights: list[list[float]] = [[] for _ in chosen]
    for streams, logs in drawn(null, length, count, seed):
        expected, run_lengths = [null.expected] * len(streams), np.full(len(streams), np.inf)
        for (kind, value), own in zip(chosen, weights, strict=True):
            bank = make_bank(GRIDS[kind].settings(value), expected, run_lengths)
            own += alarm_weights(bank, streams, logs).tolist()
    return [
        Estimate(length, float(np.mean(own)), float(np.std(own)) / math.sqrt(len(own)))
        for own in weights
    ]


def useful(null: Null, kind: str, seed: int) -> list[float]:
    """Return the values of a grid that are worth the time, by a first glance at them."""
    grid = GRIDS[kind].values
    young, older = (
        measure(null, [(kind, value) for value in grid], length, 256, seed)
        for length in (1_000, 10_000)
    )
    return [
        value
        for value, first, second in zip(grid, young, older, strict=True)
        if first.value < 0.9 and (second.value > 1e-11 or second.value == 0)
    ]


def run_length(estimates: Sequence[Estimate]) -> float | None:
    """Return the run length that is kept at all ages; None where it is not known."""
    old = [each for each in estimates if each.length >= OLD and each.value > 0]
    if all(each.error > 0.5 * each.value for each in old):
        return None
    if estimates[0].upper >= 0.7:
        return 0.0
    kept = [
        -each.length / math.log1p(-each.upper) for each in estimates if 1e-15 < each.upper < 0.7
    ]
    return min(kept, default=0.0)


def table(
    values: Sequence[float], estimates: Sequence[Sequence[Estimate]]
) -> list[tuple[float, float]]:
    """Return (run length, value) rising: a value's is the least of its own and safer ones'."""
    pairs = []
    for value, each in zip(values, estimates, strict=True):
        length = run_length(each)
        if length is not None and length < LONGEST:
            pairs.append((length, value))
        elif pairs:
            break
    rising: list[tuple[float, float]] = []
    least = math.inf
    for length, value in reversed(pairs):
        least = min(least, length)
        if least >= 300 and (not rising or least < 0.999 * rising[-1][0]):
            rising.append((float(f"{least:.3g}"), value))
    return rising[::-1]


def tables_of(
    null: Null, kinds: Sequence[str], seed: int, share: float
) -> dict[str, list[tuple[float, float]]]:
    """Return the tables of some detectors on a stream."""
    lengths = dict(LENGTHS)
    if min(null.expected.mean, 1 - null.expected.mean) < 0.005:
        lengths[LONG] = LENGTHS[100_000] // 2
    chosen = [(kind, value) for kind in kinds for value in useful(null, kind, seed)]
    estimates = [
        measure(null, chosen, length, round(count * share), seed + length)
        for length, count in lengths.items()
    ]
    by_value = list(zip(chosen, zip(*estimates, strict=True), strict=True))
    return {
        kind: table(
            [value for (other, value), _ in by_value if other == kind],
            [each for (other, _), each in by_value if other == kind],
        )
        for kind in kinds
    }


def written(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables as JSON, one stream's on a line."""
    kinds = []
    for kind, parts in tables.items():
        lines = [
            f"    {json.dumps(name)}: {json.dumps(parts[name])}"
            for name in parts
            if name != "rates"
        ]
        rates = [
            f"      {json.dumps(rate)}: {json.dumps(parts['rates'][rate])}"
            for rate in sorted(parts["rates"], key=float)
        ]
        lines.append('    "rates": {\n' + ",\n".join(rates) + "\n    }")
        kinds.append(f"  {json.dumps(kind)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the streams to draw")
    parser.add_argument("--kinds", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    arguments = parser.parse_args()
    tables: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    for kind in arguments.kinds:
        grid = GRIDS[kind]
        tables[kind] = {"parameter": grid.parameter, "safer": grid.safer, "rates": {}}
    for null in [ranks(), *map(rates, RATES), *map(rates, HIGH_RATES)]:
        begun = time.perf_counter()
        high = null.title in {f"{rate:g}" for rate in HIGH_RATES}
        kinds = [
            kind
            for kind in arguments.kinds
            if (kind in RATES_ONLY and null.title != "numeric")
            or (kind not in RATES_ONLY and not high)
        ]
        found = tables_of(null, kinds, arguments.seed, arguments.share)
        for kind, pairs in found.items():
            if null.title == "numeric":
                tables[kind]["numeric"] = pairs
            elif pairs:
                tables[kind]["rates"][null.title] = pairs
            told = f"{pairs[0]} to {pairs[-1]}" if pairs else "none"
            print(f"{null.title:8} {kind:14} {len(pairs):3} values: {told}", flush=True)
        print(f"{null.title:8} took {time.perf_counter() - begun:.0f} s", flush=True)
        DATA.write_text(written(tables))


if __name__ == "__main__":
    main()
