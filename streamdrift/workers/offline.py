"""What is done to the state of several workers while none of them runs."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace

import numpy as np
from kafka import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError, KafkaError
from kafka.structs import TopicPartition

from streamdrift.columns import cut
from streamdrift.config import Settings
from streamdrift.errors import StateError
from streamdrift.exchange.frames import Events, decode
from streamdrift.exchange.ingest import Addressed, event_frames
from streamdrift.following.incidents import forget_incidents
from streamdrift.kafka.clients import connection_errors, make_admin
from streamdrift.kafka.topics import ensure_topics
from streamdrift.monitoring.shards import shard_of
from streamdrift.ordering.lane import Frontier, rows_below
from streamdrift.ordering.timeline import Timeline
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Batch, Partition, State
from streamdrift.serving.assembly import (
    check_mode,
    exchange_needs,
    fingerprint,
    incidents_need,
    open_shard,
    state_needs,
)
from streamdrift.serving.recovery import check_fingerprint
from streamdrift.serving.resharding import reshard_apart
from streamdrift.sources.committed import all_committed
from streamdrift.sources.member import Committed
from streamdrift.state import decode as decode_state
from streamdrift.state import encode as encode_state
from streamdrift.state.journal import Journaled
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.snapshots import Saved
from streamdrift.trees import integer, tree, trees
from streamdrift.workers.detecting import BEGINS
from streamdrift.workers.post import Office, Post
from streamdrift.workers.worker import Worker, terms_of

_STOP_SECONDS = 30.0
"""Longer than the group believes in workers that were stopped."""
_DRAIN_SECONDS = 600.0
_QUIET_SECONDS = 3.0
_PAUSE = 0.5


def groups_of(settings: Settings) -> tuple[str, str]:
    """Return the consumer groups of the workers: those of ingest and of detect."""
    return settings.name, f"{settings.name}.detect"


def reset_workers(settings: Settings) -> None:
    """Forget how far the input is read, what is in the exchange, and the state of all shards.

    In this order: whoever is stopped amid it does it again. Raises StateError where a worker
    runs, or where the state is one process's.
    """
    with closing(KafkaLog(settings.kafka)) as log:
        if log.partitions(settings.state.topic) == 1:
            check_mode(log, settings)
    with closing(make_admin(settings.kafka)) as admin:
        wait_until_stopped(settings, admin)
        create, needs = settings.topics.create, [incidents_need(settings)]
        ensure_topics(settings.kafka, needs, create=create)
        with connection_errors(settings.kafka, "forget how far the input is read"):
            for group in groups_of(settings):
                _delete_group(admin, group)
        with Office(settings, "offline").open() as post:
            ends = _empty_exchange(settings, post, admin)
            post.outbox.begin()
            for number in range(post.log.partitions(settings.state.topic)):
                open_shard(post.log, settings, number).reset()
            forget_incidents(post.log, settings.alerts.incidents)
            post.outbox.flush()
            _, detect = groups_of(settings)
            post.outbox.commit(detect, ends, dict.fromkeys(ends, BEGINS))


def _delete_group(admin: KafkaAdminClient, group: str) -> None:
    # The client tells of errors by their names.
    for said in dict(admin.delete_groups([group])).values():
        if said not in ("OK", GroupIdNotFoundError.__name__):
            raise KafkaError(f"the group {group} cannot be deleted: {said}")


def wait_until_stopped(settings: Settings, admin: KafkaAdminClient) -> None:
    """Return when the groups have no members; raise StateError where they keep some."""
    deadline = time.monotonic() + _STOP_SECONDS + settings.worker.session / 1e6
    while True:
        with connection_errors(settings.kafka, "look at the workers"):
            members = [member for group in groups_of(settings) for member in _members(admin, group)]
        if not members:
            return
        if time.monotonic() > deadline:
            names = ", ".join(sorted({str(member) for member in members}))
            raise StateError(
                f"there are workers of {settings.name}: {names}",
                "stop them all, with SIGTERM, then do this again",
            )
        time.sleep(_PAUSE)


def _members(admin: KafkaAdminClient, group: str) -> list[str]:
    try:
        described = admin.describe_groups([group])[group]
    except GroupIdNotFoundError:
        return []
    return [str(member["group_instance_id"]) for member in described.get("members") or ()]


def _empty_exchange(
    settings: Settings, post: Post, admin: KafkaAdminClient
) -> Mapping[Partition, int]:
    """Delete all frames; return where those of the shards begin that come next."""
    ends = {
        Partition(post.exchange, number): post.log.end(post.exchange, partition=number)
        for number in range(post.log.partitions(post.exchange))
    }
    ends = {key: end for key, end in ends.items() if end > 0}
    with connection_errors(settings.kafka, "empty the exchange"):
        admin.delete_records({TopicPartition(*key): end for key, end in ends.items()})
    return {key: end for key, end in ends.items() if key.number < settings.shards}


def reshard_workers(settings: Settings, shards: int) -> None:
    """Let the shards take what is in the exchange, and divide all there is anew.

    Raises StateError where a worker runs, or the shards do not come to the same moment.
    """
    with closing(make_admin(settings.kafka)) as admin:
        wait_until_stopped(settings, admin)
        _drain(settings)
        wait_until_stopped(settings, admin)
        _make_room(settings, shards, admin)
        committed = all_committed(admin, settings.kafka, settings.name)
        with Office(settings, "offline", patient=True).open() as post:
            ends = _divide(settings, shards, committed, post)
        with connection_errors(settings.kafka, "empty the exchange"):
            admin.delete_records({key: end for key, end in ends.items() if end > 0})


def _drain(settings: Settings) -> None:
    """Own all shards until nothing is left to be taken."""
    chosen = settings.model_copy(
        update={
            "instance": "reshard",
            "worker": settings.worker.model_copy(update={"roles": ("detect",)}),
        }
    )
    metrics = Metrics()
    worker = Worker(chosen, metrics)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="drain", daemon=True)
    thread.start()
    quiet_since = time.monotonic()
    deadline = quiet_since + _DRAIN_SECONDS
    while thread.is_alive() and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        if not worker.has_taken_all:
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since >= _QUIET_SECONDS:
            break
    worker.stop()
    thread.join()
    if failures:
        raise failures[0]
    if time.monotonic() >= deadline:
        raise StateError(
            f"the shards have not taken all there is in the exchange within {_DRAIN_SECONDS:.0f} s",
            "run a worker with worker.roles=[detect] until streamdrift_lag_messages is 0, stop it "
            "with SIGTERM, then do this again",
        )


def _make_room(settings: Settings, shards: int, admin: KafkaAdminClient) -> None:
    """Let the topics have the partitions that so many shards need."""
    grown = settings.model_copy(update={"shards": shards})
    state, _ = state_needs(grown)
    (exchange,) = exchange_needs(grown)
    with connection_errors(settings.kafka, "add partitions"):
        for need in (state, exchange):
            (described,) = admin.describe_topics([need.name])
            if len(described["partitions"]) < need.partitions:
                admin.create_partitions({need.name: need.partitions})


def _divide(
    settings: Settings, shards: int, committed: Mapping[Partition, Committed], post: Post
) -> Mapping[TopicPartition, int]:
    """Write the new shards in one transaction; return where the old ones' frames end."""
    states: dict[int, State] = {}
    sequences = [0]
    for number in range(settings.shards):
        saved = open_shard(post.log, settings, number).load().snapshots.get(number)
        if saved is None:
            raise StateError(f"there is no snapshot of shard {number}", "was it ever started?")
        states[number] = decode_state(saved.snapshot)
        check_fingerprint(tree(states[number], "settings"), fingerprint(settings))
        sequences.append(saved.sequence)
    places = range(max(settings.shards, shards) + 1)
    ends = {
        TopicPartition(post.exchange, number): post.log.end(post.exchange, partition=number)
        for number in places
    }
    positions = {n: ends[TopicPartition(post.exchange, n)] for n in range(shards)}
    divided = reshard_apart(states, shards, positions)
    grown = settings.model_copy(update={"shards": shards})
    post.outbox.begin()
    for frame in _held(states, shards, post):
        post.send(*frame)
    for number in range(settings.shards):
        open_shard(post.log, settings, number).reset()
    for number, state in divided.items():
        store = open_shard(post.log, grown, number)
        saved = Saved(encode_state(state), max(sequences), 0)
        store.replace({number: saved}, Journaled(), force=True)
    post.outbox.flush()
    offsets = {key: each.offset for key, each in committed.items()}
    post.outbox.commit(settings.name, offsets, _notes(settings, grown, committed))
    return ends


def _notes(
    settings: Settings, grown: Settings, committed: Mapping[Partition, Committed]
) -> Mapping[Partition, str]:
    """Return the notes of all partitions, by which they are read for so many shards."""
    notes = {}
    for partition, each in committed.items():
        timeline = Timeline.read(partition, *each, terms_of(settings))
        timeline.terms = terms_of(grown)
        notes[partition] = timeline.written()
    return notes


def _held(states: Mapping[int, State], shards: int, post: Post) -> Iterator[Addressed]:
    """Yield the events that wait in the old shards, for the new ones."""
    waiting: dict[tuple[int, Partition], list[Batch]] = {}
    for number, state in states.items():
        frontier = Frontier.restore(tree(state, "frontier"))
        start = integer(state, "position")
        lifts = {integer(each, "place"): integer(each, "key") for each in trees(state, "lifts")}
        for entry in post.log.read(post.exchange, start, partition=number):
            frame = None if entry.value is None else decode(memoryview(entry.value))
            if not isinstance(frame, Events):
                continue
            for batch in frame.batches:
                if entry.offset in lifts:
                    batch = replace(batch, time=np.maximum(batch.time, lifts[entry.offset]))
                rest = cut(batch, rows_below(batch, frame.partition, frontier), len(batch))
                shard = shard_of(batch.model, batch.group, shards)
                if len(rest):
                    waiting.setdefault((shard, frame.partition), []).append(rest)
    yield from event_frames(waiting)
