"""Sections in which nothing changes: false alarms beside those that were asked for."""

from collections.abc import Sequence

import numpy as np

from loadtest.quality import columns, peers, streams, subjects, trials
from loadtest.quality.measures import PER, Rate
from loadtest.quality.peers import Detector, Series
from loadtest.quality.plan import Plan, Section
from loadtest.quality.streams import Stream
from loadtest.quality.tables import Result, Table, Verdict, bounded, rate_cell

ASKED = (1e4, 1e5)
_RUNS = {1e4: 40, 1e5: 200}
"""Runs of 100,000 values in what is published, by run length."""

_PEERS: Sequence[Detector] = (peers.ADWIN, peers.PAGE_HINKLEY)


def rates_of(
    plan: Plan, watched: Sequence[Stream], factor: float | None, runs: dict[float, int], title: str
) -> Result:
    """Measure false alarms of streamdrift at each run length, and of river at its defaults.

    `factor` times what was asked is to be reached on each stream; None asks nothing.
    """
    rows, verdicts = [], []
    for stream in watched:
        plan.say(stream.name)
        cells = [stream.name]
        for asked in ASKED:
            rate = trials.false_alarms(
                subjects.default(asked), stream, plan.runs(runs[asked]), seed=plan.seed
            )
            cells.append(rate_cell(rate))
            if factor is not None:
                verdicts.append(_judge(f"{stream.name}, asked {asked:,.0f}", rate, asked, factor))
        for peer in _PEERS:
            rate = trials.false_alarms(peer, stream, plan.runs(20), seed=plan.seed)
            cells.append(rate_cell(rate))
        rows.append(tuple(cells))
    heads = (
        "stream",
        *(f"streamdrift, asked {PER / asked:g}" for asked in ASKED),
        *(f"{peer.name}, default" for peer in _PEERS),
    )
    note = "Alarms in 100,000 values (one-sided 95 % upper bound) [count]."
    return Result([Table(title, heads, tuple(rows), note)], verdicts)


def _judge(what: str, rate: Rate, asked: float, factor: float) -> Verdict:
    return bounded(what, rate.each, rate.upper, rate.lower, factor * PER / asked)


def independent(plan: Plan) -> Result:
    watched = [*streams.INDEPENDENT.values(), *columns.shuffled(plan.data)]
    found = rates_of(plan, watched, 1.25, _RUNS, "False alarms, independent values")
    return Result(found.tables, [*found.verdicts, _same_in_other_units(plan)])


def _same_in_other_units(plan: Plan) -> Verdict:
    """Compare the alarms on x with those on 1000 x + 5000, with changes in them."""
    numeric = [one for one in streams.INDEPENDENT.values() if one.kind == "numeric"]
    same, alarms = 0, 0
    for stream in numeric:
        random = trials.generator(plan.seed, stream.name, 0)
        path = stream.draw(random, 200_000)
        path[100_000:] *= 1.3
        detector = subjects.default(1e4)
        plain, other = (
            detector.alarms(Series(values[:10_000], values[10_000:]))
            for values in (path, 1_000 * path + 5_000)
        )
        alarms += len(plain)
        same += np.array_equal(plain, other)
    measured = f"{same} of {len(numeric)} streams, {alarms} alarms"
    return Verdict(
        "identical alarms for x and 1000 x + 5000", "on all", measured, same == len(numeric)
    )


def river_settings(plan: Plan) -> Result:
    """Measure the run lengths of river's detectors on normal values, at the settings used."""
    normal = streams.INDEPENDENT["normal"]
    candidates: list[tuple[Detector, int]] = [
        (peers.ADWIN, 200),
        (peers.PAGE_HINKLEY, 20),
        *((plan.calibration.adwin(normal, asked), _RUNS[asked]) for asked in ASKED),
        *((plan.calibration.page_hinkley(normal, asked), _RUNS[asked]) for asked in ASKED),
    ]
    rows = []
    for detector, runs in candidates:
        plan.say(detector.name)
        rate = trials.false_alarms(detector, normal, plan.runs(runs), seed=plan.seed + 1)
        length = rate.values / rate.alarms if rate.alarms else float("inf")
        rows.append((detector.name, rate_cell(rate), f"{length:,.0f}"))
    if plan.effort >= 0.5:
        rate = trials.false_alarms(
            peers.KSWIN, normal, plan.runs(10), seed=plan.seed, length=10_000, reference=1_000
        )
        rows.append(
            (peers.KSWIN.name, rate_cell(rate), f"{rate.values / max(rate.alarms, 1):,.0f}")
        )
    table = Table(
        "River's detectors on normal values",
        ("detector", "alarms in 100,000 values", "values for one alarm"),
        tuple(rows),
        "After a reference of 10,000 values (KSWIN 1,000), over runs of 100,000 (KSWIN 10,000).",
    )
    return Result([table], [])


SECTIONS = (
    Section(
        "independent",
        "False alarms on independent streams",
        "at run lengths of 1e4 and 1e5, the one-sided 95 % bound at most 1.25 times what was "
        "asked on each; identical alarms for x and 1000 x + 5000",
        independent,
    ),
    Section("river", "River's settings", "nothing: what the peers' settings mean", river_settings),
)
