"""Detectors: banks that decide over many signals at once, and wrappers for a single series."""

from streamdrift.detectors.adwin import AdwinSettings
from streamdrift.detectors.bank import Bank, Evidence, Expected
from streamdrift.detectors.ddm import DdmSettings
from streamdrift.detectors.e_detector import EDetectorSettings
from streamdrift.detectors.eddm import EddmSettings
from streamdrift.detectors.focus import FocusSettings
from streamdrift.detectors.hddm import HddmASettings, HddmWSettings
from streamdrift.detectors.kswin import KswinSettings
from streamdrift.detectors.page_hinkley import PageHinkleySettings
from streamdrift.detectors.registry import (
    BANKS,
    DEFAULT_DETECTORS,
    RATES_ONLY,
    DetectorSettings,
    make_bank,
)
from streamdrift.detectors.river import RiverSettings
from streamdrift.detectors.single import ADWIN, EDetector, PageHinkley

__all__ = [
    "ADWIN",
    "BANKS",
    "DEFAULT_DETECTORS",
    "RATES_ONLY",
    "AdwinSettings",
    "Bank",
    "DdmSettings",
    "DetectorSettings",
    "EDetector",
    "EDetectorSettings",
    "EddmSettings",
    "Evidence",
    "Expected",
    "FocusSettings",
    "HddmASettings",
    "HddmWSettings",
    "KswinSettings",
    "PageHinkley",
    "PageHinkleySettings",
    "RiverSettings",
    "make_bank",
]
