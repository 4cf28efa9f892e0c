"""Detectors: banks that decide over many signals at once, and wrappers for a single series.

To add one: a module with its settings (a `kind` of its own) and its bank, and a line in
`DetectorSettings` and `BANKS`; the contract tests then cover it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from streamdrift.detectors.adwin import ADWIN, AdwinBank, AdwinSettings
from streamdrift.detectors.bank import Bank, Evidence, Expected, Stream
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
    "Expected",
    "PageHinkley",
    "PageHinkleySettings",
    "RiverSettings",
    "Stream",
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
"""The registry: a detector's kind and what builds its bank, as `make_bank` does."""


def make_bank(
    settings: DetectorSettings, expected: Sequence[Expected], run_lengths: Floats
) -> Bank:
    """Build a detector's bank of k slots.

    `expected` says what each slot's signal looks like under its reference, `run_lengths`
    float64[k] after how many values a false alarm is allowed on average.
    """
    return BANKS[settings.kind](settings, expected, run_lengths)
