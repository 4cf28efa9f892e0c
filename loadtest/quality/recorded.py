"""Sections on recorded streams: weeks drawn anew, streams in place, and prediction logs."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from loadtest.quality import columns, peers, subjects, trials
from loadtest.quality.changes import Change
from loadtest.quality.columns import Column
from loadtest.quality.measures import PER, Rate
from loadtest.quality.oracles import Ratio, rates
from loadtest.quality.peers import Detector, Series
from loadtest.quality.plan import Plan, Section
from loadtest.quality.streams import Kind, Stream, resampled
from loadtest.quality.tables import Result, Table, Verdict, at_least, at_most, delay_cell, rate_cell
from streamdrift.records import Floats

ASKED = (1e4, 1e5)
TIMES = 3.0
_LEAST = {1e4: 13, 1e5: 11}
"""Of the 13 columns so many should keep it."""

_RUNS = {1e4: 10, 1e5: 40}
HELD_OUT = 0.8

LOG_RUN_LENGTH = 5e5
"""What .2 false alarms in 100,000 values are."""
TIMES_ADWIN = 0.7
LOG_FALSE = 0.2


def _redrawn(
    plan: Plan, watched: Sequence[Column], title: str
) -> tuple[Table, dict[float, list[Rate]]]:
    rows = []
    found: dict[float, list[Rate]] = {asked: [] for asked in ASKED}
    for column in watched:
        plan.say(column.name)
        cells = [column.name, f"{len(column.values) // column.block} x {column.block}"]
        stream = column.redrawn()
        for asked in ASKED:
            rate = trials.false_alarms(
                subjects.default(asked), stream, plan.runs(_RUNS[asked]), seed=plan.seed
            )
            found[asked].append(rate)
            cells.append(rate_cell(rate))
        rate = trials.false_alarms(peers.ADWIN, stream, plan.runs(5), seed=plan.seed)
        cells.append(rate_cell(rate))
        rows.append(tuple(cells))
    heads = (
        "column",
        "blocks",
        *(f"streamdrift, asked {PER / asked:g}" for asked in ASKED),
        "river ADWIN, default",
    )
    note = "Alarms in 100,000 values (one-sided 95 % upper bound) [count], blocks drawn anew."
    return Table(title, heads, tuple(rows), note), found


def _keep(measured: Sequence[Rate], asked: float) -> int:
    return sum(rate.each <= TIMES * PER / asked for rate in measured)


def weeks(plan: Plan) -> Result:
    table, found = _redrawn(plan, columns.weekly(plan.data), "False alarms, real weeks redrawn")
    verdicts = []
    for asked, each in found.items():
        kept, least = _keep(each, asked), _LEAST[asked]
        verdicts.append(
            Verdict(
                f"weeks redrawn, asked {asked:,.0f}: columns with at most 3 times that",
                f">= {least} of {len(each)}",
                f"{kept} of {len(each)}",
                kept >= least,
            )
        )
    others = list(columns.held_out(plan.data))
    if plan.more is None:
        plan.say("SKAB is left out: it needs --data")
    else:
        others += columns.skab(plan.more)
    other, found = _redrawn(plan, others, "False alarms, columns that no setting was chosen on")
    for asked, each in found.items():
        verdicts.append(
            at_least(
                f"other columns, asked {asked:,.0f}: share with at most 3 times that",
                _keep(each, asked) / len(each),
                HELD_OUT,
            )
        )
    return Result([table, other], verdicts)


class Recording(NamedTuple):
    """A column in place; its first `reference` values are its reference."""

    group: str
    values: Floats
    reference: int
    kind: Kind = "numeric"


def _recordings(plan: Plan) -> Iterator[Recording]:
    loan = columns.table(plan.data, "car_loan")
    for field in _LOAN:
        values = columns.numbers(loan, field)[:_LOAN_CHANGE]
        yield Recording("car loan, before its change", values, 10_000, _LOAN[field])
    electricity = columns.table(plan.data, "elec2")
    for column in columns.weekly(plan.data)[:5]:
        yield Recording("elec2", column.values, 10_000)
    errors = columns.numbers(electricity, "err")
    yield Recording("elec2 error", errors[np.isfinite(errors)], 10_000, "rate")
    folder = plan.data if plan.more is None else plan.more
    insects = columns.table(folder, "insects_gradual")
    for field in insects.column_names:
        if field.startswith("Att"):
            # From its documented change on there is one class mix up to row 22,500.
            values = columns.numbers(insects, field)[14_500:22_500]
            yield Recording("insects, quiet stretch", values, 3_000)
    for values in columns.nab_series(plan.data).values():
        yield Recording("NAB", values, max(round(0.15 * len(values)), 500))
    if plan.more is not None:
        for column in columns.skab(plan.more):
            yield Recording("SKAB without a fault", column.values, 3_000)


_LOAN: Mapping[str, Kind] = {
    "car_value": "numeric",
    "salary_range": "category",
    "debt_to_income_ratio": "numeric",
    "loan_length": "numeric",
    "repaid_loan_on_prev_car": "rate",
    "size_of_downpayment": "category",
    "driver_tenure": "numeric",
}


def in_place(plan: Plan) -> Result:
    """Count alarms on recordings as they are, real changes included."""
    candidates: list[Detector] = [
        subjects.default(1e4),
        subjects.default(1e5),
        peers.ADWIN,
        peers.PAGE_HINKLEY,
    ]
    totals: dict[str, list[Rate]] = {}
    for one in _recordings(plan):
        series = Series(one.values[: one.reference], one.values[one.reference :], one.kind)
        total = totals.setdefault(one.group, [Rate(0, 0)] * len(candidates))
        for place, detector in enumerate(candidates):
            total[place] += Rate(len(detector.alarms(series)), len(series.values))
    rows = tuple(
        (group, f"{total[0].values:,}", *(f"{rate.each:.3g} [{rate.alarms}]" for rate in total))
        for group, total in totals.items()
    )
    heads = (
        "recording",
        "values",
        "streamdrift, asked 10",
        "streamdrift, asked 1",
        "river ADWIN, default",
        "river Page-Hinkley, default",
    )
    note = "Alarms in 100,000 values [count]: where something really changes, they are no faults."
    table = Table("Recorded streams in place", heads, rows, note)
    return Result([table, _windows(plan, candidates)], [])


def _windows(plan: Plan, candidates: Sequence[Detector]) -> Table:
    """Count hits of NAB's labelled windows, beside those that alarms at random would make."""
    windows = json.loads(Path(plan.data / "nab_windows.json").read_text())
    series = columns.nab_series(plan.data)
    rows = []
    for number, detector in enumerate(candidates):
        hits, chance, labelled, outside = 0, 0.0, 0, Rate(0, 0)
        for name, values in series.items():
            reference = max(round(0.15 * len(values)), 500)
            found = reference + detector.alarms(Series(values[:reference], values[reference:]))
            scored = [(a, b) for a, b in windows.get(name, []) if a >= reference]
            inside = np.zeros(len(values), dtype=bool)
            for first, end in scored:
                inside[first:end] = True
            rate = Rate(int(np.sum(~inside[found])), max(int(np.sum(~inside[reference:])), 1))
            outside += rate
            labelled += len(scored)
            hits += sum(bool(np.any((found >= a) & (found < b))) for a, b in scored)
            chance += math.fsum(rate.by_chance(end - first) for first, end in scored)
        asked = ("asked 10", "asked 1", "default", "default")[number]
        rows.append(
            (
                f"{detector.name}, {asked}",
                f"{hits} of {labelled}",
                f"{chance:.1f}",
                f"{outside.each:.3g}",
            )
        )
    heads = ("detector", "windows hit", "expected by chance", "alarms outside in 100,000")
    return Table("NAB: labelled windows", heads, tuple(rows))


def _log_changes(plan: Plan) -> tuple[list[Change], list[Stream]]:
    """Return what changes in the prediction logs, row by row redrawn, and what does not."""
    loan = columns.table(plan.data, "car_loan")
    changed: list[Change] = []
    unchanged: list[Stream] = []
    for field, kind in {**_LOAN, "err": "rate"}.items():
        values = columns.numbers(loan, field)
        before, after = _finite(values[:_LOAN_CHANGE]), _finite(values[_LOAN_CHANGE:])
        stream = Stream(f"car loan {field}", resampled(before), kind)
        if field in _UNCHANGED:
            unchanged.append(stream)
        else:
            changed.append(_redraw(stream, before, after))
    sea = columns.numbers(columns.table(plan.data, "sea"), "err")
    for first, middle, end in ((5_000, 12_500, 25_000), (25_000, 37_500, 50_000)):
        before, after = _finite(sea[first:middle]), _finite(sea[middle:end])
        stream = Stream(f"SEA error at {middle:,}", resampled(before), "rate")
        changed.append(_redraw(stream, before, after))
    return [*changed, *_lobo(plan)], unchanged


def _lobo(plan: Plan) -> Iterator[Change]:
    """Yield the abrupt changes that alter the frozen model's error by a twentieth or more."""
    rows = columns.table(plan.data, "lobo")
    names = np.array(rows["stream"].to_pylist())
    for name in ("mixed_0101_abrupto", "sea_0123_abrupto_noise_0.2", "stagger_0120_abrupto"):
        errors = columns.numbers(rows, "err")[names == name]
        for middle in (10_000, 20_000, 30_000):
            before, after = (
                _finite(errors[max(middle - 6_000, 4_000) : middle]),
                _finite(errors[middle : middle + 10_000]),
            )
            if abs(before.mean() - after.mean()) >= 0.05:
                stream = Stream(f"{name} error at {middle:,}", resampled(before), "rate")
                yield _redraw(stream, before, after)


def _redraw(stream: Stream, before: Floats, after: Floats) -> Change:
    draw = resampled(after)
    told: tuple[Ratio, ...] = ()
    if stream.kind == "rate":
        told = (rates(_clear(before), _clear(after)),)
    return Change(stream.name, stream, lambda random, path: draw(random, len(path)), 20_000, told)


def _clear(values: Floats) -> float:
    """Return a rate that is neither 0 nor 1."""
    return float((values.sum() + 0.5) / (len(values) + 1))


_LOAN_CHANGE = 75_000
_UNCHANGED = ("debt_to_income_ratio", "driver_tenure", "size_of_downpayment")


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def logs(plan: Plan) -> Result:
    changed, unchanged = _log_changes(plan)
    detector = subjects.default(LOG_RUN_LENGTH)
    rows, verdicts = [], []
    for change in changed:
        plan.say(change.name)
        ours = trials.delays(detector, change, plan.runs(100), seed=plan.seed)
        peer = trials.delays(peers.ADWIN, change, plan.runs(100), seed=plan.seed)
        ratio = ours.mean / peer.mean
        error = ratio * math.hypot(ours.error / ours.mean, peer.error / peer.mean)
        told = _told(plan, change)
        rows.append((change.name, told, delay_cell(ours), delay_cell(peer), f"{ratio:.2f}"))
        verdicts.append(at_least(f"{change.name}, found", ours.found, 1.0))
        verdicts.append(at_most(f"{change.name}, times ADWIN", ratio, TIMES_ADWIN, error, ".2f"))
    total = Rate(0, 0)
    for stream in [*unchanged, *(change.before for change in changed)]:
        total += trials.false_alarms(detector, stream, plan.runs(30), seed=plan.seed)
    held = True if total.upper <= LOG_FALSE else None if total.lower <= LOG_FALSE else False
    verdicts.append(
        Verdict(
            "all columns before their change, false in 100,000",
            f"<= {LOG_FALSE}",
            f"{total.each:.3f} (bound {total.upper:.3f}) [{total.alarms}]",
            held,
        )
    )
    heads = (
        "column",
        "optimum",
        "streamdrift, run length 5e5",
        "river ADWIN, default",
        "ratio",
    )
    note = (
        "Rows before and after the known change are drawn anew in each run. Restricted mean "
        "delay ± standard error / median [share found within 20,000, if not all]."
    )
    table = Table("Prediction logs, rows redrawn", heads, tuple(rows), note)
    in_place, its_verdicts = _loan_in_place(plan, detector)
    return Result([table, in_place], [*its_verdicts, *verdicts])


def _told(plan: Plan, change: Change) -> str:
    """Return the delay of one who is told both rates; only 0/1 columns have one."""
    if not change.told:
        return ""
    return delay_cell(trials.told_delays(change, LOG_RUN_LENGTH, plan.runs(100), seed=plan.seed))


def _loan_in_place(plan: Plan, detector: Detector) -> tuple[Table, list[Verdict]]:
    """Show the loan model's log as it is: one path, and what both say of each column."""
    loan = columns.table(plan.data, "car_loan")
    rows, verdicts = [], []
    for field, kind in {**_LOAN, "err": "rate"}.items():
        values = columns.numbers(loan, field)
        late: list[float] = []
        series = Series(values[:10_000], values[10_000:], kind)
        cells = [field, "no" if field in _UNCHANGED else "yes"]
        for one in (detector, peers.ADWIN):
            found = one.alarms(series) + 10_000
            after = found[found >= _LOAN_CHANGE]
            late.append(float(after[0] - _LOAN_CHANGE + 1) if after.size else math.inf)
            before = int(np.sum(found < _LOAN_CHANGE))
            cells.append(f"{late[-1]:,.0f} ({before} before, {after.size} since)")
        rows.append(tuple(cells))
        if field not in _UNCHANGED:
            # One that never finds it counts as finding it at the end.
            ratio = late[0] / min(late[1], float(len(values) - _LOAN_CHANGE))
            what = f"loan log in place, {field}, times ADWIN"
            verdicts.append(at_most(what, ratio, TIMES_ADWIN, form=".2f"))
    heads = ("column", "changed", "streamdrift, run length 5e5", "river ADWIN, default")
    note = "Delay of the first alarm since the change (alarms before it, alarms since)."
    return Table("The loan model's log in place", heads, tuple(rows), note), verdicts


SECTIONS = (
    Section(
        "weeks",
        "Real columns",
        "weeks of 13 real columns redrawn: at most 3 times what was asked on 11 at 1e5 and on "
        "13 at 1e4; of other columns on four fifths",
        weeks,
    ),
    Section("recorded", "Recorded streams in place", "nothing: what they give", in_place),
    Section(
        "logs",
        "Prediction logs",
        "all changed columns found, each within .7 of ADWIN's delay, at most .2 false in 100,000",
        logs,
    ),
)
