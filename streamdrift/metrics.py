"""Every Prometheus metric, declared once.

Base units; `_total` on counters only. What has a series per signal, model or partition is
read from one value that the service replaces as a whole, so a scrape never sees half of it,
and series of what is gone disappear.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from streamdrift import __version__
from streamdrift.realised import RealisedRate
from streamdrift.records import Alert, Partition, SignalFinding, SignalReading, WarmUp

SECOND = 1_000_000
MAX_SERIES = 2_000
"""Signals (times detectors) whose statistic is shown; the rest is counted as left out."""
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
        self, registry: CollectorRegistry | None = None, max_series: int = MAX_SERIES
    ) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._declare_counters(self.registry)
        self._declare_gauges(self.registry)
        self._declare_histograms(self.registry)
        self.max_series = max_series
        """Readings, and model versions, that are shown at most."""
        self._shown = _Shown(max_series)
        self.registry.register(self._shown)

    def _declare_counters(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            "streamdrift_messages", "Messages read.", ["topic"], registry=registry
        )
        self._events = Counter(
            "streamdrift_events", "Events decoded from messages.", ["topic"], registry=registry
        )
        self._dropped_fields = Counter(
            "streamdrift_dropped_fields",
            "Fields of events beyond the number that is read.",
            ["topic"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "streamdrift_dead_letters",
            "Messages or events that could not be used; the topic of dead letters has them (of "
            "what is too large for it, place and reason).",
            ["reason"],
            registry=registry,
        )
        self._skipped = Counter(
            "streamdrift_offsets_skipped",
            "Offsets passed over without their messages being read: `lost` as retention removed "
            "them, or `damaged`.",
            ["topic", "reason"],
            registry=registry,
        )
        self._alerts = Counter(
            "streamdrift_alerts",
            "Alerts published: opened, updated or resolved.",
            ["type"],
            registry=registry,
        )
        self._commands = Counter(
            "streamdrift_commands",
            "What operators asked, by what that was; `refused`: records that are no command.",
            ["kind"],
            registry=registry,
        )
        self._stages = Counter(
            "streamdrift_stage_seconds",
            "Time the loops spent, by stage; `read` and `receive` wait for events, too.",
            ["stage"],
            registry=registry,
        )
        self._exchanged = Counter(
            "streamdrift_exchange_bytes",
            "With several workers: bytes sent to the shards, before they are compressed.",
            registry=registry,
        )
        self._disconnects = Counter(
            "streamdrift_source_disconnects",
            "Times the brokers could not be reached.",
            registry=registry,
        )

    def _declare_gauges(self, registry: CollectorRegistry) -> None:
        build = Gauge(
            "streamdrift_build_info",
            "1, labelled with what runs.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        self._answering: dict[Read, bool] = {}
        self._connected = Gauge(
            "streamdrift_source_connected",
            "1 while the brokers answer, 0 while they are waited for.",
            registry=registry,
        )
        self._blocked = Gauge(
            "streamdrift_blocked_partitions",
            "Partitions in which a producer's open transaction hides what comes next; it is waited "
            "for.",
            registry=registry,
        )
        self._watermark = Gauge(
            "streamdrift_watermark_timestamp_seconds",
            "Event time up to which everything is observed; not above 0 before the first event.",
            registry=registry,
        )
        self._state_bytes = Gauge(
            "streamdrift_state_bytes", "Size of the last stored state.", registry=registry
        )
        self._assigned = Gauge(
            "streamdrift_assigned_partitions",
            "With several workers: partitions of the input (`ingest`) and shards (`detect`) that "
            "are this one's.",
            ["role"],
            registry=registry,
        )
        self._pending = Gauge(
            "streamdrift_pending_events",
            "Events held back until their turn in the order comes.",
            registry=registry,
        )

    def _declare_histograms(self, registry: CollectorRegistry) -> None:
        self._latency = Histogram(
            "streamdrift_alert_latency_seconds",
            "From an alert's event time to its publication.",
            registry=registry,
            buckets=_LATENCIES,
        )
        self._commit = Histogram(
            "streamdrift_commit_seconds",
            "Time a commit took.",
            registry=registry,
            buckets=_COMMITS,
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

    def watched(
        self,
        readings: Sequence[SignalReading],
        left_out: int,
        warm_ups: Sequence[WarmUp],
        incidents: Mapping[tuple[str, str], int],
        unwatched: int,
        dropped: Mapping[str, int],
        realised: Sequence[RealisedRate] = (),
        findings: Sequence[SignalFinding] = (),
        findings_left_out: int = 0,
    ) -> None:
        """Record the monitor's numbers; replaces what was there.

        `readings` are `max_series` at most, `left_out` is the number of the others, and so it
        is with `findings`; `dropped` counts repeated events by model.
        """
        self._shown.dropped = dict(dropped)
        self._shown.realised = tuple(realised)
        self._shown.findings, self._shown.findings_left_out = tuple(findings), findings_left_out
        self._shown.unwatched = unwatched
        self._shown.left_out = left_out
        self._shown.readings = tuple(readings)
        self._shown.warm_ups = tuple(warm_ups)
        self._shown.incidents = dict(incidents)

    @property
    def readings(self) -> Sequence[SignalReading]:
        """The readings last recorded."""
        return self._shown.readings

    @property
    def warm_ups(self) -> Sequence[WarmUp]:
        """The warm-ups last recorded."""
        return self._shown.warm_ups

    def events(self) -> int:
        """Return how many events were decoded, over all topics."""
        samples = (sample for family in self._events.collect() for sample in family.samples)
        return int(sum(each.value for each in samples if each.name.endswith("_total")))

    def exposition(self) -> tuple[bytes, str]:
        """Return what `/metrics` answers, and its content type."""
        return generate_latest(_Uncreated(self.registry)), CONTENT_TYPE_PLAIN_0_0_4


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


class _Shown(Collector):
    """The families with a series per signal, model version or partition."""

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self.readings: tuple[SignalReading, ...] = ()
        self.warm_ups: tuple[WarmUp, ...] = ()
        self.incidents: Mapping[tuple[str, str], int] = {}
        self.lag: Mapping[str, Mapping[Partition, int]] = {}
        self.displaced: Mapping[str, int] = {}
        self.unwatched = 0
        self.dropped: Mapping[str, int] = {}
        self.realised: tuple[RealisedRate, ...] = ()
        self.left_out = 0
        self.findings: tuple[SignalFinding, ...] = ()
        self.findings_left_out = 0

    def collect(self) -> Iterator[Metric]:
        yield from self._signals()
        yield from self._models()
        yield from self._budgets()
        lag = GaugeMetricFamily(
            "streamdrift_lag_messages",
            "Messages of a partition that are not read yet.",
            labels=["topic", "partition"],
        )
        for of in self.lag.values():
            for partition, messages in sorted(of.items()):
                lag.add_metric([partition.topic, str(partition.number)], messages)
        yield lag
        displaced = CounterMetricFamily(
            "streamdrift_events_displaced",
            "Events taken at another time than their own: `late`, or `unbelieved` as too far "
            "ahead; with several workers `unpromised`, which came below what their partition had "
            "promised: there should be none.",
            labels=["reason"],
        )
        for reason, events in sorted(self.displaced.items()):
            displaced.add_metric([reason], events)
        yield displaced
        yield CounterMetricFamily(
            "streamdrift_events_unwatched",
            "Events of model versions beyond the limit of those watched at once.",
            value=self.unwatched,
        )
        dropped = CounterMetricFamily(
            "streamdrift_duplicates_dropped",
            "Repeated events that were dropped, as deduplicate says.",
            labels=["model"],
        )
        for model, events in sorted(self.dropped.items())[: self._max_series]:
            dropped.add_metric([model], events)
        yield dropped

    def _signals(self) -> Iterator[Metric]:
        labels = ["model", "version", "signal", "detector"]
        statistic = GaugeMetricFamily(
            "streamdrift_signal_statistic", "A detector's statistic for a signal.", labels=labels
        )
        threshold = GaugeMetricFamily(
            "streamdrift_signal_threshold",
            "The statistic at which the detector decides that the signal changed.",
            labels=labels,
        )
        changed = GaugeMetricFamily(
            "streamdrift_signal_changed",
            "1 from a signal's change to its return or acceptance.",
            labels=labels,
        )
        for reading in self.readings:
            values = [reading.model, reading.version, reading.signal.name, reading.detector]
            statistic.add_metric(values, reading.statistic)
            threshold.add_metric(values, reading.threshold)
            changed.add_metric(values, reading.changed)
        yield from (statistic, threshold, changed)
        yield GaugeMetricFamily(
            "streamdrift_signals_left_out",
            "Readings of signals not shown, as there are too many.",
            value=self.left_out,
        )
        finding = GaugeMetricFamily(
            "streamdrift_signal_finding",
            "1 where this was found in a signal's reference: `calendar`, `cycle`, `memory`, "
            "`no_level`, `provisional`, `not_assured`, `comes_back`, ...; the log, a replay's "
            "summary and `streamdrift state show` say it in words.",
            labels=["model", "version", "signal", "finding"],
        )
        for found in self.findings:
            finding.add_metric(list(found), 1)
        yield finding
        yield GaugeMetricFamily(
            "streamdrift_findings_left_out",
            "Findings not shown, as there are too many.",
            value=self.findings_left_out,
        )

    def _models(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        warm_up = GaugeMetricFamily(
            "streamdrift_warm_up_ratio",
            "Progress of the reference: at 1 the model version is watched.",
            labels=labels,
        )
        for each in sorted(self.warm_ups)[: self._max_series]:
            # The events may be there while the time span is not: not complete, so below 1.
            ratio = 1.0 if each.complete else min(0.99, each.events / max(1, each.wanted))
            warm_up.add_metric([each.model, each.version], ratio)
        yield warm_up
        incidents = GaugeMetricFamily(
            "streamdrift_incidents_open", "Incidents that are not resolved.", labels=labels
        )
        for (model, version), count in sorted(self.incidents.items())[: self._max_series]:
            incidents.add_metric([model, version], count)
        yield incidents

    def _budgets(self) -> Iterator[Metric]:
        labels = ["model"]
        budget = GaugeMetricFamily(
            "streamdrift_alert_budget_per_week",
            "False alarms that alert_budget allows in a week of event time.",
            labels=labels,
        )
        opened = CounterMetricFamily(
            "streamdrift_alerts_opened",
            "Incidents that tests opened, true ones among them; silence is no test.",
            labels=labels,
        )
        joined = CounterMetricFamily(
            "streamdrift_changes_joined",
            "Changes that joined an incident after it was opened.",
            labels=labels,
        )
        rate = GaugeMetricFamily(
            "streamdrift_realised_alerts_per_week",
            "Incidents that tests opened in a week of event time since the model's first "
            "reference; less than a week counts as one.",
            labels=labels,
        )
        for each in self.realised[: self._max_series]:
            budget.add_metric([each.model], each.budget.per_week)
            opened.add_metric([each.model], each.opened)
            joined.add_metric([each.model], each.joined)
            if each.per_week is not None:
                rate.add_metric([each.model], each.per_week)
        yield from (budget, opened, joined, rate)
