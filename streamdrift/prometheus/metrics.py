"""Every Prometheus metric, declared once.

Base units; `_total` on counters only. What has a series per signal, model or partition is
read from one value that the service replaces as a whole, so a scrape never sees half of it,
and series of what is gone disappear.
"""

import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from streamdrift import __version__
from streamdrift.monitoring.standing import Standing
from streamdrift.prometheus.families import FAMILIES, Chunk, Family, Shown
from streamdrift.records import Alert, Partition

SECOND = 1_000_000
MAX_SERIES = 10_000
"""Series of a family that are shown, if not set: of readings those nearest to their thresholds."""
_LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
_COMMITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


Read = Literal["input", "exchange"]
"""What is read: several workers have an exchange."""


class Metrics:
    """The metrics of one process, in a registry of its own.

    The methods are what the service reports, in terms of what happened; none of them is
    called per event.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, max_series: int | None = MAX_SERIES
    ) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._declare_counters()
        self._declare_gauges()
        self._declare_histograms()
        self._declare_sinks()
        self._shown = Shown(max_series)
        self._one = threading.Lock()

    def _declare_counters(self) -> None:
        counter = partial(Counter, registry=self.registry)
        self._messages = counter("streamdrift_messages", "Messages read.", ["topic"])
        self._events = counter("streamdrift_events", "Events decoded from messages.", ["topic"])
        self._dropped_fields = counter(
            "streamdrift_dropped_fields",
            "Fields of events beyond the number that is read.",
            ["topic"],
        )
        self._dead_letters = counter(
            "streamdrift_dead_letters",
            "Messages or events that could not be used; the topic of dead letters has them (of "
            "what is too large for it, place and reason).",
            ["reason"],
        )
        self._skipped = counter(
            "streamdrift_offsets_skipped",
            "Offsets passed over without their messages being read: `lost` as retention removed "
            "them, or `damaged`.",
            ["topic", "reason"],
        )
        self._alerts = counter(
            "streamdrift_alerts", "Alerts published: opened, updated or resolved.", ["type"]
        )
        self._commands = counter(
            "streamdrift_commands",
            "What operators asked, by what that was; `refused`: records that are no command.",
            ["kind"],
        )
        self._stages = counter(
            "streamdrift_stage_seconds",
            "Time the loops spent, by stage; `read` and `receive` wait for events, too.",
            ["stage"],
        )
        self._exchanged = counter(
            "streamdrift_exchange_bytes",
            "With several workers: bytes sent to the shards, before they are compressed.",
        )
        self._disconnects = counter(
            "streamdrift_source_disconnects", "Times the brokers could not be reached."
        )

    def _declare_sinks(self) -> None:
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._delivered = counter(
            "streamdrift_sink_delivered", "Alerts that a sink has taken.", ["sink"]
        )
        self._failed = counter(
            "streamdrift_sink_failures",
            "Attempts to deliver that failed, and are made again.",
            ["sink"],
        )
        self._passed_over = counter(
            "streamdrift_sink_passed_over",
            "Alerts that a sink is not told of, by reason.",
            ["sink", "reason"],
        )
        self._behind = gauge(
            "streamdrift_sink_behind_alerts",
            "Alerts published that a sink has not taken yet.",
            ["sink"],
        )
        self._held = gauge(
            "streamdrift_sink_held_alerts",
            "Of these, alerts that wait until the service has caught up, or a quiet time is over.",
            ["sink"],
        )
        self._working = gauge(
            "streamdrift_sink_working",
            "1 while a sink takes alerts, 0 from an attempt that failed on; none before the first, "
            "where another worker has the sink, and where nothing is left to be tried.",
            ["sink"],
        )
        self._alertmanagers = gauge(
            "streamdrift_alertmanager_working",
            "The same of each Alertmanager by its address: the sink works while one of them does.",
            ["place"],
        )
        self._known = gauge(
            "streamdrift_incidents_kept", "Incidents, open or over, that the incidents topic keeps."
        )
        self._evicted = gauge(
            "streamdrift_incidents_evicted",
            "Incidents that this process gave up before alerts.keep_resolved, for want of room.",
        )

    def _declare_gauges(self) -> None:
        gauge = partial(Gauge, registry=self.registry)
        build = gauge(
            "streamdrift_build_info", "1, labelled with what runs.", ["version", "python"]
        )
        build.labels(__version__, platform.python_version()).set(1)
        self._answering: dict[Read, bool] = {}
        self._connected = gauge(
            "streamdrift_source_connected",
            "1 while the brokers answer, 0 while they are waited for.",
        )
        self._blocked = gauge(
            "streamdrift_blocked_partitions",
            "Partitions in which a producer's open transaction hides what comes next; it is waited "
            "for.",
        )
        self._watermark = gauge(
            "streamdrift_watermark_timestamp_seconds",
            "Event time up to which everything is observed; not above 0 before the first event.",
        )
        self._state_bytes = gauge("streamdrift_state_bytes", "Size of the last stored state.")
        self._assigned = gauge(
            "streamdrift_assigned_partitions",
            "With several workers: partitions of the input (`ingest`) and shards (`detect`) that "
            "are this one's.",
            ["role"],
        )
        self._pending = gauge(
            "streamdrift_pending_events", "Events held back until their turn in the order comes."
        )

    def _declare_histograms(self) -> None:
        histogram = partial(Histogram, registry=self.registry)
        self._latency = histogram(
            "streamdrift_alert_latency_seconds",
            "From an alert's event time to its publication.",
            buckets=_LATENCIES,
        )
        self._commit = histogram(
            "streamdrift_commit_seconds", "Time a commit took.", buckets=_COMMITS
        )

    def skipped(self, topic: str, reason: str, offsets: int) -> None:
        """Report offsets of a topic whose messages are gone, or damaged."""
        self._skipped.labels(topic, reason).inc(offsets)

    def read(self, topic: str, messages: int, events: int, dropped_fields: int = 0) -> None:
        """Count what a batch of messages held."""
        self._dropped_fields.labels(topic).inc(dropped_fields)
        self._messages.labels(topic).inc(messages)
        self._events.labels(topic).inc(events)

    def dead_letter(self, reason: str, count: int = 1) -> None:
        """Count messages or events that could not be used."""
        self._dead_letters.labels(reason).inc(count)

    def commanded(self, kind: str) -> None:
        """Count a record of the commands topic."""
        self._commands.labels(kind).inc()

    def spent(self, stage: str, seconds: float) -> None:
        """Add to the time a stage took."""
        self._stages.labels(stage).inc(seconds)

    def published(self, alerts: Iterable[Alert], now: int) -> None:
        """Count alerts that are durable as of `now` (microseconds since the epoch)."""
        for alert in alerts:
            self._alerts.labels(alert.type).inc()
            self._latency.observe(max(0, now - alert.time) / SECOND)

    def committed(self, seconds: float) -> None:
        """Record a commit."""
        self._commit.observe(seconds)

    def stored(self, size: int) -> None:
        """Record the bytes of the state just written."""
        self._state_bytes.set(size)

    def connected(self, what: Read, *, answering: bool) -> None:
        """Record whether the brokers answer those who read this: all must, to be connected."""
        if not answering:
            self._disconnects.inc()
        self._answering[what] = answering
        self._connected.set(all(self._answering.values()))

    def blocked(self, partitions: int) -> None:
        """Record in how many partitions an open transaction hides what comes next."""
        self._blocked.set(partitions)

    def lagging(self, what: Read, lag: Mapping[Partition, int]) -> None:
        """Record how far behind reading this is; replaces what was there."""
        self._shown.lag = {**self._shown.lag, what: dict(lag)}

    def displaced(self, events: Mapping[str, int]) -> None:
        """Record how many events were not taken at their own times, for some reasons."""
        self._shown.displaced = {**self._shown.displaced, **events}

    def observed(self, watermark: int) -> None:
        """Record how far observing is."""
        self._watermark.set(watermark / SECOND)

    def pending(self, events: int) -> None:
        """Record how many events wait for their turn in the order."""
        self._pending.set(events)

    def assigned(self, role: str, partitions: int) -> None:
        """Record how many partitions are this worker's."""
        self._assigned.labels(role).set(partitions)

    def exchanged(self, size: int) -> None:
        """Add to the bytes sent to the shards."""
        self._exchanged.inc(size)

    def incidents_kept(self, known: int, evicted: int) -> None:
        """Record how many incidents are known, and how many were given up for want of room."""
        self._known.set(known)
        self._evicted.set(evicted)

    def sink_delivered(self, sink: str, alerts: int) -> None:
        """Count alerts that a sink has taken."""
        self._delivered.labels(sink).inc(alerts)

    def sink_failed(self, sink: str) -> None:
        """Count an attempt that failed."""
        self._failed.labels(sink).inc()

    def sink_working(self, sink: str, works: bool | None) -> None:
        """Record whether a sink works; None where that is not known."""
        _show(self._working, sink, works)

    def alertmanager_working(self, place: str, works: bool | None) -> None:
        """Record whether one Alertmanager works; None where that is not known."""
        _show(self._alertmanagers, place, works)

    def sink_gone(self, sink: str) -> None:
        """Forget how a sink stands: it is another worker's."""
        for gauge in (self._working, self._behind, self._held):
            gauge.remove(sink)

    def sink_passed_over(self, sink: str, reason: str, alerts: int = 1) -> None:
        """Count alerts that a sink is not told of."""
        self._passed_over.labels(sink, reason).inc(alerts)

    def sink_behind(self, sink: str, behind: int, held: int) -> None:
        """Record how many alerts a sink has not taken, and how many of them wait for a reason."""
        self._behind.labels(sink).set(behind)
        self._held.labels(sink).set(held)

    def watched(self, standing: Standing) -> None:
        """Record how the monitors stand; replaces what was there."""
        self._shown.standing = standing

    def events(self) -> int:
        """Return how many events were decoded, over all topics."""
        samples = (sample for family in self._events.collect() for sample in family.samples)
        return int(sum(each.value for each in samples if each.name.endswith("_total")))

    def exposition(self) -> list[Chunk]:
        """Return what `/metrics` answers, in parts. Others may run while it is made."""
        with self._one:
            return [generate_latest(_Uncreated(self.registry)), *self._shown.text()]

    def declared(self) -> list[Family]:
        """Return every metric, by the name of its samples.

        Labels of those in the registry are known from their first sample on.
        """
        return sorted([*registered(self.registry), *FAMILIES], key=attrgetter("name"))


def registered(registry: CollectorRegistry) -> list[Family]:
    """Return the metrics of a registry, by the name of its samples."""
    return [
        Family(
            f"{each.name}_total" if each.type == "counter" else each.name,
            each.type,
            each.documentation,
            tuple(name for sample in each.samples[:1] for name in sample.labels if name != "le"),
        )
        for each in registry.collect()
    ]


def _show(gauge: Gauge, label: str, works: bool | None) -> None:
    if works is None:
        gauge.remove(label)
    else:
        gauge.labels(label).set(works)


class _Uncreated(Collector):
    """A registry without the `_created` samples, which in this format are series of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [
                sample for sample in family.samples if not sample.name.endswith("_created")
            ]
            yield family
