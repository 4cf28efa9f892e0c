"""Every detector there is. One more is a module with its settings and bank, and a line in each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from streamdrift.detectors.adwin import AdwinBank, AdwinSettings
from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.calibration import calibrated
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.chances import EChanceBank
from streamdrift.detectors.ddm import DdmBank, DdmSettings
from streamdrift.detectors.e_detector import EDetectorBank, EDetectorSettings
from streamdrift.detectors.eddm import EddmBank, EddmSettings
from streamdrift.detectors.focus import FocusBank, FocusSettings
from streamdrift.detectors.hddm import HddmASettings, HddmBank, HddmWSettings
from streamdrift.detectors.kswin import KswinBank, KswinSettings
from streamdrift.detectors.page_hinkley import PageHinkleyBank, PageHinkleySettings
from streamdrift.detectors.rates import ERateBank
from streamdrift.detectors.river import RiverBank, RiverSettings
from streamdrift.detectors.sums import EBank
from streamdrift.records import Floats, Stream
from streamdrift.references.findings import Code, Finding

DetectorSettings = Annotated[
    EDetectorSettings
    | AdwinSettings
    | DdmSettings
    | EddmSettings
    | FocusSettings
    | HddmASettings
    | HddmWSettings
    | KswinSettings
    | PageHinkleySettings
    | RiverSettings,
    Field(discriminator="kind"),
]
"""One detector's settings, told apart by `kind`."""

DEFAULT_DETECTORS: tuple[DetectorSettings, ...] = (EDetectorSettings(),)
"""What watches a signal unless the settings say otherwise."""

BANKS: Mapping[str, Callable[..., Bank]] = {
    "adwin": AdwinBank,
    "ddm": DdmBank,
    "eddm": EddmBank,
    "focus": FocusBank,
    "hddm_a": HddmBank,
    "hddm_w": HddmBank,
    "kswin": KswinBank,
    "page_hinkley": PageHinkleyBank,
    "river": RiverBank,
}
"""A detector's kind and what builds its bank, as `make_bank` does."""

RATES_ONLY = frozenset({"ddm", "eddm", "river"})
"""Kinds that take 0/1 signals only."""


def takes(settings: DetectorSettings, stream: Stream) -> bool:
    """Tell whether a detector is made for a kind of stream."""
    return stream is Stream.RATE or settings.kind not in RATES_ONLY


E_BANKS: Mapping[Stream, Callable[[Sequence[Expected], Floats], EBank]] = {
    Stream.NUMERIC: EDetectorBank,
    Stream.RATE: ERateBank,
    Stream.CATEGORY: ECategoryBank,
}
"""The e-detector is another one for each kind of stream, and for what explains a rate."""
E_BANKS_EXPLAINED: Mapping[str, Callable[[Sequence[Expected], Floats], EBank]] = {
    "chain": EChainBank,
    "chances": EChanceBank,
}
"""By what explains it."""


def make_bank(
    settings: DetectorSettings, expected: Sequence[Expected], run_lengths: Floats
) -> Bank:
    """Build a detector's bank of k slots.

    `expected` says what each slot's signal looks like under its reference, `run_lengths`
    float64[k] after how many values a false alarm is allowed on average. The slots of an
    e-detector's bank are of one kind of stream, and the same explains them all, or nothing.
    """
    if settings.kind == "e_detector":
        bank = E_BANKS_EXPLAINED.get(expected[0].explained, E_BANKS[expected[0].stream])
        return bank(expected, run_lengths)
    return BANKS[settings.kind](settings, expected, run_lengths)


_CALIBRATED: Mapping[str, str] = {
    "adwin": "delta",
    "ddm": "drift_threshold",
    "eddm": "beta",
    "focus": "threshold",
    "hddm_a": "drift_confidence",
    "hddm_w": "drift_confidence",
    "page_hinkley": "threshold",
}
"""By a detector's kind, the parameter that follows from its run length where it is left open."""


def extrapolated(settings: DetectorSettings, expected: Expected, run_length: float) -> bool:
    """Tell whether a detector has a parameter that no measurement of its run length covers."""
    parameter = _CALIBRATED.get(settings.kind)
    if not takes(settings, expected.stream):
        return False  # There is none: it watches the rates beside such a signal.
    if parameter is None or getattr(settings, parameter) is not None:
        return False
    kind = f"focus_{settings.mean}" if isinstance(settings, FocusSettings) else settings.kind
    return not calibrated(kind, expected.stream, run_length, expected.mean).measured


def extrapolations(
    chosen: Iterable[DetectorSettings], expected: Expected, run_length: float
) -> list[Finding]:
    """Return what people should know where any of a signal's detectors is extrapolated."""
    if not any(extrapolated(each, expected, run_length) for each in chosen):
        return []
    return [Finding(Code.EXTRAPOLATED, {"run_length": run_length})]
