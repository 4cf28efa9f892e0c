"""What a sink is still to be sent, in order, and what waits for its time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from streamdrift.alert_documents import SEVERITIES, Published, Severity
from streamdrift.following.offsets import Offsets, read_note, write_note
from streamdrift.records import Partition

MANY, MANY_BYTES = 1_000, 16 << 20
"""Alerts that are due, and their bytes, from which on no more are read."""


class Place(NamedTuple):
    """Where an alert stands in the topic."""

    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which alerts a sink is told of.

    `within` is the time in microseconds from an alert's time to its publication from which on it
    is history. `quiet` tells of a time whether nothing is sent then. `fresh_only`: what was over,
    or followed by another, before it could be told is not told that late.
    """

    within: int
    severity: Severity = "info"
    quiet: Callable[[int], bool] = lambda _: False
    resolved: bool = True
    acknowledged: bool = True
    fresh_only: bool = False


@dataclass(slots=True)
class _Waiting:
    published: Published
    partition: Partition
    offsets: set[int]
    """Of all alerts that this one stands for, its own among them."""
    opening: bool
    """Whether the opening is one of them."""
    history_since: float | None
    """When it was found to be history; None where it is not, or no more."""


class Outbound:
    """The alerts that wait for one sink; `note` is told of what is passed over, by reason.

    What waits for the service to catch up, or for the end of a quiet time, waits as the latest
    alert of its incident alone, and not at all once the incident is over of which nothing was
    told. Clocks are arguments: `now` in microseconds since the epoch.
    """

    def __init__(self, selection: Selection, note: Callable[[str], None]) -> None:
        self._selection = selection
        self._note = note
        self._waiting: dict[Place, _Waiting] = {}
        """By the place of the latest alert each stands for, in the order to be sent."""
        self._of: dict[tuple[Partition, str], dict[Place, None]] = {}
        """By partition and incident, the places of what waits, in that order."""
        self._done: dict[Partition, Offsets] = {}
        """Offsets that are dealt with, at or above the position."""
        self._next: dict[Partition, int] = {}

    # What comes.

    def begin(self, partition: Partition, offset: int, note: str = "") -> None:
        """Take a partition up from a committed position, with the note committed with it."""
        self._next[partition] = offset
        self._done[partition] = read_note(offset, note)

    def drop(self, partition: Partition) -> None:
        """Let a partition go: what waits of it is another's."""
        self._next.pop(partition, None)
        self._done.pop(partition, None)
        self._waiting = {k: v for k, v in self._waiting.items() if v.partition != partition}
        self._of = {k: v for k, v in self._of.items() if k[0] != partition}

    def clear(self) -> None:
        """Let all partitions go."""
        for partition in tuple(self._next):
            self.drop(partition)

    def passed(self, partition: Partition, next_offset: int) -> None:
        """Note that a partition was read up to there."""
        self._next[partition] = next_offset

    def take(self, place: Place, published: Published, now: int, monotonic: float) -> None:
        """Take an alert that follows those before it."""
        if place.offset in self._done.get(place.partition, ()):
            return
        reason = self._unwanted(published)
        if reason is not None:
            self.skip(place, reason)
        else:
            self._take(place, published, now, monotonic)

    def skip(self, place: Place, reason: str) -> None:
        """Pass over what cannot be told."""
        self._note(reason)
        self._done.setdefault(place.partition, Offsets()).add(place.offset)

    def _take(self, place: Place, published: Published, now: int, monotonic: float) -> None:
        is_history = published.published_at - published.time > self._selection.within
        since = monotonic if is_history else None
        new = _Waiting(published, place.partition, {place.offset}, published.step == 1, since)
        of_incident = self._of.get((place.partition, published.incident), ())
        for key in [key for key in of_incident if self._is_replaced(self._waiting[key], now)]:
            old = self._remove(key)
            new.offsets |= old.offsets
            new.opening = new.opening or old.opening
            self._note("replaced" if published.is_open or not new.opening else "over")
        if published.is_open:
            self._add(place, new)
        elif new.opening or not self._selection.resolved:
            # Nothing was told of it, and nothing need be.
            self._note("over" if new.opening else "resolved")
            self._finish(new)
        else:
            new.history_since = None  # Who was told that it began is told that it is over.
            self._add(place, new)

    def _add(self, place: Place, waiting: _Waiting) -> None:
        self._waiting[place] = waiting
        self._of.setdefault((waiting.partition, waiting.published.incident), {})[place] = None

    def _remove(self, place: Place) -> _Waiting:
        waiting = self._waiting.pop(place)
        key = (waiting.partition, waiting.published.incident)
        self._of[key].pop(place)
        if not self._of[key]:
            del self._of[key]
        return waiting

    def _finish(self, waiting: _Waiting) -> None:
        done = self._done.setdefault(waiting.partition, Offsets())
        for offset in waiting.offsets:
            done.add(offset)

    def _unwanted(self, published: Published) -> str | None:
        selection = self._selection
        if published.expected:
            return "expected"
        if SEVERITIES.index(published.severity) < SEVERITIES.index(selection.severity):
            return "severity"
        if published.acknowledged and published.type == "updated" and not selection.acknowledged:
            return "acknowledged"
        return None

    def _is_replaced(self, waiting: _Waiting, now: int) -> bool:
        """Tell whether what waits is not told once its incident has another alert."""
        late = now - waiting.published.time > self._selection.within
        return not self._is_due(waiting, now) or (self._selection.fresh_only and late)

    # What goes.

    def caught_up(self, since: float) -> None:
        """Let go what was found to be history before `since`, a time as `take` has it."""
        for each in self._waiting.values():
            if each.history_since is not None and each.history_since < since:
                each.history_since = None

    def _is_due(self, waiting: _Waiting, now: int) -> bool:
        return waiting.history_since is None and not self._selection.quiet(now)

    def _due(self, now: int) -> Iterator[Place]:
        if not self._selection.quiet(now):
            yield from (k for k, each in self._waiting.items() if each.history_since is None)

    def head(self, now: int) -> Published | None:
        """Return the alert to be sent next, None where there is none."""
        key = next(self._due(now), None)
        return None if key is None else self._waiting[key].published

    def done(self, now: int) -> None:
        """Note that the alert to be sent next was sent, or is given up."""
        self._finish(self._remove(next(self._due(now))))

    def put_behind(self, now: int) -> None:
        """Let the other incidents go before that of the alert to be sent next.

        All that waits of it goes behind, in its order: no end is told before its beginning.
        """
        waiting = self._waiting[next(self._due(now))]
        for place in self._of[waiting.partition, waiting.published.incident]:
            self._waiting[place] = self._waiting.pop(place)

    # How it stands.

    @property
    def holds_any(self) -> bool:
        """Whether any partition is this one's."""
        return bool(self._next)

    @property
    def has_history(self) -> bool:
        """Whether anything waits for the service to catch up."""
        return any(each.history_since is not None for each in self._waiting.values())

    def counts(self, now: int) -> tuple[int, int]:
        """Return how many wait in all, and how many of these are not due."""
        due = sum(1 for _ in self._due(now))
        return len(self._waiting), len(self._waiting) - due

    def is_full(self, now: int) -> bool:
        """Tell whether so much is due that no more should be read."""
        due = [len(self._waiting[key].published.document) for key in self._due(now)]
        return len(due) >= MANY or sum(due) >= MANY_BYTES

    def position(self, partition: Partition) -> tuple[int, str]:
        """Return the offset up to which all is dealt with, and a note of what is beyond it."""
        waiting = [each for each in self._waiting.values() if each.partition == partition]
        first = min((min(each.offsets) for each in waiting), default=self._next[partition])
        done = self._done.setdefault(partition, Offsets())
        done.drop_below(first)
        return first, write_note(first, done) if first < self._next[partition] else ""
