"""From settings to what the service and a replay both need: the pipeline, and the topics."""

import json
from collections.abc import Callable, Mapping, Sequence

from streamdrift.config import Settings
from streamdrift.decoders import Decoder, make_decoder
from streamdrift.durations import SECOND
from streamdrift.errors import StateError
from streamdrift.exchange.settings import LARGEST_FRAME
from streamdrift.loop import ServiceSettings
from streamdrift.ordering import Ordering
from streamdrift.pipeline import Beside, Onlooker, Pipeline
from streamdrift.schema_registry import schemas_of
from streamdrift.sharded import Shards
from streamdrift.sources import TopicSettings
from streamdrift.state import TopicStore
from streamdrift.state.log import Log
from streamdrift.topics import Right, TopicNeed

# What is not compacted is read at every start: the newest segment never is.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(50 << 20),
    "max.compaction.lag.ms": str(600_000),
}


def make_pipeline(
    settings: Settings,
    decoder_of: Callable[[str], Decoder] | None = None,
    *,
    timed: bool = True,
    beside: Sequence[Beside] = (),
    onlooker: Onlooker | None = None,
) -> Pipeline:
    """Return a pipeline without state.

    `decoder_of` gives a topic's decoder where the settings do not. `timed` is False where
    event times are made up: silence and event rates are not watched then. Those `beside` its
    monitor are shown the same events; the `onlooker` sees what it makes of them.
    """
    return Pipeline(
        decoder_of or make_decoder_of(settings),
        Ordering(settings.ordering),
        Shards(settings.model, settings.shards, timed=timed),
        beside,
        onlooker,
    )


def make_decoder_of(settings: Settings) -> Callable[[str], Decoder]:
    """Return what makes a topic's decoder; all of them share what is known of schemas."""
    source = settings.source
    schemas = schemas_of(source.schema_registry)

    def make(entry: TopicSettings) -> Decoder:
        mapping = source.mapping if entry.mapping is None else entry.mapping
        return make_decoder(entry.format or source.format, mapping, schemas)

    # What a format lacks, such as a library, is told at the start.
    for entry in source.predictions:
        make(entry)

    def decoder_of(topic: str) -> Decoder:
        return make(source.settings_of(topic) or TopicSettings(name=topic))

    return decoder_of


def topic_needs(settings: Settings) -> tuple[TopicNeed, ...]:
    """Return the topics the deployment reads and writes (those read by pattern left out)."""
    inputs = [entry.name for entry in settings.source.predictions if entry.name is not None]
    return (
        *(TopicNeed(name, "prediction events", (Right.READ,)) for name in inputs),
        *own_needs(settings),
    )


def own_needs(settings: Settings) -> tuple[TopicNeed, ...]:
    """Return the topics the deployment writes."""
    write = (Right.WRITE,)
    alerts = settings.alerts
    reads = (Right.READ,) if alerts.webhook is not None or alerts.notify else ()
    return (
        TopicNeed(settings.alerts.topic, "alerts", (*reads, Right.WRITE)),
        incidents_need(settings),
        TopicNeed(settings.source.dead_letters, "dead letters", write),
        commands_need(settings),
        *state_needs(settings),
        *exchange_needs(settings),
    )


def incidents_need(settings: Settings) -> TopicNeed:
    """Return the topic that holds the latest alert of each incident."""
    rights = (Right.READ, Right.WRITE)
    # One partition: readers have all incidents in the order in which they came about.
    return TopicNeed(
        settings.alerts.incidents, "incidents", rights, partitions=1, configs=_COMPACTED
    )


def commands_need(settings: Settings) -> TopicNeed:
    """Return the topic of what operators ask for: one partition, as all of it has one order."""
    rights = (Right.READ, Right.WRITE)
    return TopicNeed(settings.commands.topic, "operators' commands", rights, partitions=1)


def exchange_needs(settings: Settings) -> tuple[TopicNeed, ...]:
    """Return the topic between workers, where there are several."""
    if settings.mode == "standalone":
        return ()
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.exchange.retention // 1_000),
        "max.message.bytes": str(LARGEST_FRAME),
    }
    rights, partitions = (Right.READ, Right.WRITE), settings.shards + 1
    return (TopicNeed(settings.exchange.topic, "exchange", rights, partitions, configs=configs),)


def state_needs(settings: Settings) -> tuple[TopicNeed, TopicNeed]:
    """Return the topics that hold the deployment's state: snapshots and journal."""
    rights = (Right.READ, Right.WRITE)
    # Needed as long as the inputs can be read again: nobody else knows how long.
    kept = {"cleanup.policy": "delete", "retention.ms": "-1"}
    # The shards of standalone are one process's, those of several workers are apart.
    partitions = 1 if settings.mode == "standalone" else settings.shards
    return (
        TopicNeed(settings.state.topic, "state", rights, partitions, configs=_COMPACTED),
        TopicNeed(settings.state.journal, "journal", rights, partitions=1, configs=kept),
    )


def check_mode(log: Log, settings: Settings) -> None:
    """Raise StateError where the state is not of the mode that the settings say."""
    topic, standalone = settings.state.topic, settings.mode == "standalone"
    count = log.partitions(topic)
    if standalone and count > 1:
        raise StateError(
            f"the topic {topic} has {count} partitions, as several workers write them",
            f"with mode: distributed and shards: {count}, what they hold can be read",
        )
    if not standalone and count < settings.shards:
        raise StateError(
            f"the topic {topic} has {count} partitions, and {settings.shards} shards would be "
            "in as many",
            "what one process wrote can be read with mode: standalone"
            if count == 1
            else "set shards to what the workers run with",
        )


def open_store(log: Log, settings: Settings) -> TopicStore:
    """Return the store of the deployment's state."""
    state = settings.state
    return TopicStore(log, settings.name, state.topic, state.journal, settings.shards)


def open_stores(log: Log, settings: Settings) -> list[TopicStore]:
    """Return the one store of all shards, or that of each, as the mode has it."""
    if settings.mode == "standalone":
        return [open_store(log, settings)]
    return [open_shard(log, settings, shard) for shard in range(settings.shards)]


def open_shard(log: Log, settings: Settings, shard: int) -> TopicStore:
    """Return the store of one shard, in partitions of its own."""
    state = settings.state
    return TopicStore(
        log,
        settings.name,
        state.topic,
        state.journal,
        settings.shards,
        shard=shard,
        partition=shard,
    )


def fingerprint(settings: Settings) -> Mapping[str, str]:
    """Return what must stay as it is while state is kept, as a text by settings key.

    That is how the input is read. What a model version watches is in its own snapshot.
    """
    texts = {
        "source.format": settings.source.format,
        "source.mapping": json.dumps(settings.source.mapping, sort_keys=True),
    }
    for topic in settings.source.predictions:
        own = topic.model_dump(mode="json", exclude={"name", "pattern"}, exclude_none=True)
        if own:
            key = f"source.predictions.{topic.name or topic.pattern}"
            texts[key] = json.dumps(own, sort_keys=True)
    return texts


def service_settings(settings: Settings) -> ServiceSettings:
    """Return what the service's loop needs to know."""
    return ServiceSettings(
        commit_interval=settings.commit_interval / SECOND,
        bytes_per_second=settings.state.bytes_per_second,
        idle_after=settings.ordering.idle_after,
        max_pending=settings.ordering.max_pending,
        fingerprint=fingerprint(settings),
    )
