"""Incidents as their alerts tell them, put together again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from streamdrift.decoders.times import read_times
from streamdrift.records import Alert, SignalKind


class Member(NamedTuple):
    """A signal that changed in an incident."""

    signal: str
    column: str | None
    earliest: int
    """When its change began at the earliest (microseconds)."""
    changed_at: int
    """When it was noticed."""
    latest: int | None = None
    """When its change began at the latest; None where that is not told, as of silence."""
    told: Mapping[str, Any] = MappingProxyType({})
    """What the alert says of it: statistic, threshold, effect, before and after, onset, text."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident from its opening to its end, None where that is beyond the history."""

    id: str
    model: str
    version: str
    opened_at: int
    ended_at: int | None
    resolution: str | None
    left: frozenset[str]
    """How its signals left it, as far as its last alert names them."""
    silence: bool
    severity: str
    together: int
    """How many signals opened it by e-BH; 1 where one was enough."""
    sentences: Mapping[int, str]
    """What was said of the signals that were noticed from each time on: first of the openers."""
    openers: tuple[str, ...]
    """The signals told at its opening, the strongest first."""
    members: tuple[Member, ...]
    """All signals that ever joined, as far as alerts name them, in the order of time."""


class IncidentLog:
    """Puts the incidents of one monitor together again from its alerts."""

    def __init__(self) -> None:
        self._incidents: dict[str, Incident] = {}
        self._members: dict[str, dict[tuple[str, str], Member]] = {}

    def add(self, alerts: Sequence[Alert]) -> None:
        """Take the next alerts, in their order."""
        for alert in alerts:
            data: Mapping[str, Any] = alert.data
            name = data["incident"]
            known = self._incidents.get(name) or _opened(alert, data)
            members = self._members.setdefault(name, {})
            # One that returned and joined again has changed at another time.
            keys = {(signal["name"], signal["changed_at"]): signal for signal in data["signals"]}
            if new := keys.keys() - members.keys():
                members |= {key: _member(keys[key]) for key in new}
                known = replace(known, sentences={**known.sentences, alert.time: data["summary"]})
            known = replace(known, severity=data["severity"])
            if alert.type == "resolved":
                left = frozenset(signal["left"] for signal in data["signals"])
                resolution = data["resolution"]
                known = replace(known, ended_at=alert.time, resolution=resolution, left=left)
            self._incidents[name] = known

    def incidents(self) -> tuple[Incident, ...]:
        """Return all incidents, in the order of their opening."""
        whole = (
            replace(incident, members=tuple(sorted(self._members[name].values(), key=_by_time)))
            for name, incident in self._incidents.items()
        )
        return tuple(sorted(whole, key=lambda each: (each.opened_at, each.model, each.version)))


def _by_time(member: Member) -> tuple[int, str]:
    return member.changed_at, member.signal


def _opened(alert: Alert, data: Mapping[str, Any]) -> Incident:
    return Incident(
        id=data["incident"],
        model=alert.model,
        version=alert.version,
        opened_at=alert.time,
        ended_at=None,
        resolution=None,
        left=frozenset(),
        silence=data["signals"][0]["kind"] == SignalKind.SILENCE.value,
        severity=data["severity"],
        together=data["together"],
        sentences={},
        openers=tuple(signal["name"] for signal in data["signals"]),
        members=(),
    )


def _member(signal: Mapping[str, Any]) -> Member:
    onset, noticed = signal["onset"], signal["changed_at"]
    texts = [noticed] if onset is None else [noticed, onset["earliest"], onset["latest"]]
    changed_at, *began = read_times(texts).tolist()
    earliest, latest = began or (changed_at, None)
    first = min(earliest, changed_at)
    return Member(signal["name"], signal["column"], first, changed_at, latest, signal)
