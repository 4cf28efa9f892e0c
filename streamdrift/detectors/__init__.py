"""Detectors: banks that decide over many signals at once, and wrappers for a single series.

To add one: a module with its settings (a `kind` of its own) and its bank, and a line in
`DetectorSettings` and `BANKS`; the contract tests then cover it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field

from streamdrift.detectors.adwin import ADWIN, AdwinBank, AdwinSettings
from streamdrift.detectors.bank import Bank, Evidence
from streamdrift.detectors.page_hinkley import PageHinkley, PageHinkleyBank, PageHinkleySettings
from streamdrift.detectors.river import RiverBank, RiverSettings
from streamdrift.records import Floats

__all__ = [
    "ADWIN",
    "BANKS",
    "DEFAULT_DETECTORS",
    "AdwinSettings",
    "Bank",
    "DetectorSettings",
    "Evidence",
    "PageHinkley",
    "PageHinkleySettings",
    "RiverSettings",
    "make_bank",
]

DetectorSettings = Annotated[
    AdwinSettings | PageHinkleySettings | RiverSettings, Field(discriminator="kind")
]
"""One detector's settings, told apart by `kind`."""

DEFAULT_DETECTORS: tuple[DetectorSettings, ...] = (AdwinSettings(), PageHinkleySettings())
"""What watches a signal unless the settings say otherwise."""


BANKS: Mapping[str, Callable[..., Bank]] = {
    "adwin": AdwinBank,
    "page_hinkley": PageHinkleyBank,
    "river": RiverBank,
}
"""The registry: a detector's kind and what builds its bank from settings and scale."""


def make_bank(settings: DetectorSettings, scale: Floats) -> Bank:
    """Build a detector's bank of k slots.

    `scale` float64[k] is the standard deviation of each slot's signal under its reference,
    above 0: the unit of `minimum_effect` and of Page-Hinkley's delta and threshold.
    """
    return BANKS[settings.kind](settings, scale)
