"""Which worker has which shard, and where it serves HTTP, as each says with what it commits.

The note to the offset that the detect role commits of a shard is its owner's: it is there as long
as the shard is, changes hands with it, and needs no bookkeeping of its own.
"""

from collections.abc import Mapping
from typing import NamedTuple

from streamdrift.http.listening import checked_place

_NOWHERE = "-"


class Place(NamedTuple):
    """A worker, and where it serves, as host and port; None where it does not."""

    instance: str
    address: str | None


def note_of(place: Place) -> str:
    """Return the note that says whose a shard is.

    >>> note_of(Place("a", "host:8410"))
    'a host:8410'
    """
    return f"{place.instance} {place.address or _NOWHERE}"


def place_of(note: str) -> Place | None:
    """Return what a note says, None where it says nothing of it.

    The token goes to the address: it must be one, and nothing else.
    """
    instance, _, address = note.partition(" ")
    if address == _NOWHERE:
        return Place(instance, None)
    try:
        return Place(instance, checked_place(address))
    except ValueError:
        return None


def owners_of(notes: Mapping[int, str], shards: int) -> Mapping[Place | None, list[int]]:
    """Return the shards of each worker; those of None nobody has said to have."""
    owners: dict[Place | None, list[int]] = {}
    for number in range(shards):
        owners.setdefault(place_of(notes.get(number, "")), []).append(number)
    return owners
