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
from streamdrift.records import Stream

DATA = Path(streamdrift.detectors.__file__).parent / "run_lengths.json"
RATES = (0.5, 0.2, 0.05, 0.01, 0.001)
HIGH_RATES = (0.8, 0.95, 0.99)
"""For detectors that look for rises only; to the others a rate p is 1 - p."""
RARE = 0.05
"""Where 1s or 0s are rarer, more values are drawn: it takes them to know a rate, or to warm up."""
AGING = frozenset({"hddm_w"})
"""Detectors that alarm more often the older they are: this one compares the least there ever was
with what is now. Their run lengths are counted, too, in lives of up to MOST_COUNTED values."""
MOST_COUNTED = 4_000_000
BLOCK = 20_000
SHORT = 10_000
"""A rate's table that ends before is left out: values of the next one are safe, as 1s are rarer."""
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
    streams: Mapping[int, int]
    """How many streams of so many values are drawn."""
    rare_streams: Mapping[int, int]
    """Drawn besides where 1s or 0s are rare."""


FEW = {1_000: 4_096, 10_000: 1_536}, {100_000: 256}
"""For detectors that alarm as often at any age."""
MANY = {1_000: 4_096, 10_000: 4_096, 100_000: 1_280}, {300_000: 320}
YOUNG = {1_000: 16_384, 10_000: 4_096, 100_000: 256}, {300_000: 128}
"""For one that alarms most often when it is young."""


def _falling(first: float, last: float, count: int) -> list[float]:
    """Return numbers whose logarithms are evenly spread."""
    return [float(f"{value:.3g}") for value in np.geomspace(first, last, count)]


GRIDS: Mapping[str, Grid] = {
    "adwin": Grid(
        "delta",
        "lower",
        [0.99, 0.9, 0.7, 0.5, *_falling(0.3, 1e-8, 12)],
        lambda value: AdwinSettings(delta=value, minimum_effect=0),
        *MANY,
    ),
    "page_hinkley": Grid(
        "threshold",
        "higher",
        _falling(8, 700, 25),
        lambda value: PageHinkleySettings(threshold=value, headroom=0, minimum_effect=0),
        *FEW,
    ),
    "focus_known": Grid(
        "threshold",
        "higher",
        [*np.arange(5.0, 34, 2.0).tolist()],
        lambda value: FocusSettings(threshold=value, minimum_effect=0),
        *FEW,
    ),
    "focus_unknown": Grid(
        "threshold",
        "higher",
        [*np.arange(5.0, 34, 2.0).tolist()],
        lambda value: FocusSettings(mean="unknown", threshold=value, minimum_effect=0),
        *FEW,
    ),
    "hddm_a": Grid(
        "drift_confidence",
        "lower",
        [0.99, *_falling(0.9, 1e-9, 26)],
        lambda value: HddmASettings(drift_confidence=value),
        *YOUNG,
    ),
    "hddm_w": Grid(
        "drift_confidence",
        "lower",
        [0.99, *_falling(0.9, 1e-8, 26)],
        lambda value: HddmWSettings(drift_confidence=value),
        *MANY,
    ),
    "ddm": Grid(
        "drift_threshold",
        "higher",
        [*np.arange(1.5, 10.1, 0.5).tolist()],
        lambda value: DdmSettings(drift_threshold=value),
        *MANY,
    ),
    "eddm": Grid(
        "beta",
        "lower",
        [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1],
        lambda value: EddmSettings(beta=value),
        *MANY,
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
        measure(null, [(kind, value) for value in grid], length, 128, seed)
        for length in (1_000, 10_000)
    )
    return [
        value
        for value, first, second in zip(grid, young, older, strict=True)
        if first.value < 0.9 and (second.value > 1e-11 or second.value == 0)
    ]


def run_length(estimates: Sequence[Estimate]) -> float | None:
    """Return the run length that is kept at all ages; None where it is not known."""
    old = [each for each in estimates[1:] if each.value > 0][-2:]
    if all(each.error > 0.5 * each.value for each in old):
        return None
    if estimates[0].upper >= 0.7:
        return 0.0
    kept = [
        -each.length / math.log1p(-each.upper) for each in estimates if 1e-15 < each.upper < 0.7
    ]
    return min(kept, default=0.0)


def counted_run_length(null: Null, kind: str, value: float, seed: int) -> float | None:
    """Return the run length that is counted, not estimated; None where it is too long to count."""
    slots = 128
    bank = make_bank(GRIDS[kind].settings(value), [null.expected] * slots, np.full(slots, np.inf))
    random, rows = np.random.default_rng(seed), np.arange(slots)
    lives = np.full(slots, MOST_COUNTED)
    waiting = np.ones(slots, dtype=np.bool_)
    for first in range(0, MOST_COUNTED, BLOCK):
        values = random.random((slots, BLOCK))
        if null.expected.stream is Stream.RATE:
            values = (values < null.expected.mean).astype(np.float64)
        found = bank.update(values, rows, np.where(waiting, 0, BLOCK))
        alarmed = waiting & (found < BLOCK)
        lives[alarmed] = first + found[alarmed] + 1
        waiting &= ~alarmed
        if not waiting.any():
            break
    alarms = slots - int(waiting.sum())
    if alarms < slots / 2:
        return None
    return float(lives.sum()) / (alarms + CONFIDENCE * math.sqrt(alarms))


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
        if least >= 300 and (not rising or float(f"{least:.3g}") < rising[-1][0]):
            rising.append((float(f"{least:.3g}"), value))
    return rising[::-1]


def aged(
    null: Null, kind: str, pairs: Sequence[tuple[float, float]], seed: int
) -> list[tuple[float, float]]:
    """Return a table with the run lengths that are counted, where these are shorter."""
    result: list[tuple[float, float]] = []
    for length, value in pairs:
        counted = counted_run_length(null, kind, value, seed)
        if counted is None:
            break
        least = float(f"{min(counted, length):.3g}")
        if not result or least > result[-1][0]:
            result.append((least, value))
    return result


def table_of(null: Null, kind: str, seed: int, share: float) -> list[tuple[float, float]]:
    """Return a detector's table on a stream."""
    grid = GRIDS[kind]
    values = useful(null, kind, seed)
    rare = min(null.expected.mean, 1 - null.expected.mean) < RARE
    streams = {**grid.streams, **(grid.rare_streams if rare else {})}
    estimates = [
        measure(
            null, [(kind, value) for value in values], length, round(count * share), seed + length
        )
        for length, count in streams.items()
    ]
    pairs = table(values, list(zip(*estimates, strict=True)))
    return aged(null, kind, pairs, seed) if kind in AGING else pairs


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
    nulls = [ranks(), *map(rates, RATES), *map(rates, HIGH_RATES)]
    titles = [null.title for null in nulls]
    parser.add_argument("--signals", nargs="*", default=titles, choices=titles)
    arguments = parser.parse_args()
    tables: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    for kind in arguments.kinds:
        grid = GRIDS[kind]
        tables.setdefault(kind, {"rates": {}})
        tables[kind] |= {"parameter": grid.parameter, "safer": grid.safer}
    for null in nulls:
        if null.title not in arguments.signals:
            continue
        begun = time.process_time()
        high = null.title in {f"{rate:g}" for rate in HIGH_RATES}
        kinds = [
            kind
            for kind in arguments.kinds
            if (kind in RATES_ONLY and null.title != "numeric")
            or (kind not in RATES_ONLY and not high)
        ]
        for kind in kinds:
            pairs = table_of(null, kind, arguments.seed, arguments.share)
            if null.title == "numeric":
                tables[kind]["numeric"] = pairs
            elif pairs and pairs[-1][0] > SHORT:
                tables[kind]["rates"][null.title] = pairs
            told = f"{pairs[0]} to {pairs[-1]}" if pairs else "none"
            print(f"{null.title:8} {kind:14} {len(pairs):3} values: {told}", flush=True)
        print(f"{null.title:8} took {time.process_time() - begun:.0f} s of CPU", flush=True)
        DATA.write_text(written(tables))


if __name__ == "__main__":
    main()
