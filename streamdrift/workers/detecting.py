"""The detect role: owns shards, and makes alerts of what the exchange has for them."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from streamdrift.errors import StateError
from streamdrift.exchange.frames import decode as decode_frame
from streamdrift.exchange.shard import Shard
from streamdrift.kafka.clients import connection_errors
from streamdrift.kafka.transaction import Reached, commit_transaction
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Messages, Observation, Partition
from streamdrift.serving.commit import PART_BYTES, Outgoing
from streamdrift.serving.desk import Desk
from streamdrift.serving.recovery import check_fingerprint
from streamdrift.serving.rota import Rota
from streamdrift.serving.telling import Telling, tell
from streamdrift.sinks import Sink
from streamdrift.sources.member import Committed, Member
from streamdrift.sources.reading import PAUSE
from streamdrift.state import TopicStore, decode, encode
from streamdrift.state.commands import CommandLog
from streamdrift.trees import tree
from streamdrift.workers.owned import DetectWork, Owned
from streamdrift.workers.places import Place
from streamdrift.workers.post import Post

_POLL_SECONDS = 0.2
_SHOW_EVERY = 1.0
_RESTORE_SECONDS = 5.0
"""Of a turn, for shards that are taken up."""
BEGINS = "begins"
"""The note to the offset of a shard without state: a reset has emptied the exchange up to it."""
_TRIM_EVERY = 30.0
"""Seconds between two times that frames nobody needs any more are deleted."""
_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """What the detect role needs to know; intervals in seconds."""

    shards: int
    commit_interval: float
    bytes_per_second: float
    fingerprint: Mapping[str, str]
    place: Place
    """This worker, which others are told of with every commit."""


class Detecting:
    """One session's turns of the detect role: take frames, observe, publish, commit."""

    def __init__(
        self,
        settings: DetectSettings,
        post: Post,
        member: Member,
        sinks: Sequence[Sink],
        make_shard: Callable[[int], Shard],
        make_store: Callable[[int], TopicStore],
        open_commands: Callable[[int | None], CommandLog],
        trim: Callable[[Mapping[Partition, int]], None],
        metrics: Metrics,
        desk: Desk,
        reached: Reached,
    ) -> None:
        self._settings = settings
        self._post = post
        self._member = member
        self._sinks = sinks
        self._make_shard = make_shard
        self._make_store = make_store
        self._open_commands = open_commands
        self._commands: CommandLog | None = None
        """None while no shard is here: what is read depends on what they know."""
        self._trim = trim
        self._metrics = metrics
        self._telling = Telling(metrics, "exchange")
        self._desk = desk
        self._reached = reached
        self._owned: dict[int, Owned] = {}
        self.has_taken_all = False
        """Whether all shards are this worker's, and nothing is left for them to take."""
        self._rota = Rota()
        self._wanted: dict[int, list[int]] = {}
        """Of added shards: how far the topics were written when they were added."""
        now = time.monotonic()
        self._commit_due = self._snapshot_due = now + settings.commit_interval
        self._shown_at = now
        self._trimmed_at = now
        member.release = self._release
        member.lost = self._lost

    def turn(self) -> bool:
        """Do one round; tell of a commit."""
        try:
            return self._turn()
        except StateError:
            # To who stood still, and was put out meanwhile, what another has done with a shard
            # looks like a loss: it deletes the frames that it has taken.
            self._member.confirm()
            raise

    def _turn(self) -> bool:
        start = time.monotonic()
        messages = self._member.poll(0.0 if self._desk.waiting else _POLL_SECONDS)
        self._metrics.spent("receive", time.monotonic() - start)
        self._give_away(self._member.gone())
        self._take_up()
        self._take(messages)
        reader = self._member.reader
        self._telling.source(reader.notices(), connected=reader.connected)
        lag = reader.lag()
        unsaid = any(each.changed for each in self._owned.values())
        known = len(self._owned) == self._settings.shards <= len(lag)
        self.has_taken_all = known and not any(lag.values()) and not unsaid
        self._desk.serve([each.shard.monitor for each in self._owned.values()])
        now = time.monotonic()
        if now >= self._shown_at + _SHOW_EVERY:
            self._shown_at = now
            self._show()
        if now >= self._trimmed_at + _TRIM_EVERY:
            self._trimmed_at = now
            self._trim_exchange()
        if now < self._commit_due or not self._member.stable:
            return False
        snapshots = self._rota.unsaved and (now >= self._snapshot_due or self._rota.missing)
        return self.commit(self._take_due if snapshots else _take_none)

    # Shards come and go.

    def _take_up(self) -> None:
        until = time.monotonic() + _RESTORE_SECONDS
        for partition in sorted(self._member.added()):
            if time.monotonic() > until:
                return  # The group wants to hear of this member now and then.
            if partition.number >= self._settings.shards:
                # The progress by itself, which nobody's shards need.
                self._member.start({partition: 0})
                self._member.reader.pause([partition])
                continue
            if not self._settled(partition.number):
                continue
            owned = self._restore(partition)
            if owned is not None:
                owned.changed = True  # Whose it is, is told with the next commit.
                self._owned[partition.number] = owned
                self._listen_again()
                self._show_reached()
                self._member.start({partition: owned.next})

    def _settled(self, shard: int) -> bool:
        """Tell whether what the shard's last owner wrote is committed or aborted by now.

        The other shards go on meanwhile: where a worker was killed, that takes the broker as
        long as a transaction may.
        """
        places = self._post.places_of(shard)
        if shard not in self._wanted:
            self._wanted[shard] = [
                self._post.log.last(topic, partition=number) for topic, number in places
            ]
        ends = [self._post.log.end(topic, partition=number) for topic, number in places]
        settled = all(end >= last for end, last in zip(ends, self._wanted[shard], strict=True))
        if settled:
            del self._wanted[shard]
        return settled

    def _restore(self, partition: Partition) -> Owned | None:
        """Return a shard as it was committed; None where brokers do not tell yet."""
        number = partition.number
        store, shard = self._make_store(number), self._make_shard(number)
        stored = store.load()
        self._reached("loaded")
        saved = stored.snapshots.get(number)
        if saved is not None:
            state = decode(saved.snapshot)
            check_fingerprint(tree(state, "settings"), self._settings.fingerprint)
            for notice in shard.restore(state):
                tell(notice)
        shard.foresee(stored.commands)
        begin = self._begin(partition, None if saved is None else shard.position)
        if begin is None:
            return None
        self._rota.add(number, saved)
        size = 0 if saved is None else len(saved.snapshot)
        _log.info("shard taken", shard=number, position=begin, bytes=size)
        return Owned(shard, store, Outgoing(stored.published), begin, begin, saved is not None)

    def _begin(self, partition: Partition, position: int | None) -> int | None:
        """Return where reading the exchange begins; raise StateError where something is lost."""
        if position is not None:
            self._check_held(partition, position)
            return position
        committed = self._member.committed([partition])
        if committed is None:
            return None
        begins = committed.get(partition, Committed(0, BEGINS))
        if begins.note != BEGINS:
            raise StateError(
                f"the state of shard {partition.number} is gone, but not what was committed "
                "with it",
                "was its topic deleted? `streamdrift state reset` begins anew",
            )
        self._check_held(partition, begins.offset)
        return begins.offset

    def _first(self, partition: Partition) -> int:
        with connection_errors(self._member.connection, "find the start of the exchange"):
            return self._member.reader.earliest([partition])[partition]

    def _check_held(
        self, partition: Partition, position: int, truncated_to: int | None = None
    ) -> None:
        """Raise StateError where the exchange does not hold what comes next."""
        first = self._first(partition)
        last = self._post.log.last(partition.topic, partition=partition.number)
        if truncated_to is not None:
            last = min(last, truncated_to)
        if not first <= position <= last:
            raise StateError(
                f"the exchange has lost what shard {partition.number} has not seen: it holds "
                f"offsets {first} to {last}, and {position} is needed",
                "keep it for longer than workers may be away (retention.ms of the topic "
                f"{partition.topic}), and do not delete it; `streamdrift state reset` begins anew",
            )

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        """Go on where nothing is lost after all; a shard that misses frames must not."""
        self._check_held(partition, offset, truncated_to)
        self._member.reader.seek({partition: offset})
        time.sleep(PAUSE)

    # What comes, and what follows from it.

    def _take(self, messages: Sequence[Messages]) -> None:
        if not messages:
            return
        start = time.monotonic()
        for group in messages:
            owned = self._owned[group.partition.number]
            for i in range(len(group)):
                self._do_again(owned, int(group.offset[i]))
                if group.length[i] >= 0:
                    begin, size = int(group.start[i]), int(group.length[i])
                    frame = decode_frame(group.data[begin : begin + size].data)
                    owned.shard.take(frame, int(group.offset[i]))
            owned.shard.passed(group.next_offset)
            owned.next = group.next_offset
            owned.changed = True
            self._rota.changed(group.partition.number)
            self._take_out(owned, owned.shard.observe())
        self._metrics.spent("observe", time.monotonic() - start)

    def _do_again(self, owned: Owned, offset: int) -> None:
        """Do what operators asked in another life before this offset."""
        while (taken := owned.shard.due(offset)) is not None:
            self._take_out(owned, owned.shard.observe())
            _, told = owned.shard.command(taken.place, taken.command, offset)
            self._take_out(owned, told)

    def _listen_again(self) -> None:
        """Read commands from the one on that some shard here does not know."""
        fresh = self._open_commands(None).known
        for each in self._owned.values():
            if not each.stored and each.shard.commanded < 0:
                # What was asked before there was anything is of no concern.
                each.shard.monitor.commands.pass_over(fresh)
        self._commands = self._open_commands(
            min(each.shard.commanded for each in self._owned.values())
        )

    def _obey(self) -> None:
        """Do what operators asked, in every shard that is here, behind what it has taken."""
        for each in self._owned.values():
            self._do_again(each, each.next)  # In a silence no frame comes that it was before.
        if self._commands is None or any(each.shard.foresees for each in self._owned.values()):
            return
        for received in self._commands.read():
            self._telling.commanded(received)
            if received.command is None:
                continue
            for each in self._owned.values():
                if received.place > each.shard.commanded:
                    taken, told = each.shard.command(received.place, received.command, each.next)
                    each.outgoing.commands.append(taken)
                    each.changed = True
                    self._take_out(each, told)

    def _take_out(self, owned: Owned, observation: Observation) -> None:
        for notice in observation.notices:
            tell(notice)
        self._telling.alerts(observation.alerts)
        owned.outgoing.add(observation.alerts)

    # What is committed.

    def _release(self, partitions: Collection[Partition]) -> None:
        """Commit everything, with snapshots of the shards that are another worker's now.

        As many as are quickly written, as the whole group waits: the others are brought up from
        their last ones.
        """
        leaving, left = [], self._settings.bytes_per_second
        for partition in partitions:
            left -= self._rota.size_of(partition.number)
            if partition.number in self._owned and left > 0:
                leaving.append(partition.number)
        self.commit(lambda: self._encode_all(leaving))
        self._give_away(partitions)  # With the next commit they may be another's.

    def _give_away(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            if self._owned.pop(partition.number, None) is not None:
                _log.info("shard given away", shard=partition.number)
                self._show_reached()
            self._rota.drop(partition.number)

    def finish(self) -> None:
        """Commit everything, with a snapshot of every shard: at the end."""
        if not self._member.stable:
            _log.warning("stopped while the group gives out shards: not all is committed")
            return
        for numbers in self._parts():
            self._commit_with(numbers)
        self._show()

    def _parts(self) -> Iterable[list[int]]:
        """Yield all shards in parts that are soon written."""
        part: list[int] = []
        for number in self._owned:
            part.append(number)
            if sum(map(self._rota.size_of, part)) > PART_BYTES:
                yield part
                part = []
        yield part

    def _commit_with(self, numbers: Sequence[int]) -> None:
        self.commit(lambda: self._encode_all(numbers))

    def commit(self, take: Callable[[], Mapping[int, bytes]]) -> bool:
        """Commit what there is, with what snapshots `take` makes; tell whether there was any."""
        start = time.monotonic()
        self._commit_due = start + self._settings.commit_interval
        self._obey()
        if not any(each.changed for each in self._owned.values()) and take is _take_none:
            return False
        work = DetectWork(self._owned, self._post, self._sinks, take, self._settings.place)
        alerts = work.alerts
        commit_transaction(work, self._post.outbox, self._member.metadata, self._reached)
        for each in self._owned.values():
            each.changed = False
        end = time.monotonic()
        self._metrics.published(alerts, time.time_ns() // 1_000)
        self._metrics.committed(end - start)
        self._show_reached()
        taken = sum(map(len, work.snapshots.values()))
        if taken:
            self._metrics.stored(self._rota.size)
            spread = taken / self._settings.bytes_per_second
            self._snapshot_due = end + max(self._settings.commit_interval, spread)
        return True

    def _take_due(self) -> Mapping[int, bytes]:
        budget = self._settings.bytes_per_second * self._settings.commit_interval
        return self._rota.take(self._encode, budget)

    def _encode_all(self, numbers: Iterable[int]) -> Mapping[int, bytes]:
        """Encode some shards, and those without a snapshot: what they publish needs one."""
        return {number: self._encode(number) for number in sorted({*numbers, *self._rota.missing})}

    def _encode(self, number: int) -> bytes:
        settings = self._settings.fingerprint
        return encode({"settings": settings, **self._owned[number].shard.snapshot()})

    def _trim_exchange(self) -> None:
        """Delete the frames that every snapshot is past."""
        exchange = self._post.exchange
        self._trim({Partition(exchange, n): each.saved for n, each in self._owned.items()})

    def _show(self) -> None:
        shards = [each.shard for each in self._owned.values()]
        self._metrics.lagging("exchange", self._member.reader.lag())
        self._metrics.pending(sum(shard.held for shard in shards))
        self._metrics.displaced({"unpromised": sum(shard.lifted for shard in shards)})
        self._telling.progress([shard.monitor for shard in shards])

    def _show_reached(self) -> None:
        self._metrics.assigned("detect", len(self._owned))
        if self._owned:
            self._metrics.observed(min(each.shard.watermark for each in self._owned.values()))


def _take_none() -> Mapping[int, bytes]:
    return {}
