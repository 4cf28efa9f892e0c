"""Delays side by side: streamdrift, river, and an optimum that is told the change."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from loadtest.quality import subjects, trials
from loadtest.quality.changes import Change
from loadtest.quality.measures import Delays
from loadtest.quality.peers import Detector
from loadtest.quality.plan import Plan
from loadtest.quality.tables import Table, delay_cell

NOTE = (
    "Restricted mean delay in values (a miss counts as the horizon) ± standard error / median "
    "[share found within the horizon, if not all]. † marks a detector that alarms so often "
    "without a change that one of its alarms within the horizon says nothing."
)


class Entry(NamedTuple):
    """A column of the table: a detector for each change, and the share of the runs it is given."""

    head: str
    of: Callable[[Change], Detector]
    share: float = 1.0


def always(detector: Detector, share: float = 1.0) -> Entry:
    return Entry(detector.name, lambda _: detector, share)


def ours(run_length: float) -> Entry:
    return Entry("streamdrift", lambda _: subjects.default(run_length))


def compare(
    plan: Plan,
    title: str,
    changes: Sequence[Change],
    entries: Sequence[Entry],
    *,
    runs: int,
    run_length: float,
) -> tuple[Table, Mapping[str, Delays], Mapping[str, Delays]]:
    """Measure every change; return the table, the first entry's delays, and those of the told."""
    first: dict[str, Delays] = {}
    told: dict[str, Delays] = {}
    rows = []
    for change in changes:
        plan.say(change.name)
        cells = [change.name, f"{change.horizon:,}"]
        if change.told:
            found = trials.told_delays(change, run_length, plan.runs(runs), seed=plan.seed)
            told[change.name] = found
            cells.append(delay_cell(found))
        else:
            cells.append("")
        for number, entry in enumerate(entries):
            times = plan.runs(max(round(runs * entry.share), 3))
            found = trials.delays(entry.of(change), change, times, seed=plan.seed)
            if number == 0:
                first[change.name] = found
            cells.append(delay_cell(found))
        rows.append(tuple(cells))
    heads = ("change", "horizon", "optimum", *(entry.head for entry in entries))
    return Table(title, heads, tuple(rows), NOTE), first, told
