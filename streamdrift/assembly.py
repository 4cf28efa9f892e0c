"""From settings to what the service and a replay both need: the pipeline, and the topics."""

import json
from collections.abc import Callable, Mapping

from streamdrift.config import Settings
from streamdrift.decoders import Decoder, make_decoder
from streamdrift.durations import SECOND
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering
from streamdrift.pipeline import Pipeline
from streamdrift.service import ServiceSettings
from streamdrift.topics import Right, TopicNeed


def make_pipeline(
    settings: Settings,
    decoder_of: Callable[[str], Decoder] | None = None,
    *,
    timed: bool = True,
) -> Pipeline:
    """Return a pipeline without state.

    `decoder_of` gives a topic's decoder where the settings do not. `timed` is False where
    event times are made up: silence is not watched then.
    """
    monitor = Monitor(settings.model, timed=timed)
    return Pipeline(
        decoder_of or (lambda topic: _decoder(settings, topic)),
        Ordering(settings.ordering),
        monitor,
    )


def _decoder(settings: Settings, topic: str) -> Decoder:
    source, entry = settings.source, settings.source.settings_of(topic)
    if entry is None:
        return make_decoder(source.format, source.mapping)
    mapping = source.mapping if entry.mapping is None else entry.mapping
    return make_decoder(entry.format or source.format, mapping)


def topic_needs(settings: Settings) -> tuple[TopicNeed, ...]:
    """Return the topics the deployment reads and writes (those read by pattern left out)."""
    read, write = (Right.READ,), (Right.WRITE,)
    inputs = [entry.name for entry in settings.source.predictions if entry.name is not None]
    return (
        *(TopicNeed(name, "prediction events", read) for name in inputs),
        TopicNeed(settings.alerts.topic, "alerts", write),
        TopicNeed(settings.source.dead_letters, "dead letters", write),
        *state_needs(settings),
    )


def state_needs(settings: Settings) -> tuple[TopicNeed, TopicNeed]:
    """Return the topics that hold the deployment's state: snapshots and journal."""
    rights = (Right.READ, Right.WRITE)
    compacted = {"cleanup.policy": "compact"}
    # Needed as long as the inputs can be read again: nobody else knows how long.
    kept = {"cleanup.policy": "delete", "retention.ms": "-1"}
    return (
        TopicNeed(settings.state.topic, "state", rights, partitions=1, configs=compacted),
        TopicNeed(settings.state.journal, "journal", rights, partitions=1, configs=kept),
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
