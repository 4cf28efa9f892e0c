"""Which incidents of two budgets tell the same change.

An incident may tell several changes, one after the other, as it stays open while a signal is
off: each is matched by itself.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter

from streamdrift.history.incident_log import Incident, Member

_Subject = tuple[str, str, bool]
"""Model, version, and whether it is about silence."""


@dataclass(frozen=True, slots=True)
class Told:
    """A change as an incident told it: the signals that may have changed at one time."""

    incident: Incident
    told_at: int
    """When it was noticed, in event time."""
    members: tuple[Member, ...]
    opens: bool
    """Whether the incident was opened by it; otherwise it joined an open one."""

    @property
    def summary(self) -> str:
        """The sentence of its alert."""
        return self.incident.sentences[self.told_at]


def changes_told(incident: Incident) -> tuple[Told, ...]:
    """Return the changes an incident told, in the order of time.

    The first signal begins a change. Of it are all signals whose own had begun by then (the
    earliest of the onset), and that were noticed before twice the time had passed that the
    first one took. The first of the others begins the next change.
    """
    changes: list[Told] = []
    rest = list(incident.members)
    while rest:
        lead = rest[0]
        members: list[Member] = []
        others: list[Member] = []
        for member in rest:
            began = member.earliest <= lead.changed_at
            of_it = member == lead or (began and member.changed_at <= _end(lead))
            (members if of_it else others).append(member)
        changes.append(Told(incident, lead.changed_at, tuple(members), opens=not changes))
        rest = others
    return tuple(changes)


class Changes:
    """The changes that a budget told of a model, to be searched.

    Two budgets told the same change where both are of the same model version and have a signal
    in common whose times overlap: from the earliest of its onset to when it was noticed, and as
    long again, as an onset is estimated the worse the longer a change took to be noticed.
    """

    def __init__(self, incidents: Iterable[Incident]) -> None:
        self.all = tuple(change for incident in incidents for change in changes_told(incident))
        rows: dict[tuple[_Subject, str], list[tuple[int, int, int]]] = {}
        for place, change in enumerate(self.all):
            for member in change.members:
                key = _subject(change), member.signal
                rows.setdefault(key, []).append((member.earliest, _end(member), place))
        self._rows = {key: sorted(each) for key, each in rows.items()}
        self._reach = {
            key: list(accumulate((end for _, end, _ in each), max))
            for key, each in self._rows.items()
        }
        """By signal, the latest end of each row and those before it."""

    def first_same(self, change: Told) -> Told | None:
        """Return which told the same change first, None where none did."""
        same = {place for member in change.members for place in self._same(change, member)}
        found = (self.all[place] for place in same)
        return min(found, key=lambda told: (told.told_at, told.incident.id), default=None)

    def _same(self, change: Told, member: Member) -> Iterator[int]:
        key = _subject(change), member.signal
        rows, reach = self._rows.get(key, []), self._reach.get(key, [])
        row = bisect_right(rows, _end(member), key=itemgetter(0)) - 1
        while row >= 0 and reach[row] >= member.earliest:
            if rows[row][1] >= member.earliest:
                yield rows[row][2]
            row -= 1


def _subject(told: Told) -> _Subject:
    return told.incident.model, told.incident.version, told.incident.silence


def _end(member: Member) -> int:
    return 2 * member.changed_at - member.earliest
