"""Sections on what follows from a change: openings, intervals; and on small references."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from loadtest.quality import changes, peers, streams, subjects, trials
from loadtest.quality.changes import Change, draw_path
from loadtest.quality.measures import PER, Coverage, poisson_below, share_upper
from loadtest.quality.peers import Detector, Series
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import (
    Result,
    Table,
    Verdict,
    at_least,
    at_most,
    bounded,
    coverage_cell,
    delay_cell,
    rate_cell,
)
from streamdrift.records import Ints

RUN_LENGTH = 1e5
LASTING_RUN_LENGTH = 1e7
LASTS = 20_000
SMALL = (500, 2_000)
SMALL_DELAY = 90.0
COVERED = 0.95

_CHANGES: Sequence[Change] = (
    *changes.SHIFTS.values(),
    *changes.SPREADS.values(),
    *changes.TAILS.values(),
    changes.SHAPES[0],
    changes.MIXES[1],
    changes.RATES[1],
    changes.RATES[3],
)


def openings(plan: Plan) -> Result:
    """Count the alarms of one change that lasts for 20,000 values."""
    candidates: list[tuple[str, Detector]] = [
        ("streamdrift, run length 1e7", subjects.default(LASTING_RUN_LENGTH)),
        ("river ADWIN, default", peers.ADWIN),
        ("river Page-Hinkley, default", peers.PAGE_HINKLEY),
    ]
    rows, verdicts = [], []
    for change in _CHANGES:
        plan.say(change.name)
        cells = [change.name]
        for place, (_, detector) in enumerate(candidates):
            runs = plan.runs(100 if place == 0 else 20)
            counts = np.array([_openings(plan, change, detector, run) for run in range(runs)])
            exactly = float(np.mean(counts == 1))
            cells.append(f"{np.mean(counts):.2f} (exactly one: {exactly:.0%}; most {counts.max()})")
            if place == 0:
                verdicts.append(judge(change.name, counts))
        rows.append(tuple(cells))
    heads = ("change", *(name for name, _ in candidates))
    note = (
        "Alarms from the change on, mean over the runs. By chance there would be "
        f"{LASTS / LASTING_RUN_LENGTH:.3f} more at a run length of 1e7."
    )
    table = Table("Alarms for one change that lasts for 20,000 values", heads, tuple(rows), note)
    return Result([table, _twice(plan)], verdicts)


LASTS_AT_FIRST, RESTS = 1_000, 4_000


def _twice(plan: Plan) -> Table:
    """Count the alarms of changes that come, go and come again."""
    detector = subjects.default(LASTING_RUN_LENGTH)
    rows = []
    for change in _CHANGES:
        plan.say(f"{change.name}, twice")
        after = changes.in_episodes(change.after, LASTS_AT_FIRST, RESTS)
        again = change._replace(name=f"{change.name}, twice", after=after)
        found = [_alarms(plan, again, detector, run) for run in range(plan.runs(100))]
        first = [int(np.sum(places < LASTS_AT_FIRST)) for places in found]
        between = [
            int(np.sum((places >= LASTS_AT_FIRST) & (places < LASTS_AT_FIRST + RESTS)))
            for places in found
        ]
        last = [int(np.sum(places >= LASTS_AT_FIRST + RESTS)) for places in found]
        rows.append((change.name, *(f"{np.mean(counts):.2f}" for counts in (first, between, last))))
    heads = ("change", "while it lasts", "after it is gone", "since it came again")
    title = f"Alarms of a change of {LASTS_AT_FIRST:,} values that comes again {RESTS:,} later"
    note = "Mean alarms of a run; one each in the first and last column, none between, is best."
    return Table(title, heads, tuple(rows), note)


_UNLIKELY = 0.05
"""What is rarer by chance is none, of one change; of all of them together it is what is so rare
that any of them shows it."""


def judge(what: str, counts: Ints) -> Verdict:
    """Judge the openings of each run: no more are missing, or repeated, than by chance.

    An alarm for nothing before the change may hide it, one after it repeats it.
    """
    others = int(np.abs(counts - 1).sum())
    expected = len(counts) * (1.5 * trials.QUIET + LASTS) / LASTING_RUN_LENGTH
    chance = 1 - poisson_below(others - 1, expected)
    held = True if chance > _UNLIKELY else None if chance > _UNLIKELY / len(_CHANGES) else False
    measured = f"in {np.sum(counts == 1)} of {len(counts)} runs ({expected:.2f} by chance not)"
    return Verdict(f"{what}: exactly one opening", "in all", measured, held)


def _openings(plan: Plan, change: Change, detector: Detector, run: int) -> int:
    return len(_alarms(plan, change, detector, run))


def _alarms(plan: Plan, change: Change, detector: Detector, run: int) -> Ints:
    """Return how many values after the change each alarm came."""
    random = trials.generator(plan.seed, change.name, run)
    path = draw_path(change, random, trials.REFERENCE, trials.QUIET, LASTS)
    found = detector.alarms(Series(path.reference, path.values, change.before.kind, run))
    return found[found >= path.place] - path.place


def references(plan: Plan) -> Result:
    """Measure what references of 500 and of 2,000 values do."""
    normal, shift = streams.INDEPENDENT["normal"], changes.SHIFTS[0.5]
    rows, verdicts = [], []
    for size in (*SMALL, trials.REFERENCE):
        for stream in (normal, streams.INDEPENDENT["lognormal"]):
            plan.say(f"{size:,} rows, {stream.name}")
            rate = trials.false_alarms(
                subjects.default(RUN_LENGTH),
                stream,
                plan.runs(200),
                seed=plan.seed,
                reference=size,
            )
            peer = trials.false_alarms(
                peers.ADWIN, stream, plan.runs(20), seed=plan.seed, reference=size
            )
            cells = [f"{size:,}", stream.name, rate_cell(rate), rate_cell(peer)]
            if stream is normal:
                found = trials.delays(
                    subjects.default(RUN_LENGTH),
                    shift,
                    plan.runs(400),
                    seed=plan.seed,
                    reference=size,
                )
                cells.append(delay_cell(found))
            else:
                cells.append("")
            rows.append(tuple(cells))
            if size in SMALL:
                what = f"{size:,} rows, {stream.name}, asked 1e5"
                asked = PER / RUN_LENGTH
                verdicts.append(bounded(what, rate.each, rate.upper, rate.lower, asked))
                if stream is normal:
                    verdicts.append(
                        at_most(
                            f"{size:,} rows, mean +0.5 sd", found.mean, SMALL_DELAY, found.error
                        )
                    )
    heads = (
        "reference",
        "stream",
        "streamdrift, asked 1",
        "river ADWIN, default",
        "mean +0.5 sd, streamdrift",
    )
    return Result([Table("Small references", heads, tuple(rows))], verdicts)


Measure = Literal["shift", "spread", "variation"]


class Truth(NamedTuple):
    """A change and the effect it truly has, in one of the three that are stated."""

    change: Change
    measure: Measure
    effect: float


def _shift_of_rate(before: float, after: float) -> float:
    return (after - before) / math.sqrt(before * (1 - before))


_LARGE: Sequence[tuple[Measure, float]] = (
    ("shift", 5.0), ("shift", 10.0), ("spread", 5.0), ("variation", 1.0),
)  # fmt: skip
_TRUTHS: Sequence[Truth] = (
    *(Truth(change, "shift", shift) for shift, change in changes.SHIFTS.items()),
    *(
        Truth(change, "spread", factor)
        for change, factor in zip(changes.SPREADS.values(), (1.5, 2.0, 0.5), strict=True)
    ),
    Truth(changes.TAILS["lognormal x 1.5"], "shift", math.log(1.5)),
    *(
        Truth(changes.RATES[place], "shift", _shift_of_rate(before, after))
        for place, before, after in ((0, 0.2, 0.25), (1, 0.2, 0.3), (2, 0.2, 0.1), (3, 0.01, 0.03))
    ),
    *(
        Truth(changes.MIXES[place], "variation", variation)
        for place, variation in ((0, 0.1), (1, 0.1), (2, 0.2), (3, 0.2))
    ),
    *(
        Truth(change, measure, effect)
        for change, (measure, effect) in zip(changes.LARGE, _LARGE, strict=True)
    ),
    *(
        Truth(change, "variation", abs(after - before))
        for (before, after), change in changes.JUMPS.items()
    ),
    *(
        Truth(change, "variation", variation)
        for change, variation in zip(
            changes.OUTAGES, (1.0, 1 - float(streams.FIVE[2]), 0.01), strict=True
        )
    ),
)


def intervals(plan: Plan) -> Result:
    """Measure how often the stated onset holds the true one, and the effect's interval its size."""
    rows, verdicts = [], []
    for truth in _TRUTHS:
        plan.say(truth.change.name)
        onset, effect = _stated(plan, truth, plan.runs(400))
        rows.append((truth.change.name, coverage_cell(onset), truth.measure, coverage_cell(effect)))
        for what, coverage in (("onset", onset), ("effect", effect)):
            verdicts.append(
                at_least(
                    f"{truth.change.name}: the {what}'s interval holds it",
                    coverage.share,
                    COVERED,
                    share_upper(coverage.held, coverage.trials),
                )
            )
    heads = ("change", "onset", "effect's measure", "effect")
    note = "Share of stated intervals that hold the truth (median width)."
    return Result([Table("Onset and effect: coverage", heads, tuple(rows), note)], verdicts)


def _stated(plan: Plan, truth: Truth, runs: int) -> tuple[Coverage, Coverage]:
    """Return the coverage of onset and effect as stated at the first alarm after the change."""
    detector, change = subjects.default(RUN_LENGTH), truth.change
    onsets: list[tuple[bool, float]] = []
    effects: list[tuple[bool, float]] = []
    for run in range(runs):
        random = trials.generator(plan.seed, change.name, run)
        path = draw_path(change, random, trials.REFERENCE, trials.QUIET, change.horizon)
        found = detector.first(
            Series(path.reference, path.values, change.before.kind, run), path.place
        )
        if found is None:
            continue
        earliest, latest = found.onset
        onsets.append((earliest <= path.place <= latest, latest - earliest + 1))
        assert found.effect is not None
        stated = getattr(found.effect, truth.measure)
        effects.append((stated.low <= truth.effect <= stated.high, stated.high - stated.low))
    return _coverage(onsets), _coverage(effects)


def _coverage(intervals: Sequence[tuple[bool, float]]) -> Coverage:
    """Gather intervals: whether each held the truth, and its width."""
    widths = [width for _, width in intervals]
    held = sum(held for held, _ in intervals)
    return Coverage(held, len(widths), float(np.median(widths)) if widths else 0.0)


SECTIONS = (
    Section("openings", "Alarms for one lasting change", "exactly one opening", openings),
    Section(
        "references",
        "Small references",
        "with 500 and 2,000 rows at most what was asked (1e5), 0.5 sd within 90 values",
        references,
    ),
    Section(
        "intervals",
        "Onset and effect intervals",
        "the stated interval holds the true onset, or effect, in 95 % of changes",
        intervals,
    ),
)
