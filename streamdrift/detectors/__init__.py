"""Detectors: banks that decide over many signals at once, and wrappers for a single series."""

from streamdrift.detectors.adwin import ADWIN, AdwinSettings
from streamdrift.detectors.bank import Bank, Evidence, Expected, Stream
from streamdrift.detectors.e_detector import EDetectorSettings
from streamdrift.detectors.page_hinkley import PageHinkley, PageHinkleySettings
from streamdrift.detectors.registry import (
    BANKS,
    DEFAULT_DETECTORS,
    DetectorSettings,
    make_bank,
)
from streamdrift.detectors.river import RiverSettings
from streamdrift.detectors.series import EDetector

__all__ = [
    "ADWIN",
    "BANKS",
    "DEFAULT_DETECTORS",
    "AdwinSettings",
    "Bank",
    "DetectorSettings",
    "EDetector",
    "EDetectorSettings",
    "Evidence",
    "Expected",
    "PageHinkley",
    "PageHinkleySettings",
    "RiverSettings",
    "Stream",
    "make_bank",
]
