"""How much a history has of each model version."""

from collections.abc import Mapping
from typing import NamedTuple

from streamdrift.ordering.lane import Frontier
from streamdrift.records import Released


class Seen(NamedTuple):
    """What a history has of a model, or of one of its versions."""

    events: int
    first: int
    last: int
    """Event times, in microseconds."""

    def joined(self, other: "Seen") -> "Seen":
        """Return what both have."""
        events = self.events + other.events
        return Seen(events, min(self.first, other.first), max(self.last, other.last))


class Extents:
    """Notes how much there is of each model version, and of each model."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], Seen] = {}

    def observe(self, released: Released, _: Frontier) -> None:
        """Take the next events."""
        for batch in released.batches:
            key = batch.model, batch.version
            seen = Seen(len(batch), int(batch.time[0]), int(batch.time[-1]))
            known = self._versions.get(key)
            self._versions[key] = seen if known is None else known.joined(seen)

    def drain(self, released: Released, frontier: Frontier) -> None:
        """Take the last events."""
        self.observe(released, frontier)

    @property
    def versions(self) -> Mapping[tuple[str, str], Seen]:
        """By model and version."""
        return self._versions

    @property
    def models(self) -> Mapping[str, Seen]:
        """By model."""
        found: dict[str, Seen] = {}
        for (model, _), seen in self._versions.items():
            known = found.get(model)
            found[model] = seen if known is None else known.joined(seen)
        return found
