"""Run lengths: which parameter a detector needs for a false alarm in so many values."""

from typing import NamedTuple

from streamdrift.detectors.bank import Stream


class Calibrated(NamedTuple):
    """A detector's parameter, and whether its run length was measured or is extrapolated."""

    value: float
    measured: bool


def calibrated(kind: str, stream: Stream, run_length: float, rate: float = 0.5) -> Calibrated:
    raise NotImplementedError
