"""How several monitors stand, as if they were a single one: what people and metrics are shown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from streamdrift.incidents.realised import RealisedRate
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.slices import Slices, at_once
from streamdrift.readings import Readings, SignalReading, rows
from streamdrift.records import FoundIn, WarmUp

_BY_MODEL = attrgetter("model")
_BY_GROUP = attrgetter("model", "version", "group")
_SIGNALS = 100
"""Signals that are looked at in a slice, and those of one version beyond."""
_MODELS = 50
"""Models whose event rates are looked at in a slice."""


class Standing(NamedTuple):
    """What is watched, and the numbers of it. Nobody changes any part of it."""

    readings: Sequence[Readings]
    """Of the event rate of each model, by model; then of each version, by model and version."""
    warm_ups: Sequence[WarmUp]
    """How far each version's reference is."""
    incidents: Mapping[tuple[str, str], int]
    """How many are open that nobody expected, by model and version."""
    expected: Mapping[tuple[str, str], int]
    """How many are open that began in a planned change."""
    unwatched: int
    """Events not watched because the limit of versions was reached."""
    dropped: Mapping[str, int]
    """How many repeated events were dropped since the beginning, by model."""
    realised: Sequence[RealisedRate]
    """What came of each model's budget, by model."""
    findings: Sequence[FoundIn]
    """What was found in the references of signals, in the order of `readings`."""


NOTHING = Standing((), (), {}, {}, 0, {}, (), ())
"""How no monitors stand."""


def versions(monitors: Iterable[Monitor]) -> list[ModelVersion]:
    """Return every model version, each of its groups, by model, version and group."""
    return sorted((each for monitor in monitors for each in monitor.versions()), key=_BY_GROUP)


def warm_ups(monitors: Iterable[Monitor]) -> list[WarmUp]:
    """Return how far each version's reference is, by model and version."""
    return [version.warm_up() for version in versions(monitors) if version.group == 0]


def standing(monitors: Sequence[Monitor]) -> Standing:
    """Return how monitors stand, of which each has models, or groups of models, of its own."""
    return at_once(survey(monitors))


def survey(monitors: Sequence[Monitor]) -> Slices[Standing]:
    """Make what `standing` returns, in slices. Versions that come meanwhile are not in it."""
    found = versions(monitors)
    traffic = sorted(pair for monitor in monitors for pair in monitor.traffic.items())
    readings: list[Readings] = []
    findings: list[FoundIn] = []
    yield
    for place, (model, one) in enumerate(traffic):
        readings += one.readings()
        findings.append(one.found_in(model))
        if place % _MODELS == 0:
            yield
    looked_at = 0
    for version in found:
        own = version.readings()
        readings += own
        findings += version.found_in()
        looked_at += sum(len(each.signals) for each in own)
        if looked_at >= _SIGNALS:
            looked_at = 0
            yield
    incidents: Counter[tuple[str, str]] = Counter()
    expected: Counter[tuple[str, str]] = Counter()
    dropped: Counter[str] = Counter()
    realised: list[RealisedRate] = []
    for monitor in monitors:
        incidents.update(monitor.open_incidents(expected=False))
        expected.update(monitor.open_incidents(expected=True))
        dropped.update(monitor.dropped)
        realised += monitor.realised()
        yield
    return Standing(
        readings,
        [version.warm_up() for version in found if version.group == 0],
        incidents,
        expected,
        sum(monitor.unwatched for monitor in monitors),
        dropped,
        sorted(realised, key=_BY_MODEL),
        [each for each in findings if each.codes],
    )


def every_reading(monitors: Sequence[Monitor]) -> list[SignalReading]:
    """Return the statistic and threshold of each detector of every signal, event rates first."""
    traffic = sorted(pair for monitor in monitors for pair in monitor.traffic.items())
    found = [each for _, one in traffic for each in one.readings()]
    return rows([*found, *(each for one in versions(monitors) for each in one.readings())])
