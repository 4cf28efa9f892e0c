"""Sections on what follows from a change: openings, intervals; and on small references."""

from collections.abc import Sequence

import numpy as np

from loadtest.quality import changes, peers, streams, subjects, trials
from loadtest.quality.changes import Change, draw_path
from loadtest.quality.measures import PER, Coverage, share_upper
from loadtest.quality.peers import Detector, Series
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import (
    Result,
    Table,
    at_least,
    at_most,
    bounded,
    coverage_cell,
    delay_cell,
    rate_cell,
)

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
                hits = int(np.sum(counts == 1))
                verdicts.append(
                    at_least(
                        f"{change.name}: exactly one opening", exactly, 1.0, share_upper(hits, runs)
                    )
                )
        rows.append(tuple(cells))
    heads = ("change", *(name for name, _ in candidates))
    note = (
        "Alarms from the change on, mean over the runs. By chance there would be "
        f"{LASTS / LASTING_RUN_LENGTH:.3f} more at a run length of 1e7."
    )
    table = Table("Alarms for one change that lasts for 20,000 values", heads, tuple(rows), note)
    return Result([table], verdicts)


def _openings(plan: Plan, change: Change, detector: Detector, run: int) -> int:
    random = trials.generator(plan.seed, change.name, run)
    path = draw_path(change, random, trials.REFERENCE, trials.QUIET, LASTS)
    found = detector.alarms(Series(path.reference, path.values, change.before.kind, run))
    return int(np.sum(found >= path.place))


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


def intervals(plan: Plan) -> Result:
    """Measure how often the stated onset holds the true one, and the effect's interval its size."""
    detector = subjects.default(RUN_LENGTH)
    rows, verdicts = [], []
    for change in _CHANGES:
        plan.say(change.name)
        held, widths, runs = 0, [], plan.runs(400)
        for run in range(runs):
            random = trials.generator(plan.seed, change.name, run)
            path = draw_path(change, random, trials.REFERENCE, trials.QUIET, change.horizon)
            series = Series(path.reference, path.values, change.before.kind, run)
            found = detector.first(series, path.place)
            if found is not None:
                earliest, latest = found.onset
                held += earliest <= path.place <= latest
                widths.append(latest - earliest + 1)
        onset = Coverage(held, len(widths), float(np.median(widths)) if widths else 0.0)
        rows.append((change.name, coverage_cell(onset)))
        verdicts.append(
            at_least(
                f"{change.name}: onset interval holds it",
                onset.share,
                COVERED,
                share_upper(held, len(widths)),
            )
        )
    heads = ("change", "onset")
    note = "Share of stated intervals that hold the first changed value (median width in values)."
    return Result([Table("Onset: coverage", heads, tuple(rows), note)], verdicts)


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
