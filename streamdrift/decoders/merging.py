"""What messages become, put together: batches of their events, and all that is told of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamdrift.columns import join, take
from streamdrift.decoders.letters import by_place
from streamdrift.records import (
    Batch,
    Column,
    ColumnKey,
    DeadLetter,
    Decoded,
    Ids,
    Ints,
    Messages,
)


def decoded(
    messages: Messages, batches: Sequence[Batch], letters: Sequence[DeadLetter], dropped: int
) -> Decoded:
    """Return what all `messages` became; of `dropped` fields there was no room."""
    return Decoded(
        partition=messages.partition,
        batches=tuple(batches),
        dead_letters=tuple(sorted(letters, key=by_place)),
        next_offset=messages.next_offset,
        tombstones=int((messages.length < 0).sum()),
        dropped_fields=dropped,
    )


def batch_of(
    messages: Messages,
    rows: Ints,
    *,
    model: str,
    version: str,
    index: NDArray[np.int32],
    ids: Ids,
    time: Ints,
    columns: Mapping[ColumnKey, Column],
) -> Batch:
    """Return events, of which each is in the message at its place in `rows`, by its `index`."""
    return Batch(
        model=model,
        version=version,
        partitions=(messages.partition,),
        partition=np.zeros(len(rows), dtype=np.int32),
        offset=messages.offset[rows],
        index=index,
        ids=ids,
        time=time,
        columns=columns,
    )


def merged(batches: Sequence[Batch]) -> list[Batch]:
    """Return one batch per model version, by its first event, with the events in order."""
    groups: dict[tuple[str, str], list[Batch]] = {}
    for batch in batches:
        groups.setdefault((batch.model, batch.version), []).append(batch)
    merged = [_in_order(join(group)) if len(group) > 1 else group[0] for group in groups.values()]
    return sorted(merged, key=lambda batch: (int(batch.offset[0]), int(batch.index[0])))


def _in_order(batch: Batch) -> Batch:
    return take(batch, np.lexsort((batch.index, batch.offset)))
