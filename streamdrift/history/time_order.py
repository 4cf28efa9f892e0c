"""The events of a file by their times: those no file can have, and those out of order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamdrift.columns import cut, join, take
from streamdrift.records import Batch, Codes, DeadLetter, Decoded, Ints, Messages
from streamdrift.times import rfc3339

MAX_SORTED = 500_000
"""Events of a table held to sort them; a larger one is taken in its own order."""

_LATEST = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z: a later time is a mistake, and would date all that follows."""
_CHUNK = 4_096


@dataclass(slots=True)
class Sorting:
    """What came of sorting: how many events were older than one before them, of how many."""

    late: int = 0
    events: int = 0


def plausible(messages: Messages, decoded: Decoded) -> Decoded:
    """Return what was decoded of a file, events of the year 2200 or later as dead letters."""
    batches = []
    letters = list(decoded.dead_letters)
    for batch in decoded.batches:
        good = batch.time < _LATEST
        if good.all():
            batches.append(batch)
            continue
        for row in np.flatnonzero(~good).tolist():
            letters.append(_letter(messages, batch, row))
        if good.any():
            batches.append(take(batch, np.flatnonzero(good)))
    if len(letters) == len(decoded.dead_letters):
        return decoded
    letters.sort(key=lambda letter: (letter.offset, letter.index))
    return replace(decoded, batches=tuple(batches), dead_letters=tuple(letters))


def _letter(messages: Messages, batch: Batch, row: int) -> DeadLetter:
    time, offset = int(batch.time[row]), int(batch.offset[row])
    return DeadLetter(
        reason="invalid_time",
        detail=f"the event's time, {rfc3339(time)} or later, lies beyond the year 2200",
        partition=messages.partition,
        offset=offset,
        index=int(batch.index[row]),
        time=time,
        value=messages.value(int(np.searchsorted(messages.offset, offset))),
    )


def in_time_order(
    parts: Iterable[Decoded], sorting: Sorting, limit: int = MAX_SORTED
) -> Iterator[Decoded]:
    """Yield the parts of one partition, their events sorted by time where they are not.

    Events of one time stay in their order; offsets then count the events as sorted. Up to
    `limit` events are held; of more, all come as they are.
    """
    parts = iter(parts)
    held: list[Decoded] = []
    size = 0
    for part in parts:
        held.append(part)
        size += sum(map(len, part.batches))
        if size > limit:
            yield from held
            yield from parts
            return
    batches = [batch for part in held for batch in part.batches]
    if not batches:
        yield from held
        return
    offset, index, time = (_all(batches, name) for name in ("offset", "index", "time"))
    given = np.lexsort((index, offset))
    late = int((time[given] < np.maximum.accumulate(time[given])).sum())
    if not late:
        yield from held
        return
    sorting.late, sorting.events = late, size
    rank = np.empty(size, dtype=np.int64)
    rank[np.lexsort((index, offset, time))] = np.arange(size)
    yield from _sorted(held, batches, rank)


def _all(batches: Sequence[Batch], name: str) -> Ints:
    parts: list[Ints | Codes] = [getattr(batch, name) for batch in batches]
    return np.concatenate(parts).astype(np.int64)


def _sorted(held: Sequence[Decoded], batches: Sequence[Batch], rank: Ints) -> Iterator[Decoded]:
    """Yield the events in the order of their ranks; dead letters come with the first."""
    groups: dict[tuple[str, str], list[Batch]] = {}
    ends = np.cumsum([len(batch) for batch in batches])
    for batch, ranks in zip(batches, np.split(rank, ends[:-1]), strict=True):
        ranked = replace(batch, offset=ranks, index=np.zeros_like(batch.index))
        groups.setdefault((batch.model, batch.version), []).append(ranked)
    whole = [take(each, np.argsort(each.offset)) for each in map(join, groups.values())]
    letters = tuple(letter for part in held for letter in part.dead_letters)
    dropped = sum(part.dropped_fields for part in held)
    for first in range(0, len(rank), _CHUNK):
        after = min(first + _CHUNK, len(rank))
        spans = [(each, *np.searchsorted(each.offset, (first, after)).tolist()) for each in whole]
        yield Decoded(
            partition=held[0].partition,
            batches=tuple(cut(each, low, high) for each, low, high in spans if high > low),
            dead_letters=letters if first == 0 else (),
            next_offset=after,
            dropped_fields=dropped if first == 0 else 0,
        )
