"""A section on the detectors that can be selected: is their run length the one asked for."""

from collections.abc import Iterator

from loadtest.quality import changes, nulls, streams, subjects, trials
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import Result, Table, Verdict, bounded, delay_cell, rate_cell
from streamdrift.detectors import (
    RATES_ONLY,
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
)

TIMES = 1.25
_ALL: tuple[DetectorSettings, ...] = (
    AdwinSettings(),
    PageHinkleySettings(),
    FocusSettings(),
    HddmASettings(),
    HddmWSettings(),
    KswinSettings(),
    DdmSettings(),
    EddmSettings(),
)
_ON_NUMBERS = (changes.SHIFTS[0.5], changes.SHIFTS[1.0], changes.SPREADS["sd x 2"])
_ON_RATES = (changes.RATES[1], changes.RATES[2])


def _rows(plan: Plan, on_rates: bool, verdicts: list[Verdict]) -> Iterator[tuple[str, ...]]:
    stream = streams.INDEPENDENT["0/1, rate .2" if on_rates else "normal"]
    for settings in _ALL:
        if settings.kind in RATES_ONLY and not on_rates:
            continue
        plan.say(f"{settings.kind}, {stream.name}")
        cells: list[str] = [settings.kind]
        for asked, runs in ((1e4, 20), (1e5, 100)):
            detector = subjects.of(settings, asked)
            rate = trials.false_alarms(detector, stream, plan.runs(runs), seed=plan.seed)
            cells.append(rate_cell(rate))
            verdicts.append(
                bounded(
                    f"{settings.kind}, {stream.name}, asked {asked:,.0f}",
                    rate.each,
                    rate.upper,
                    rate.lower,
                    TIMES * 1e5 / asked,
                )
            )
        for change in _ON_RATES if on_rates else _ON_NUMBERS:
            found = trials.delays(
                subjects.of(settings, 1e5), change, plan.runs(100), seed=plan.seed
            )
            cells.append(delay_cell(found))
        yield tuple(cells)


def detectors(plan: Plan) -> Result:
    verdicts: list[Verdict] = []
    tables = []
    for on_rates, watched in ((False, _ON_NUMBERS), (True, _ON_RATES)):
        heads = (
            "detector",
            *(f"false in 100,000, asked {1e5 / asked:g}" for asked in nulls.ASKED),
            *(change.name for change in watched),
        )
        title = "Selectable detectors, " + (
            "0/1 values of rate .2" if on_rates else "normal values"
        )
        note = "Restricted mean delay at a run length of 1e5, as in the sections above."
        tables.append(Table(title, heads, tuple(_rows(plan, on_rates, verdicts)), note))
    return Result(tables, verdicts)


SECTIONS = (
    Section(
        "detectors",
        "Selectable detectors",
        "each calibrated: the 95 % bound of false alarms at most 1.25 times what was asked",
        detectors,
    ),
)
