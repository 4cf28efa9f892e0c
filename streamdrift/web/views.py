"""What the API asks the loop: each answer is made at the end of a turn, in short slices.

Only what is cheap is done there. What answers are made of is made by who asked.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streamdrift.distributions import Distribution
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.slices import Slices
from streamdrift.monitoring.standing import versions
from streamdrift.readings import Readings
from streamdrift.records import SignalKind
from streamdrift.references.findings import told
from streamdrift.serving.desk import Question
from streamdrift.web.names import SignalKey

_VERSIONS = 100
"""Versions that are looked at in a slice."""


class VersionFacts(NamedTuple):
    """How a version stands, or a group of one that is divided."""

    version: str
    events: int
    last_at: int
    watched: bool
    collected: int
    wanted: int
    signals: int
    changed: int


class ModelFacts(NamedTuple):
    """How a model stands, as far as it is watched here."""

    model: str
    open_incidents: int
    versions: tuple[VersionFacts, ...]


class SignalFacts(NamedTuple):
    """How a signal stands."""

    readings: tuple[Readings, ...]
    """Those of its version, among which are its own."""
    findings: tuple[str, ...]
    distribution: Distribution | None


def models_after(after: str | None, most: int) -> Question[list[ModelFacts]]:
    """Ask for the models whose names come after one, by name, and how many there are at most."""

    def answer(monitors: Sequence[Monitor]) -> Slices[list[ModelFacts]]:
        names = _names(monitors)
        chosen = sorted(name for name in names if after is None or name > after)[:most]
        yield
        groups: dict[str, list[ModelVersion]] = {name: [] for name in chosen}
        for each in versions(monitors):
            if each.model in groups:
                groups[each.model].append(each)
        incidents: Counter[str] = Counter()
        for monitor in monitors:
            for expected in (False, True):
                for (model, _), count in monitor.open_incidents(expected=expected).items():
                    incidents[model] += count
        yield
        found = []
        for name, own in groups.items():
            facts = []
            for each in own:
                facts.append(_version_facts(each))
                if len(facts) % _VERSIONS == 0:
                    yield
            found.append(ModelFacts(name, incidents[name], tuple(facts)))
            yield
        return found

    return answer


def _names(monitors: Sequence[Monitor]) -> frozenset[str]:
    names = {each.model for monitor in monitors for each in monitor.versions()}
    return frozenset(names.union(*(monitor.traffic for monitor in monitors)))


def names() -> Question[frozenset[str]]:
    """Ask for the models that are watched here."""

    def answer(monitors: Sequence[Monitor]) -> Slices[frozenset[str]]:
        yield
        return _names(monitors)

    return answer


def knows(model: str) -> Question[bool | None]:
    """Ask whether a model is watched here; None where it is not."""

    def answer(monitors: Sequence[Monitor]) -> Slices[bool | None]:
        yield
        there = model in _names(monitors)
        return True if there else None

    return answer


def _version_facts(version: ModelVersion) -> VersionFacts:
    warm_up = version.warm_up()
    return VersionFacts(
        version.version,
        version.events,
        version.last_at,
        warm_up.complete,
        warm_up.events,
        warm_up.wanted,
        len(version.signals),
        len(version.changes),
    )


def signals_of(model: str, version: str | None) -> Question[list[Readings] | None]:
    """Ask for the readings of a model's signals, or one version's; None where it has no events."""

    def answer(monitors: Sequence[Monitor]) -> Slices[list[Readings] | None]:
        traffic = [monitor.traffic[model] for monitor in monitors if model in monitor.traffic]
        own = _versions_of(monitors, model)
        if not traffic and not own:
            return None
        found = [each for one in traffic for each in one.readings() if version in (None, "")]
        for each in own:
            if version in (None, each.version):
                found += each.readings()
                yield
        return found

    return answer


def signal(key: SignalKey) -> Question[SignalFacts | None]:
    """Ask for one signal; None where there is none, or not yet."""

    def answer(monitors: Sequence[Monitor]) -> Slices[SignalFacts | None]:
        if key.kind is SignalKind.EVENT_RATE:
            for monitor in monitors:
                traffic = monitor.traffic.get(key.model)
                if traffic is not None and (readings := traffic.readings()):
                    findings = tuple(told(traffic.findings))
                    return SignalFacts(tuple(readings), findings, None)
            return None
        for version in _versions_of(monitors, key.model):
            if version.version != key.version:
                continue
            own = [
                each
                for each in version.signals
                if SignalKey.of(version.model, version.version, each) == key
            ]
            yield
            for each in own:
                own_findings = (pair for pair in version.findings if pair[0] == each)
                words = tuple(told((found.name, known) for found, known in own_findings))
                distribution = version.distribution(each)
                return SignalFacts(tuple(version.readings()), words, distribution)
        return None

    return answer


def _versions_of(monitors: Iterable[Monitor], model: str) -> list[ModelVersion]:
    return [each for each in versions(monitors) if each.model == model]
