"""Detectors: banks that decide over many signals at once, and wrappers for a single series."""

from streamdrift.detectors.adwin import ADWIN, AdwinBank, AdwinSettings
from streamdrift.detectors.bank import Bank, Evidence
from streamdrift.records import Floats

DetectorSettings = AdwinSettings

DEFAULT_DETECTORS: tuple[DetectorSettings, ...] = (AdwinSettings(),)

__all__ = ["ADWIN", "DEFAULT_DETECTORS", "AdwinSettings", "Bank", "DetectorSettings", "Evidence"]


def make_bank(settings: DetectorSettings, scale: Floats) -> Bank:
    """Build a detector's bank; `scale` float64[k] is each slot's standard deviation (> 0)."""
    return AdwinBank(settings, scale)
