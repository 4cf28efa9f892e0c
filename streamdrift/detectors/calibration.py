"""Run lengths: which parameter a detector needs so that false alarms are as rare as asked.

A run length A means that a new detector alarms within its first n values with a probability of at
most n / A, whatever n is from 1,000 on, and so at most once in A values on average. The e-detector
needs no table: its threshold is its run length. The Kolmogorov-Smirnov test needs none either: a
significance of 1 / A keeps it, as chances of tests add up at most (Boole). For the others
`run_lengths.json` has what `python -m loadtest.calibration` measured by simulation, on ranks and on
0/1 values of some rates, whose reference is exact.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic import BaseModel

from streamdrift.records import Stream

LEAST_RATE = 0.001
"""The least rate that was measured. Rarer 1s alarm less (and bounds in the signal's own units must
not fall with its standard deviation below that of this rate)."""

LONGEST = 1e15
"""A longer run length asks for no more than this one."""

ONE_SIDED = frozenset({"ddm", "eddm"})
"""Detectors to which a rate p is not the same as 1 - p."""

_LEAST_LOGARITHM = -500.0
"""Of a value that is extrapolated: its inverse must be a number."""

Pairs = Sequence[tuple[float, float]]


class Calibrated(NamedTuple):
    """A detector's parameter, and whether its run length was measured.

    Where it was not, `value` is extrapolated, or the one that alarms least of those measured.
    """

    value: float
    measured: bool


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("streamdrift.detectors").joinpath("run_lengths.json").read_text("utf-8")
    tables: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return tables


@lru_cache(maxsize=4_096)
def calibrated(kind: str, stream: Stream, run_length: float, rate: float = 0.5) -> Calibrated:
    """Return the parameter with which a false alarm comes once in `run_length` values.

    `kind` is a detector's (that of FOCuS `focus_known` or `focus_unknown`), `rate` the share of
    1s to expect of a 0/1 signal: of the two rates next to it that were measured the safer value is
    taken. Raises ValueError where the detector does not take such a stream.
    """
    if kind == "kswin":
        return Calibrated(1 / min(max(run_length, 2.0), LONGEST), True)
    table = _tables()[kind]
    logarithmic = table["safer"] == "lower"
    if stream is Stream.RATE:
        found = [_read(pairs, logarithmic, run_length) for pairs in _beside(table, kind, rate)]
    elif "numeric" in table:
        found = [_read(table["numeric"], logarithmic, run_length)]
    else:
        raise ValueError(f"{kind} takes 0/1 signals only")
    safer = max if table["safer"] == "higher" else min
    return Calibrated(safer(each.value for each in found), all(each.measured for each in found))


def _beside(table: Mapping[str, Any], kind: str, rate: float) -> list[Pairs]:
    """Return the pairs of the measured rates next to a rate."""
    if kind not in ONE_SIDED:
        rate = min(rate, 1 - rate)
    rates: Mapping[str, Pairs] = table["rates"]
    known = sorted(map(float, rates))
    rate = min(max(rate, known[0]), known[-1])
    below = max(one for one in known if one <= rate)
    above = min(one for one in known if one >= rate)
    return [rates[f"{one:g}"] for one in sorted({below, above})]


def _read(pairs: Pairs, logarithmic: bool, run_length: float) -> Calibrated:
    """Return the value of a run length by straight lines over its logarithm."""
    lengths = [math.log(length) for length, _ in pairs]
    values = [math.log(value) if logarithmic else value for _, value in pairs]
    asked = math.log(min(max(run_length, 1.0), LONGEST))
    if asked <= lengths[0]:
        value, measured = values[0], True
    elif asked <= lengths[-1]:
        place = next(place for place, length in enumerate(lengths) if length >= asked)
        slope = (values[place] - values[place - 1]) / (lengths[place] - lengths[place - 1])
        value, measured = values[place] + slope * (asked - lengths[place]), True
    else:
        slopes = [
            (after - before) / (longer - shorter)
            for (shorter, longer), (before, after) in zip(
                pairwise(lengths), pairwise(values), strict=True
            )
        ]
        slope = max(slopes[-2:], key=abs, default=0.0)
        value, measured = values[-1] + slope * (asked - lengths[-1]), False
    return Calibrated(math.exp(max(value, _LEAST_LOGARITHM)) if logarithmic else value, measured)


def refuse_uncalibrated(settings: BaseModel, parameter: str, free: Sequence[str] = ()) -> None:
    """Raise ValueError where the parameter is left open and another one it depends on is not.

    Run lengths were measured with the defaults of all but the `free` parameters.
    """
    if getattr(settings, parameter) is not None:
        return
    for name, field in type(settings).model_fields.items():
        if name not in (parameter, *free) and getattr(settings, name) != field.default:
            raise ValueError(
                f"{parameter} must be stated where {name} is: without it the alert budget sets "
                f"it, by simulations with {name} {field.default}"
            )
