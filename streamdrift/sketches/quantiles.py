"""What numbers look like, for people: mean, median, and where nine tenths of them lie."""

import math
from collections.abc import Mapping

import numpy as np

from streamdrift.records import Floats

PROBABILITIES = (0.05, 0.5, 0.95)

Quantiles = Mapping[str, float]
"""By probability, as a text; empty of no numbers."""


def quantiles_of(values: Floats) -> Quantiles:
    """Return the quantiles of float64[n], NaN left out: each is one of the values."""
    there = values[~np.isnan(values)]
    if not len(there):
        return {}
    found = np.quantile(there, PROBABILITIES, method="inverted_cdf")
    return {f"{p:g}": float(q) for p, q in zip(PROBABILITIES, found, strict=True)}


def mean_of(values: Floats) -> float:
    """Return the mean of float64[n], NaN of none; what is not finite is left out."""
    there = values[np.isfinite(values)]
    if not len(there):
        return math.nan
    with np.errstate(over="ignore"):
        mean = float(there.mean())
    return mean if math.isfinite(mean) else math.nan
