"""Columns that appear after the reference: nobody watches them, but they are told of."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import groupby
from operator import itemgetter

from streamdrift.records import Batch, ColumnKey, Group, Kind, State
from streamdrift.signals.naming import column_names
from streamdrift.trees import integer, lists


class NewColumns:
    """The columns that a version's reference lacks, `limit` at most.

    All of an event are told at once, and the more the more seldom: each time only when half as
    many again have come together, so that a stream in which names are made up tells of it a few
    times. `divided` is that of `column_names`.
    """

    def __init__(self, limit: int, *, divided: bool = False) -> None:
        self._limit = limit
        self._divided = divided
        self._keys: list[ColumnKey] = []
        """In the order of the events that show them."""
        self._told = 0
        """How many of them are told."""

    def observe(self, batch: Batch, known: AbstractSet[ColumnKey]) -> list[list[str]]:
        """Take the next events of columns beside those `known`; return the names to be told."""
        found: list[list[str]] = []
        if len(self._keys) >= self._limit:
            return found
        unseen = batch.columns.keys() - known - set(self._keys)
        for _, keys in groupby(sorted(_first_shown(batch, unseen)), key=itemgetter(0)):
            self._keys += [key for _, key in keys][: self._limit - len(self._keys)]
            due = self._told + max(1, self._told // 2)
            if len(self._keys) > self._told and len(self._keys) >= min(due, self._limit):
                fresh = self._keys[self._told :]
                found.append(sorted(column_names(fresh, divided=self._divided)))
                self._told = len(self._keys)
        return found

    def snapshot(self) -> State:
        """Return which there are, and how many are told."""
        return {
            "unknown": [[key.group.value, key.name] for key in self._keys],
            "told": self._told,
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self._keys = [ColumnKey(Group(group), name) for group, name in lists(state, "unknown")]
        self._told = integer(state, "told")


def _first_shown(batch: Batch, keys: Iterable[ColumnKey]) -> Iterator[tuple[int, ColumnKey]]:
    """Yield the row that shows a column first, for those that any event of the batch has."""
    for key in keys:
        shown = batch.columns[key].kinds != Kind.ABSENT
        if shown.any():
            yield int(shown.argmax()), key
