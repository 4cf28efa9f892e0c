"""The state of a deployment: snapshots of its shards in a compacted topic, beside a journal.

`snapshots` says how they lie there, `journal` what is beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crc32c import crc32c

from streamdrift.errors import StateError
from streamdrift.operators import Taken
from streamdrift.records import Floor
from streamdrift.state.journal import (
    KEPT,
    RESET,
    Journaled,
    Published,
    last_word,
    read_journal,
    write_commands,
    write_floors,
    write_kept,
    write_published,
    write_reset,
)
from streamdrift.state.log import Log
from streamdrift.state.ownership import Claim, last_claims, read_claim
from streamdrift.state.snapshots import (
    NOTHING,
    Found,
    Manifest,
    Saved,
    chunk_key,
    find,
    manifest_key,
    manifest_value,
)

CHUNK_BYTES = 900_000


class Stored(NamedTuple):
    """What a start finds: the last whole snapshot of each shard, and what was journaled since.

    That is, since the oldest of them. No snapshots at all where there is no state yet, or
    where it was `reset`.
    """

    snapshots: Mapping[int, Saved]
    floors: tuple[Floor, ...]
    published: Published
    commands: tuple[Taken, ...] = ()
    reset: bool = False


class TopicStore:
    """The state of one deployment, which has so many shards, in two topics of a log.

    With `shard`, only that one is kept here, in partitions of the topics that may be its
    own, and its journal is apart from that of the others.
    """

    def __init__(
        self,
        log: Log,
        deployment: str,
        topic: str,
        journal: str,
        shards: int,
        *,
        shard: int | None = None,
        partition: int = 0,
        journal_partition: int = 0,
    ) -> None:
        self._log = log
        self.deployment = deployment
        self.shards = shards
        self._shard = shard
        self._prefix = f"{deployment}/"
        self._topic = topic
        self._partition = partition
        self._journal = journal
        self._journal_partition = journal_partition
        self._journal_owner = deployment if shard is None else f"{deployment}/{shard}"
        self._sequence, self._life = NOTHING.sequence, NOTHING.life
        self._slots: Mapping[int, int] = {}
        """Where each shard's last snapshot lies."""
        self._start = 0
        """Offset in the journal from which on it was read at the start."""
        self._said_kept = False
        """Whether this has written to the journal that there is a state."""

    def load(self) -> Stored:
        """Return what was stored; called once, before anything else.

        Raises StateError where there was a state and it is gone, where of some shard there was
        a snapshot and no whole one is left, or where the state has another number of shards.
        """
        self._log.settle(self._topic, partition=self._partition)
        self._log.settle(self._journal, partition=self._journal_partition)
        found = self._find()
        self._check_count(found)
        self._start = min((saved.journal for saved in found.snapshots.values()), default=0)
        stored = Stored(found.snapshots, *self.since(self._start))
        if stored.snapshots:
            return stored
        word = self.last_word()
        # What is published has a state that it came after.
        if stored.published or word == KEPT:
            raise StateError(
                f"the deployment {self.deployment!r} has committed before, as the journal says, "
                f"and the topic {self._topic} has no state of it",
                "was it deleted, or is state.topic another now? `streamdrift state reset`, or a "
                "start with --reset-state, begins anew",
            )
        return stored._replace(reset=word == RESET)

    def last_word(self) -> str | None:
        """Return what the journal says last of the state: KEPT, RESET or None."""
        return last_word(self._log, self.deployment, self._journal, self._journal_partition)

    def last(self) -> Mapping[int, Saved]:
        """Return the last whole snapshot of each shard, however many; none where there is none.

        Raises StateError where of some shard there was one and none is left.
        """
        found = self._find()
        if self._shard is not None:  # Which there are at all is for the settings to say.
            self._check_count(found)
        return found.snapshots

    def _check_count(self, found: Found) -> None:
        if found.snapshots and found.shards != self.shards:
            raise StateError(
                f"the stored state has {found.shards} shards, by the settings it is {self.shards}",
                f"set shards: {found.shards}, or stop the deployment and change the state with "
                f"`streamdrift state reshard --shards {self.shards}`",
            )

    def _find(self, records: Mapping[str, bytes] | None = None) -> Found:
        records = self._records() if records is None else records
        found = find(records, self.deployment, self._topic, self._shard)
        self._sequence, self._life, self._slots = found.sequence, found.life, found.slots
        return found

    def _records(self) -> dict[str, bytes]:
        """Return the values of the deployment's records, by key."""
        records: dict[str, bytes] = {}
        for entry in self._log.read(self._topic, 0, partition=self._partition):
            if entry.key.startswith(self._prefix):
                if entry.value is None:
                    records.pop(entry.key, None)
                else:
                    records[entry.key] = entry.value
        return records

    def since(self, start: int) -> Journaled:
        """Return what was journaled from offset `start` on."""
        return read_journal(
            self._log, self._journal_owner, self._journal, start, self._journal_partition
        )

    def journal_end(self) -> int:
        """Return the offset that the journal's next record will have."""
        return self._log.end(self._journal, partition=self._journal_partition)

    def claim(self) -> Claim | None:
        """Return the last claim to the deployment."""
        return last_claims(self._log, self._journal).get(self.deployment)

    def goes_on(self, claim: Claim, end: int) -> bool:
        """Tell whether the journal goes on where it once ended at `end`, after `claim`.

        It does not where it is another cluster's or was made anew, nor where the state was
        reset or replaced meanwhile: then what it says is published is of another life.
        """
        known = False
        for entry in self._log.read(self._journal, claim.epoch):
            if entry.offset == claim.epoch:
                known = read_claim(entry, self.deployment) == claim
            if entry.offset >= end and entry.key == f"{self.deployment}/{RESET}":
                return False
        return known

    def journal(
        self,
        floors: Sequence[Floor],
        published: Published | None = None,
        commands: Sequence[Taken] = (),
    ) -> None:
        """Append what is decided, and published with it; durable from the next flush on."""
        place = (self._log, self._journal_owner, self._journal)
        write_floors(*place, floors, self._journal_partition)
        write_commands(*place, commands, self._journal_partition)
        if published:
            write_published(*place, published, self._journal_partition)

    def flush(self) -> None:
        """Return when what was appended is durable; raise ConnectionsError else."""
        self._log.flush()

    def save(
        self,
        snapshots: Mapping[int, bytes],
        reached: Callable[[str], None] = lambda _: None,
        *,
        replaying: bool = False,
    ) -> None:
        """Write snapshots of some shards; they are those to be loaded when this returns.

        In a transaction they are so once that is committed; without one, all of them or some
        where the process dies amid this. `reached` is told of each step, for fault tests.
        What is journaled from now on is not in the snapshots. While `replaying`, what was
        there before the start may still be needed: it comes to be known again with them.
        """
        journal = self._start if replaying else self.journal_end()
        saved = {
            shard: Saved(snapshot, self._sequence + 1, journal)
            for shard, snapshot in snapshots.items()
        }
        self._write(saved, self.shards, reached)

    def _write(
        self,
        snapshots: Mapping[int, Saved],
        shards: int,
        reached: Callable[[str], None] = lambda _: None,
    ) -> None:
        slots = {shard: 1 - self._slots.get(shard, 1) for shard in snapshots}
        for shard, saved in snapshots.items():
            for place, start in enumerate(range(0, len(saved.snapshot), CHUNK_BYTES)):
                chunk = saved.snapshot[start : start + CHUNK_BYTES]
                self._append(chunk_key(self.deployment, shard, slots[shard], place), chunk)
                reached("chunk written")
        self._settle_order()
        reached("chunks done")
        for shard, saved in snapshots.items():
            manifest = Manifest(
                shard=shard,
                shards=shards,
                life=self._life,
                slot=slots[shard],
                sequence=saved.sequence,
                chunks=-(-len(saved.snapshot) // CHUNK_BYTES),
                size=len(saved.snapshot),
                checksum=crc32c(saved.snapshot),
                journal=saved.journal,
            )
            key = manifest_key(self.deployment, shard, slots[shard])
            self._append(key, manifest_value(manifest))
            reached("manifest written")
        self._settle_order()
        self._sequence = max(saved.sequence for saved in snapshots.values())
        self._slots = {**self._slots, **slots}
        reached("manifests done")
        # Of shards that are kept apart, their group's offsets say so.
        if self._shard is None and not self._said_kept:
            write_kept(self._log, self.deployment, self._journal, self._journal_partition)
            self._log.flush()
            self._said_kept = True

    def _settle_order(self) -> None:
        """Return when what was written cannot come to be without what was before it.

        What is of one shard of several workers is written in transactions alone, in which all
        of it comes to be at once; and there may be a thousand shards.
        """
        if self._shard is None:
            self._log.flush()

    def _append(self, key: str, value: bytes | None) -> None:
        self._log.append(self._topic, key, value, partition=self._partition)

    def check_free(self) -> None:
        """Raise StateError where anything is stored, whole or not."""
        if self._records() or self.since(0) != Journaled():
            raise StateError(
                f"the deployment {self.deployment!r} has state already",
                "export it if it is still needed, then import with --force",
            )

    def replace(
        self, snapshots: Mapping[int, Saved], since: Journaled | None, *, force: bool
    ) -> None:
        """Put snapshots, of all shards, in the place of everything that is stored.

        They are of this deployment's own life, of which the journal has the rest; or, where
        that is given by `since`, of another: then the journal begins anew with it. Without a
        transaction, whoever dies amid this leaves either state to be loaded. Raises StateError
        where anything is stored, whole or not, unless `force`.
        """
        if not force:
            self.check_free()
        old = self._records()
        try:
            self._find(old)
        except StateError:
            # All of what cannot be read goes.
            self._sequence, self._slots = NOTHING.sequence, NOTHING.slots
        journal, self._life = self.journal_end(), self._sequence + 1
        if since is not None:
            self._write_reset()
            self.journal(*since)
        self._write(
            {
                shard: Saved(
                    saved.snapshot,
                    self._sequence + 1,
                    saved.journal if since is None else journal,
                )
                for shard, saved in snapshots.items()
            },
            len(snapshots) if self._shard is None else self.shards,
        )
        kept = {
            key
            for shard, saved in snapshots.items()
            for key in (
                manifest_key(self.deployment, shard, self._slots[shard]),
                *(
                    chunk_key(self.deployment, shard, self._slots[shard], place)
                    for place in range(-(-len(saved.snapshot) // CHUNK_BYTES))
                ),
            )
        }
        for key in old.keys() - kept:
            self._append(key, None)
        self._log.flush()

    def reset(self) -> None:
        """Forget the deployment's snapshots, and what its journal holds."""
        for key in self._records():
            self._append(key, None)
        self._write_reset()
        self._log.flush()

    def _write_reset(self) -> None:
        write_reset(self._log, self.deployment, self._journal, self._journal_partition)
        self._said_kept = False
