"""One worker of a distributed deployment: its roles, each on a thread of its own."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from hashlib import blake2b

import structlog
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError, StateError
from streamdrift.exchange.ingest import Ingest
from streamdrift.exchange.roll import Roll
from streamdrift.exchange.settings import Role
from streamdrift.exchange.shard import Shard, identities_read
from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.topics import TopicNeed, ensure_topics, missing_topics
from streamdrift.kafka.transaction import Reached
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.sharded import versions_limit
from streamdrift.ordering.timeline import Timeline
from streamdrift.prometheus.metrics import Metrics, Read
from streamdrift.records import Partition
from streamdrift.serving.assembly import (
    exchange_needs,
    fingerprint,
    make_decoder_of,
    open_shard,
    own_needs,
    state_needs,
    topic_needs,
)
from streamdrift.serving.deployment import tell_created
from streamdrift.serving.desk import Desk
from streamdrift.serving.probe import transactions_work
from streamdrift.serving.sessions import Sessions
from streamdrift.sinks import make_sinks
from streamdrift.sources.committed import all_committed
from streamdrift.sources.discovery import Discovery
from streamdrift.sources.member import Committed, Member
from streamdrift.state import decode
from streamdrift.state.commands import CommandLog
from streamdrift.state.kafka import KafkaLog
from streamdrift.workers.control import Control
from streamdrift.workers.detecting import Detecting, DetectSettings
from streamdrift.workers.ingesting import Ingesting, IngestSettings
from streamdrift.workers.input import Input
from streamdrift.workers.places import Place
from streamdrift.workers.post import Office

_TRIM_MS = 5_000
_LOOK_UP_MS = 3_000
_LOOK_SECONDS = 0.5
_READS: Mapping[Role, Read] = {"ingest": "input", "detect": "exchange"}
_log = structlog.get_logger("streamdrift")


class Worker:
    """Runs the roles that the settings give this process, until it is stopped.

    Others ask the detect role at `desk`. `reached` is told of every step of a commit, for fault
    tests; `place` is where this worker serves HTTP for others.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        desk: Desk | None = None,
        reached: Reached = lambda _: None,
        place: Place | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._reached = reached
        self._place = place or Place(settings.instance, None)
        self._sessions = {role: Sessions(metrics, _READS[role]) for role in settings.worker.roles}
        self._failures: list[BaseException] = []
        self._detecting: Detecting | None = None
        self._desk = desk or Desk()
        self.connecting = True
        """Whether nothing was read yet."""

    def stop(self) -> None:
        """Ask all roles to commit and leave; may be called from a signal or a thread."""
        for sessions in self._sessions.values():
            sessions.stop()

    @property
    def ready(self) -> bool:
        """Whether every role serves."""
        return all(sessions.serving for sessions in self._sessions.values())

    @property
    def healthy(self) -> bool:
        """Whether every role's loop goes round."""
        return all(sessions.healthy for sessions in self._sessions.values())

    def run(self) -> None:
        """Serve until `stop`; where a role fails for good, end the others and raise."""
        reads = "ingest" in self._settings.worker.roles
        self._make_topics((topic_needs if reads else own_needs)(self._settings))
        self._check_transactions()
        self._check_terms()
        self.connecting = False
        serve: Mapping[Role, Callable[[Sessions], None]] = {
            "ingest": self._ingest,
            "detect": self._detect,
        }
        threads = [
            threading.Thread(target=self._run, args=(sessions, serve[role]), name=role, daemon=True)
            for role, sessions in self._sessions.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            # In between, signals are handled: one that another thread was given wakes no join.
            while thread.is_alive():
                thread.join(_LOOK_SECONDS)
        if self._failures:
            raise self._failures[0]
        _log.info("stopped")

    def _run(self, sessions: Sessions, serve: Callable[[Sessions], None]) -> None:
        def session() -> None:
            if sessions.served:
                self._check_topics()
                # Not the inputs: one that is deleted is for who deleted it.
                self._make_topics(own_needs(self._settings))
            serve(sessions)

        try:
            sessions.run(session)
        except BaseException as error:
            self._failures.append(error)
            self.stop()

    def _make_topics(self, needs: Sequence[TopicNeed]) -> None:
        settings = self._settings
        tell_created(ensure_topics(settings.kafka, needs, create=settings.topics.create))

    def _check_topics(self) -> None:
        """Raise StateError where a topic is gone without which workers would wait for ever."""
        settings = self._settings
        needs = (*state_needs(settings), *exchange_needs(settings))
        missing = missing_topics(settings.kafka, needs)
        if missing:
            raise StateError(
                "deleted while workers ran: "
                + ", ".join(f"the topic {need.name} ({need.purpose})" for need in missing),
                "stop all workers, then begin anew with `streamdrift state reset`",
            )

    def _check_terms(self) -> None:
        """Raise StateError where the input was read by other settings, before others notice."""
        terms = terms_of(self._settings)
        everything = self._all_committed()
        for partition, committed in everything.items():
            Timeline.read(partition, *committed, terms)
        if not everything:
            self._check_nothing_read()

    def _check_nothing_read(self) -> None:
        """Raise StateError where shards have seen what nobody has a position of any more."""
        settings = self._settings
        with closing(KafkaLog(settings.kafka)) as log:
            seen = {
                topic: identity
                for number in range(settings.shards)
                for saved in open_shard(log, settings, number).last().values()
                for topic, identity in identities_read(decode(saved.snapshot)).items()
            }
        if not seen:
            return
        with closing(self._discovery()) as discovery:
            there = discovery.last.identities
        # Of a topic that was deleted, or made anew, positions are gone rightly.
        lost = sorted(topic for topic in seen.keys() & there.keys() if seen[topic] == there[topic])
        if lost and not self._all_committed():  # A worker beside this one may just have begun.
            raise StateError(
                f"how far {', '.join(lost)} was read is gone, but not what came of it: the brokers "
                "keep that for offsets.retention.minutes (7 days, if not set) while no worker runs",
                "`streamdrift state reset` begins anew",
            )

    def _discovery(self) -> Discovery:
        settings = self._settings
        interval, own = settings.source.discovery_interval / SECOND, settings.own_topics().values()
        return Discovery(settings.kafka, settings.source.predictions, interval, own)

    def _check_transactions(self) -> None:
        settings = self._settings
        probe = f"{settings.name}/{settings.instance}"
        with closing(KafkaLog(settings.kafka)) as log:
            works = transactions_work(
                settings.kafka, log, settings.state.journal, probe, f"{probe}/probe"
            )
        if not works:
            raise ConnectionsError(
                "the brokers do not keep to transactions, which mode: distributed needs",
                "set mode: standalone, or use brokers that have them, such as Apache Kafka",
            )
        _log.info("guarantee", alerts="exactly once")

    # The roles.

    def _ingest(self, sessions: Sessions) -> None:
        settings = self._settings
        with ExitStack() as stack:
            post = stack.enter_context(Office(settings, "ingest").open())
            discovery = stack.enter_context(closing(self._discovery()))
            control = stack.enter_context(
                closing(Control(settings.kafka, Partition(post.exchange, settings.shards)))
            )
            ingest = Ingest(
                make_decoder_of(settings),
                lambda model: settings.model(model).feature_groups,
                settings.shards,
                settings.ordering.max_skew,
            )
            roll = Roll(time.monotonic(), discovery.wants)
            member = stack.enter_context(
                closing(
                    Member(
                        settings.kafka,
                        settings.name,
                        settings.instance,
                        settings.worker.session,
                        lambda: discovery.last.partitions,
                        # That the group has partitions given out that appear.
                        metadata_max_age_ms=settings.source.discovery_interval // 1_000,
                        fetch_max_bytes=settings.source.fetch_max_bytes,
                        max_partition_fetch_bytes=settings.source.partition_fetch_max_bytes,
                    )
                )
            )
            source = Input(
                member,
                discovery,
                ingest,
                roll,
                settings.source.start,
                terms_of(settings),
                self._all_committed,
            )
            stack.callback(self._metrics.assigned, "ingest", 0)
            loop = Ingesting(
                IngestSettings(
                    settings.commit_interval / SECOND,
                    settings.ordering.idle_after,
                    settings.ordering.max_pending,
                ),
                post,
                member,
                source,
                control,
                ingest,
                roll,
                self._metrics,
                self._reached,
            )
            sessions.serve(loop.turn, loop.finish)

    def _all_committed(self) -> Mapping[Partition, Committed]:
        """Return what the ingest group has committed of all partitions, whatever their topics."""
        connection, group = self._settings.kafka, self._settings.name
        with closing(make_admin(connection)) as admin:
            return all_committed(admin, connection, group)

    def _detect(self, sessions: Sessions) -> None:
        settings = self._settings
        with ExitStack() as stack:
            post = stack.enter_context(Office(settings, "detect").open())
            sinks = make_sinks(settings.alerts, settings.name, post.outbox)
            for sink in sinks:
                stack.enter_context(closing(sink))
            shards = frozenset(Partition(post.exchange, n) for n in range(settings.shards))
            member = stack.enter_context(
                closing(
                    Member(
                        settings.kafka,
                        f"{settings.name}.detect",
                        settings.instance,
                        settings.worker.session,
                        lambda: shards,
                        fetch_max_bytes=settings.source.fetch_max_bytes,
                        max_partition_fetch_bytes=settings.source.partition_fetch_max_bytes,
                    )
                )
            )
            member.subscribe([post.exchange])
            trimmer = stack.enter_context(closing(Trimmer(settings.kafka)))
            stack.callback(self._metrics.assigned, "detect", 0)
            loop = Detecting(
                DetectSettings(
                    settings.shards,
                    settings.commit_interval / SECOND,
                    settings.state.bytes_per_second,
                    fingerprint(settings),
                    self._place,
                ),
                post,
                member,
                sinks,
                self._new_shard,
                lambda number: open_shard(post.log, settings, number),
                lambda after: CommandLog(post.log, settings.commands.topic, after),
                trimmer.trim,
                self._metrics,
                self._desk,
                self._reached,
            )
            self._detecting = loop
            with self._desk.served():
                sessions.serve(loop.turn, loop.finish)

    @property
    def has_taken_all(self) -> bool:
        """Whether all shards are this worker's, and nothing is left for them to take."""
        return self._detecting is not None and self._detecting.has_taken_all

    def _new_shard(self, number: int) -> Shard:
        shards = self._settings.shards
        return Shard(Home(number, shards), self._settings.model, versions_limit(shards))


def owners(settings: Settings) -> Mapping[int, str]:
    """Return the notes that owners of shards have left; raise ConnectionsError as brokers do."""
    with closing(make_admin(settings.kafka, bootstrap_timeout_ms=_LOOK_UP_MS)) as admin:
        found = all_committed(admin, settings.kafka, f"{settings.name}.detect")
    return {
        partition.number: each.note
        for partition, each in found.items()
        if partition.topic == settings.exchange.topic
    }


def terms_of(settings: Settings) -> int:
    """Return 64 bits that tell by which settings the input is read, and dealt out to shards."""
    groups = {name: settings.model(name).feature_groups for name in settings.models}
    divided = {name: count for name, count in groups.items() if count > 1}
    told = [dict(fingerprint(settings)), settings.shards, divided]
    digest = blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


class Trimmer:
    """Deletes frames from the exchange; where it may not, the topic's retention does."""

    def __init__(self, connection: KafkaSettings) -> None:
        self._admin = make_admin(connection)

    def trim(self, positions: Mapping[Partition, int]) -> None:
        """Delete what is before these positions."""
        with suppress(KafkaError, OSError):
            self._admin.delete_records(
                {TopicPartition(*key): offset for key, offset in positions.items() if offset > 0},
                timeout_ms=_TRIM_MS,
            )

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()
