"""What snapshots hold, for people who look at them: no settings are needed for that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from streamdrift.detectors.learning import Reference
from streamdrift.monitoring.monitor import check_format
from streamdrift.pipeline import oldest
from streamdrift.records import Partition, State
from streamdrift.references.findings import told
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.naming import signal_names
from streamdrift.state import Published
from streamdrift.trees import (
    array,
    integer,
    optional_integer,
    optional_text,
    text,
    tree,
    trees,
)

_BY_VERSION = attrgetter("model", "version")


@dataclass(frozen=True, slots=True)
class VersionOverview:
    """A model version. `last_at` is the time of its last event, in microseconds."""

    model: str
    version: str
    events: int
    last_at: int
    complete: bool
    """Whether the reference is; before that there are no signals."""
    signals: int
    held: tuple[str, ...]
    """Signals that changed and are not back yet."""
    findings: tuple[str, ...] = ()
    """What was found in the references of its signals, in words."""


@dataclass(frozen=True, slots=True)
class IncidentOverview:
    """An incident that is published as opened, and not resolved yet.

    `version` is empty where it is the model's own traffic; `signals` are those still changed.
    """

    id: str
    model: str
    version: str
    kind: str
    severity: str
    opened_at: int
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the snapshots of all shards hold."""

    fingerprint: Mapping[str, str]
    """The settings it depends on, by key."""
    positions: Mapping[Partition, int]
    """The offset from which on each partition is read again."""
    versions: tuple[VersionOverview, ...]
    incidents: tuple[IncidentOverview, ...]
    alerts: Mapping[str, int]
    """The number of the last alert, by model."""
    published_since: int
    """Alerts published since: they come out once more, and are left out."""


def overview(
    states: Mapping[int, State], published: Published, model: str | None = None
) -> Overview:
    """Return what the decoded snapshots of all shards hold, of one model where that is given.

    `published` is what was published since the oldest. Raises StateError where a snapshot is
    not as this version writes them.
    """
    first = oldest(states)
    monitors = [tree(state, "monitor") for state in states.values()]
    for monitor in monitors:
        check_format(monitor)
    incidents = [tree(monitor, "incidents") for monitor in monitors]
    versions = [
        (integer(each, "group"), _version(each))
        for monitor in monitors
        for each in trees(monitor, "versions")
        if model in (None, text(each, "model"))
    ]
    found = [
        _incident(each)
        for shard in incidents
        for each in trees(shard, "incidents")
        if integer(each, "told") and model in (None, text(each, "model"))
    ]
    told = {
        text(each, "model"): integer(each, "alerts")
        for shard in incidents
        for each in trees(shard, "told")
    }
    return Overview(
        {key: str(value) for key, value in sorted(tree(first, "settings").items())},
        _positions(first),
        tuple(map(_whole, _groups(versions).values())),
        tuple(sorted(found, key=_BY_VERSION)),
        {name: told[name] for name in sorted(told) if model in (None, name)},
        len(published.alerts),
    )


def _groups(
    versions: Sequence[tuple[int, VersionOverview]],
) -> Mapping[tuple[str, str], list[VersionOverview]]:
    """Return the groups of each version in their order."""
    groups: dict[tuple[str, str], list[VersionOverview]] = {}
    for _, each in sorted(versions, key=lambda pair: (pair[1].model, pair[1].version, pair[0])):
        groups.setdefault((each.model, each.version), []).append(each)
    return groups


def _whole(groups: Sequence[VersionOverview]) -> VersionOverview:
    """Return a version, of which each group has part of the signals, and has seen all events."""
    return replace(
        groups[0],
        complete=all(group.complete for group in groups),
        signals=sum(group.signals for group in groups),
        held=tuple(name for group in groups for name in group.held),
        findings=tuple(line for group in groups for line in group.findings),
    )


def _positions(state: State) -> Mapping[Partition, int]:
    """Return how far the input is read; a shard of several workers is told so by others."""
    apart = "paths" in state
    lanes = trees(state, "paths") if apart else trees(tree(state, "ordering"), "lanes")
    positions = {}
    for lane in lanes:
        position = optional_integer(lane, "offset" if apart else "position")
        if position is not None:
            positions[Partition(text(lane, "topic"), integer(lane, "number"))] = position
    return positions


def _version(state: State) -> VersionOverview:
    model, version = text(state, "model"), text(state, "version")
    complete = state["watching"] is not None
    names: Sequence[str] = ()
    held: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    if complete:
        watching = tree(state, "watching")
        names = _names(trees(watching, "columns"))
        flags = array(tree(watching, "watch"), "held").astype(np.bool_)
        held = tuple(names[place] for place in np.flatnonzero(flags).tolist())
        own = (Reference.restore(each).findings for each in trees(watching, "references"))
        findings = tuple(told(zip(names, own, strict=True)))
    return VersionOverview(
        model,
        version,
        integer(state, "events"),
        integer(state, "last_at"),
        complete,
        len(names),
        held,
        findings,
    )


def _names(columns: Sequence[State]) -> Sequence[str]:
    restored = [ColumnSignals.restore(column) for column in columns]
    return signal_names((column.key, column.kinds) for column in restored)


def _incident(state: State) -> IncidentOverview:
    members = trees(state, "members")
    steps = [tree(each, "step") for each in members if optional_text(each, "left") is None]
    signals = [tree(step, "signal") for step in steps]
    return IncidentOverview(
        text(state, "id"),
        text(state, "model"),
        text(state, "version"),
        text(state, "kind"),
        text(state, "severity"),
        integer(state, "opened_at"),
        tuple(text(signal, "name") for signal in signals),
    )
