"""How several monitors stand, as if they were a single one: what people and metrics are shown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import NamedTuple

from streamdrift.model import ModelVersion
from streamdrift.monitor import Monitor
from streamdrift.realised import RealisedRate
from streamdrift.records import SignalFinding, SignalReading, WarmUp

_BY_NAME = itemgetter(0)
_BY_MODEL = attrgetter("model")
_BY_GROUP = attrgetter("model", "version", "group")


class Standing(NamedTuple):
    """Numbers of what is watched."""

    readings: Sequence[SignalReading]
    """Statistic and threshold of some signals, of each detector."""
    left_out: int
    """How many readings are not among them."""
    warm_ups: Sequence[WarmUp]
    """How far each version's reference is."""
    incidents: Mapping[tuple[str, str], int]
    """How many are open, by model and version."""
    unwatched: int
    """Events not watched because the limit of versions was reached."""
    dropped: Mapping[str, int]
    """How many repeated events were dropped since the beginning, by model."""
    realised: Sequence[RealisedRate]
    """What came of each model's budget, by model."""
    findings: Sequence[SignalFinding]
    """What was found in the references of signals, as many as there may be readings."""
    findings_left_out: int
    """How many are not among them."""


def versions(monitors: Iterable[Monitor]) -> list[ModelVersion]:
    """Return every model version, each of its groups, by model, version and group."""
    return sorted((each for monitor in monitors for each in monitor.versions()), key=_BY_GROUP)


def standing(monitors: Sequence[Monitor], most_readings: int = 0) -> Standing:
    """Return how monitors stand, of which each has models, or groups of models, of its own.

    Which readings are left out changes only when versions appear or go: those of the last, by
    model, version, group and ordinal.
    """
    found = versions(monitors)
    traffic = [each for monitor in monitors for each in monitor.traffic_readings()]
    readings = sorted(traffic, key=_BY_MODEL)
    for version in found:
        if len(readings) < most_readings:
            readings += version.readings()
    incidents: Counter[tuple[str, str]] = Counter()
    dropped: Counter[str] = Counter()
    for monitor in monitors:
        incidents.update(monitor.open_incidents())
        dropped.update(monitor.dropped)
    return Standing(
        readings[:most_readings],
        max(0, len(traffic) + sum(each.reading_count for each in found) - most_readings),
        [version.warm_up() for version in found if version.group == 0],
        incidents,
        sum(monitor.unwatched for monitor in monitors),
        dropped,
        sorted((each for monitor in monitors for each in monitor.realised()), key=_BY_MODEL),
        *_findings(monitors, found, most_readings),
    )


def every_reading(monitors: Sequence[Monitor]) -> list[SignalReading]:
    """Return the statistic and threshold of each detector of every signal, event rates first."""
    traffic = [each for monitor in monitors for each in monitor.traffic_readings()]
    found = sorted(traffic, key=_BY_MODEL)
    return [*found, *(each for version in versions(monitors) for each in version.readings())]


def _findings(
    monitors: Iterable[Monitor], found: Sequence[ModelVersion], most: int
) -> tuple[Sequence[SignalFinding], int]:
    """Return the first findings, and how many more there are; each kind once a signal."""
    traffic = sorted((pair for each in monitors for pair in each.traffic.items()), key=_BY_NAME)
    signals = [
        *(
            (model, "", name, findings)
            for model, each in traffic
            for name, findings in each.findings
        ),
        *(
            (version.model, version.version, signal.name, findings)
            for version in found
            for signal, findings in version.findings
        ),
    ]
    told = list[SignalFinding]()
    more = 0
    for model, version_name, name, findings in signals:
        codes = sorted({finding.code.value for finding in findings})
        room = max(most - len(told), 0)
        more += max(len(codes) - room, 0)
        told += [SignalFinding(model, version_name, name, code) for code in codes[:room]]
    return told, more
