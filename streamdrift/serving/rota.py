"""Which shards a commit writes: by turns, within a budget of bytes."""

from collections.abc import Callable, Collection

from streamdrift.state import Saved


class Rota:
    """The turns of the shards that are here."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        """The bytes of the last snapshot, of those that have one."""
        self._order: dict[int, int] = {}
        """When each was written last, the stalest first: 0 where it never was."""
        self._clock = 0
        self._unsaved: set[int] = set()

    def add(self, shard: int, saved: Saved | None) -> None:
        """Take up a shard, from the snapshot it was restored from on, if there is one."""
        self._order[shard] = 0
        if saved is not None:
            self._sizes[shard] = len(saved.snapshot)
            self._order[shard] = saved.sequence
            self._clock = max(self._clock, saved.sequence)
        self._sort()

    def drop(self, shard: int) -> None:
        """Forget a shard."""
        self._order.pop(shard, None)
        self._sizes.pop(shard, None)
        self._unsaved.discard(shard)

    def _sort(self) -> None:
        self._order = dict(sorted(self._order.items(), key=lambda item: (item[1], item[0])))

    @property
    def unsaved(self) -> bool:
        """Whether a shard was not written since it changed."""
        return bool(self._unsaved)

    @property
    def missing(self) -> frozenset[int]:
        """The shards that changed and have no snapshot at all."""
        return frozenset(self._unsaved - self._sizes.keys())

    def changed(self, shard: int) -> None:
        """Say that a shard is to be written again."""
        self._unsaved.add(shard)

    def all_changed(self) -> None:
        """Say that every shard is to be written again, as something was read or came out."""
        self._unsaved = set(self._order)

    @property
    def size(self) -> int:
        """The bytes of all shards' last snapshots."""
        return sum(self._sizes.values())

    def size_of(self, shard: int) -> int:
        """Return the bytes of a shard's last snapshot, 0 where there is none."""
        return self._sizes.get(shard, 0)

    def take(
        self, encode: Callable[[int], bytes], budget: float, ahead: Collection[int] = ()
    ) -> dict[int, bytes]:
        """Return new snapshots, which `encode` makes, of the shards whose turn it is.

        The stalest of those that changed, as many as `budget` bytes allow and one at least;
        and all that have none yet, so that none is missing later. Those that are `ahead` are
        as they were stored.
        """
        taken: dict[int, bytes] = {}
        left = budget
        for shard in [each for each in self._order if each in self._unsaved]:
            if shard in ahead or (taken and shard in self._sizes and self._sizes[shard] > left):
                continue
            taken[shard] = encode(shard)
            left -= len(taken[shard])
        self._sizes |= {shard: len(snapshot) for shard, snapshot in taken.items()}
        self._clock += 1
        self._order |= dict.fromkeys(taken, self._clock)
        self._sort()
        self._unsaved -= {*taken, *ahead}
        return taken
