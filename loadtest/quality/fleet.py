"""Sections on whole models through the core, with a budget as the only setting."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from loadtest.quality import changes, peers, subjects, traffic, trials
from loadtest.quality.measures import poisson_upper
from loadtest.quality.peers import Series
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import Result, Table, Verdict, at_least, at_most, delay_cell
from loadtest.quality.traffic import Heard, Traffic, Values
from streamdrift.incidents.budget import Budget
from streamdrift.models.settings import ModelSettings
from streamdrift.records import Batch, Floats

DAY = 86_400.0
WEEK = 7 * DAY

SIGNALS, MOVED, SHIFT = 500, 10, 0.5
MEDIAN = 130.0
_A_DAY = 1e5
"""Events of a day, where not said otherwise."""
_QUIET, _AFTER = 25_000, 5_000
"""Events before and after the move, the reference among the former."""

WIDE = 1_000
FALSE_IN_TEN = 15.0
WIDE_DELAYS = {0.25: 620.0, 0.5: 170.0, 1.0: 48.0, 2.0: 14.0}

_SERVICE_BUDGET = 2.0
_SERVICE_COLUMNS = 5
_SERVICE_WEEKS = 4
TIMES, TIMES_LATER = 3.0, 1.5
FOUND_WITHIN = 10.0


def _normal(random: np.random.Generator, times: Floats) -> Floats:
    return random.standard_normal(len(times))


def _lognormal(random: np.random.Generator, times: Floats) -> Floats:
    return random.lognormal(0.0, 1.0, len(times))


def _uniform(random: np.random.Generator, times: Floats) -> Floats:
    return random.random(len(times))


_KINDS: tuple[Values, ...] = (_normal, _lognormal, _uniform)


def _steady(_: float) -> float:
    return _A_DAY / DAY


def _moving(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Move the first columns by half a standard deviation from a certain event on."""
    for batch in batches:
        there = batch.offset >= _QUIET
        if there.any():
            for column in list(batch.columns.values())[:MOVED]:
                column.numbers[there] += SHIFT
        yield batch
        if batch.offset[-1] >= _QUIET + _AFTER:
            return


def many(plan: Plan) -> Result:
    """Let 10 of 500 normal columns move; see who is told, when, and in how many incidents."""
    settings = ModelSettings(alert_budget=Budget(1, "week"))
    names = [f"f{number:03}" for number in range(SIGNALS)]
    moved = frozenset(names[:MOVED])
    stream = Traffic(_steady, dict.fromkeys(names, _normal), 1_024)
    runs = plan.runs(10)
    false, opened, found, late = 0, 0, 0, list[float]()
    for run in range(runs):
        plan.say(f"500 signals, run {run + 1}")
        random = trials.generator(plan.seed, "500 signals", run)
        times: list[Floats] = []
        batches = _kept(_moving(stream.batches(random, WEEK)), times)
        told: dict[str, float] = {}
        for alert in traffic.heard(settings, batches):
            opened += alert.opened
            for name in alert.columns:
                told.setdefault(name, alert.at)
        every = np.concatenate(times)
        begun = float(every[_QUIET])
        late += [traffic.places(every, told[name]) - _QUIET for name in moved & set(told)]
        false += sum(name not in moved or at < begun for name, at in told.items())
        found += len(moved & set(told))
    peer = _many_by_adwin(plan)
    row = (
        f"{opened / runs:.1f}",
        f"{false / runs:.2f}",
        f"{found / runs:.1f} of {MOVED}",
        f"{np.median(late) if late else math.nan:,.0f}",
    )
    verdicts = [
        at_most("500 signals: false ones told, per run", false / runs, 0.0, form=".2f"),
        at_least("500 signals: moved ones told", found / (runs * MOVED), 1.0),
        at_most("500 signals: median delay", float(np.median(late)) if late else math.inf, MEDIAN),
        Verdict("500 signals: incidents", "1 per run", f"{opened / runs:.2f}", opened == runs),
    ]
    heads = ("", "incidents (alarms)", "false signals", "moved ones found", "median delay")
    table = Table(
        "500 normal columns, 10 of them move by 0.5 sd, 1e5 events a day, budget 1 a week",
        heads,
        (("streamdrift, the core", *row), peer),
        f"Means of {runs} runs of 10,000 rows of reference, 15,000 quiet ones and 5,000 after.",
    )
    return Result([table], verdicts)


def _kept(batches: Iterator[Batch], times: list[Floats]) -> Iterator[Batch]:
    """Pass batches on, and keep the times of their events, in seconds from the beginning."""
    for batch in batches:
        times.append(batch.time / 1e6 - traffic.BEGIN)
        yield batch


def _told(batches: Iterator[Batch], what: str, plan: Plan) -> Iterator[Batch]:
    """Pass batches on, and say when a day is over."""
    days = 0
    for batch in batches:
        yield batch
        if batch.time[-1] / 1e6 - traffic.BEGIN >= (days + 1) * DAY:
            days += 1
            plan.say(f"{what}: {days} days")


def _many_by_adwin(plan: Plan) -> tuple[str, ...]:
    """Give one run's columns to one ADWIN each."""
    random = trials.generator(plan.seed, "500 signals", 0)
    alarms, false, late = 0, 0, list[int]()
    for number in range(SIGNALS):
        values = random.standard_normal(_QUIET + _AFTER)
        if number < MOVED:
            values[_QUIET:] += SHIFT
        found = peers.ADWIN.alarms(Series(values[:10_000], values[10_000:])) + 10_000
        alarms += len(found)
        after = found[found >= _QUIET]
        if number < MOVED:
            false += int(np.sum(found < _QUIET))
            late += (after[:1] - _QUIET + 1).tolist()
        else:
            false += len(found)
    median = f"{np.median(late) if late else math.nan:,.0f}"
    cells = (f"{alarms}", f"{false}", f"{len(late)} of {MOVED}", median)
    return ("river ADWIN, default, one run", *cells)


def quiet_week(plan: Plan) -> Result:
    """Let 1,000 columns of three kinds be quiet for weeks."""
    settings = ModelSettings(alert_budget=Budget(1, "week"))
    columns = {f"f{number:04}": _KINDS[number % 3] for number in range(WIDE)}
    stream = Traffic(_steady, columns, 2_048)
    weeks, opened = plan.runs(10, 1), 0
    for week in range(weeks):
        random = trials.generator(plan.seed, "quiet week", week)
        batches = _told(stream.batches(random, WEEK), f"week {week + 1}", plan)
        opened += sum(alert.opened for alert in traffic.heard(settings, batches))
        plan.say(f"week {week + 1} is over: {opened} opened so far")
    ten = 10 / weeks
    table = Table(
        "1,000 quiet columns (normal, lognormal, uniform), 1e5 events a day, budget 1 a week",
        ("weeks", "incidents opened", "in ten weeks", "one-sided 95 % bound"),
        ((f"{weeks}", f"{opened}", f"{opened * ten:.1f}", f"{poisson_upper(opened) * ten:.1f}"),),
    )
    held = opened * ten <= FALSE_IN_TEN
    verdicts = [
        Verdict(
            "1,000 signals: incidents in ten quiet weeks",
            f"<= {FALSE_IN_TEN:g}",
            f"{opened * ten:.1f} ({weeks} simulated)",
            held if weeks >= 5 or not held else None,
        )
    ]
    run_length = WIDE * _A_DAY * 7
    rows = []
    for shift, reach in WIDE_DELAYS.items():
        delays = trials.delays(
            subjects.default(run_length), changes.SHIFTS[shift], plan.runs(400), seed=plan.seed
        )
        rows.append((f"mean +{shift:g} sd", delay_cell(delays)))
        verdicts.append(
            at_most(f"1,000 signals, mean +{shift:g} sd", delays.mean, reach, delays.error)
        )
    late = Table(
        f"Delay of one of 1,000 signals at this budget: run length {run_length:.0e}",
        ("change", "streamdrift"),
        tuple(rows),
    )
    return Result([table, late], verdicts)


def _busy(now: float) -> float:
    """Return 100 events a second, half more by day and half fewer by night, 60 at weekends."""
    wave = 1 + 0.5 * math.sin(2 * math.pi * now / DAY)
    return 100 * wave * (0.6 if now % WEEK >= 5 * DAY else 1.0)


def _daily(
    random: np.random.Generator, times: Floats, phase: float, moved_at: float, by: float
) -> Floats:
    """Draw normal values on a daily wave of half a standard deviation, moved from a time on."""
    wave = 0.5 * np.sin(2 * math.pi * (times / DAY + phase))
    return random.standard_normal(len(times)) + wave + by * (times >= moved_at)


def service(plan: Plan) -> Result:
    """Let a model with rhythms in values and volume be watched for four weeks, then move."""
    settings = ModelSettings(alert_budget=Budget(_SERVICE_BUDGET, "week"))
    moved_at = _SERVICE_WEEKS * WEEK + 12 * 3_600.0
    columns: Mapping[str, Values] = {
        f"f{number}": partial(
            _daily, phase=number / 10, moved_at=moved_at, by=1.0 if number == 0 else 0.0
        )
        for number in range(_SERVICE_COLUMNS)
    }
    stream = Traffic(_busy, columns)
    runs = plan.runs(3, 1)
    by_week = np.zeros(_SERVICE_WEEKS)
    late: list[float] = []
    for run in range(runs):
        random = trials.generator(plan.seed, "service", run)
        batches = _told(stream.batches(random, moved_at + 600), f"run {run + 1}", plan)
        alerts = list(traffic.heard(settings, batches))
        late.append(_first(alerts, "f0", moved_at) - moved_at)
        for alert in alerts:
            if alert.opened and alert.at < _SERVICE_WEEKS * WEEK:
                by_week[int(alert.at // WEEK)] += 1
        plan.say(f"run {run + 1}: opened by week {by_week}, found after {late[-1]:.1f} s")
    by_week /= runs
    every, later = float(by_week.mean()), float(by_week[1:].mean())
    budget = _SERVICE_BUDGET
    verdicts = [
        at_most("service: opened a week, times the budget", every / budget, TIMES, form=".2f"),
        at_most("service, from week 2: the same", later / budget, TIMES_LATER, form=".2f"),
        at_most("service: 1 sd found, worst, s", max(late), FOUND_WITHIN, form=".1f"),
    ]
    cells = tuple(f"{count:.1f}" for count in by_week)
    heads = (
        "runs",
        *(f"opened in week {week + 1}" for week in range(_SERVICE_WEEKS)),
        "1 sd found after, s",
    )
    seconds = ", ".join(f"{one:.1f}" for one in late)
    table = Table(
        "100 events/s, 5 columns with a daily cycle of .5 sd, volume +-50 %, quiet weekends",
        heads,
        ((f"{runs}", *cells, seconds),),
        f"Budget {budget:g} a week; everything else at its default. No other change is in it.",
    )
    return Result([table], verdicts)


def _first(alerts: list[Heard], column: str, since: float) -> float:
    """Return when a column was first told at or after a time; infinite if it was not."""
    told = (alert.at for alert in alerts if column in alert.columns and alert.at >= since)
    return min(told, default=math.inf)


SECTIONS = (
    Section(
        "many",
        "500 signals of which 10 move",
        "none false, 10 of 10 found, within 130 events in the median, one incident",
        many,
        "Beside ten that are told, e-BH takes less evidence of others: of all that it tells, false "
        "ones may be a part, here one of some fifty",
    ),
    Section(
        "weeks1000",
        "1,000 signals, quiet weeks",
        "at most 15 incidents in ten weeks at a budget of one; at this budget a shift of one "
        "column by .25 / .5 / 1 / 2 sd within 620 / 170 / 48 / 14 values",
        quiet_week,
    ),
    Section(
        "service",
        "A service at 100 events a second",
        "at most 3 times the budget over four weeks, 1.5 times from the second on; 1 sd found "
        "within 10 s",
        service,
    ),
)
