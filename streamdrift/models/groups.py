"""Wide models, divided: which group each column of an event belongs to.

A model's features are divided into as many groups as its settings say, by their names alone:
a feature that appears later moves no other. Outputs, metrics and traffic are of group 0. All
groups see every event, with its id, time and place, and each learns and watches its own
columns; what they find comes together in the model's incidents.
"""

from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b

from streamdrift.records import Batch, Column, ColumnKey, Group

SIGNALS = 1_000_000
"""Ordinals a group has for its signals: those of group g begin at g times as many."""


def divide(batch: Batch, groups: int) -> tuple[Batch, ...]:
    """Return the same events once for each group, with that group's columns."""
    if groups == 1:
        return (batch,)
    parts: list[dict[ColumnKey, Column]] = [{} for _ in range(groups)]
    for key, column in batch.columns.items():
        parts[group_of(key, groups)][key] = column
    return tuple(
        replace(batch, columns=columns, group=group) for group, columns in enumerate(parts)
    )


@lru_cache(maxsize=65_536)
def group_of(key: ColumnKey, groups: int) -> int:
    """Return the group of a column among `groups`."""
    if key.group is not Group.FEATURE:
        return 0
    digest = blake2b(key.name.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % groups
