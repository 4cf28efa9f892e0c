"""Batches of one model version, made in parts, as one."""

from collections.abc import Sequence

import numpy as np

from streamdrift.columns import join, take
from streamdrift.records import Batch


def merged(batches: Sequence[Batch]) -> list[Batch]:
    """Return one batch per model version, by its first event, with the events in order."""
    groups: dict[tuple[str, str], list[Batch]] = {}
    for batch in batches:
        groups.setdefault((batch.model, batch.version), []).append(batch)
    merged = [_in_order(join(group)) if len(group) > 1 else group[0] for group in groups.values()]
    return sorted(merged, key=lambda batch: (int(batch.offset[0]), int(batch.index[0])))


def _in_order(batch: Batch) -> Batch:
    return take(batch, np.lexsort((batch.index, batch.offset)))
