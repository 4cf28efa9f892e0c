"""The dashboard of the service: what it reads, how far behind it is, and what that takes."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import (
    GREEN,
    RED,
    YELLOW,
    Panel,
    Query,
    across,
    add_row,
    board,
    lines,
    numbers,
    states,
)

_OF = '{job=~"$job"}'
_RATE = "$__rate_interval"


def service() -> Dashboard:
    """Return the dashboard of the service."""
    made = board(
        "streamdrift-service",
        "streamdrift: service",
        "What a deployment of streamdrift reads, how far behind it is, and what that takes.",
        refresh="10s",
        since="now-1h",
    )
    for title, panels in (
        ("Now", _now()),
        ("Throughput and lag", _throughput()),
        ("Alerts and commits", _delays()),
        ("Sinks", _sinks()),
        ("Work and memory", _work()),
        ("What is not taken as it came", _losses()),
        ("Processes", _workers()),
        ("Gateways, of all deployments", _gateways()),
    ):
        add_row(made, title, panels)
    return made


def _now() -> Sequence[Panel]:
    return (
        numbers(
            "Events",
            "Events decoded per second, over 5 minutes.",
            Query(f"job:streamdrift_events:rate5m{_OF}"),
            unit="cps",
        ),
        numbers(
            "Lag",
            "Messages that are not read yet. Bad if it grows.",
            Query(f"sum without (topic) (job_topic:streamdrift_lag_messages:sum{_OF})"),
            unit="short",
            steps=((None, GREEN), (10_000, YELLOW), (1_000_000, RED)),
        ),
        numbers(
            "Event time behind the clock",
            "How old the latest observed event is. It grows while nothing comes, too.",
            Query(f"time() - job:streamdrift_watermark_timestamp_seconds:min{_OF}"),
            unit="s",
            steps=((None, GREEN), (60, YELLOW), (600, RED)),
        ),
        numbers(
            "Brokers answer",
            "1 while all processes of the deployment reach the brokers.",
            Query(across("min", f"streamdrift_source_connected{_OF}")),
            unit="none",
            steps=((None, RED), (1, GREEN)),
        ),
        numbers(
            "Dead letters",
            "Share of what was read in 15 minutes that could not be used.",
            Query(f"job:streamdrift_dead_letters:ratio15m{_OF}"),
            unit="percentunit",
            steps=((None, GREEN), (0.0001, YELLOW), (0.01, RED)),
        ),
        numbers(
            "Open incidents",
            "Incidents of all models that are not resolved, without those of planned changes.",
            Query(f"sum by (job) (job_model_version:streamdrift_incidents_open:sum{_OF})"),
            unit="none",
            steps=((None, GREEN), (1, YELLOW)),
        ),
    )


def _throughput() -> Sequence[Panel]:
    return (
        lines(
            "Events and messages",
            "What is read and decoded per second, by topic.",
            [
                Query(
                    across("sum", f"rate(streamdrift_events_total{_OF}[{_RATE}])"),
                    "events of {{topic}}",
                ),
                Query(
                    across("sum", f"rate(streamdrift_messages_total{_OF}[{_RATE}])"),
                    "messages of {{topic}}",
                ),
            ],
            unit="cps",
        ),
        lines(
            "Lag",
            "Messages of each topic that are not read yet.",
            [Query(f"job_topic:streamdrift_lag_messages:sum{_OF}", "{{topic}}")],
            unit="short",
        ),
        lines(
            "Lag of the partitions that are furthest behind",
            "One that does not fall holds up the order of all.",
            [Query(f"topk(10, streamdrift_lag_messages{_OF})", "{{topic}} {{partition}}")],
            unit="short",
        ),
        lines(
            "Event time behind the clock",
            "How old the latest event is that all workers have observed.",
            [Query(f"time() - job:streamdrift_watermark_timestamp_seconds:min{_OF}", "all")],
            unit="s",
        ),
    )


def _delays() -> Sequence[Panel]:
    latency = across("sum", f"rate(streamdrift_alert_latency_seconds_bucket{_OF}[1h])")
    commit = across("sum", f"rate(streamdrift_commit_seconds_bucket{_OF}[{_RATE}])")
    return (
        lines(
            "Alerts published, commands taken",
            "Incidents opened, updated and resolved, in an hour; and what operators asked in all.",
            [
                Query(across("sum", f"increase(streamdrift_alerts_total{_OF}[1h])"), "{{type}}"),
                Query(across("sum", f"streamdrift_commands_total{_OF}"), "asked: {{kind}}"),
            ],
            unit="none",
            span=8,
        ),
        lines(
            "From an alert's event to its publication",
            "Over an hour, as alerts are rare. With a backlog it is large.",
            [
                Query(f"histogram_quantile(0.5, {latency})", "half of them"),
                Query(f"job:streamdrift_alert_latency_seconds:p95_1h{_OF}", "95 %"),
            ],
            unit="s",
            span=8,
        ),
        lines(
            "Time of a commit",
            "Brokers abort a transaction that takes more than 10 seconds.",
            [
                Query(f"histogram_quantile({share}, {commit})", name)
                for share, name in (("0.5", "half of them"), ("0.95", "95 %"), ("0.99", "99 %"))
            ],
            unit="s",
            span=8,
        ),
    )


def _sinks() -> Sequence[Panel]:
    working = across("min", f"streamdrift_sink_working{_OF}")
    alertmanagers = across("min", f"streamdrift_alertmanager_working{_OF}")
    return (
        states(
            "Sinks that fail",
            "Red from an attempt that failed to the next that is answered; nothing before the "
            "first. Alertmanager works while one of a cluster does; each has a strip of its own.",
            Query(f"{working} == bool 0 or {alertmanagers} == bool 0", "{{sink}}{{place}}"),
        ),
        lines(
            "Alerts delivered",
            "What each sink took in an hour.",
            [
                Query(
                    across("sum", f"increase(streamdrift_sink_delivered_total{_OF}[1h])"),
                    "{{sink}}",
                )
            ],
            unit="none",
        ),
        lines(
            "Alerts not delivered yet",
            "Behind: published, and not taken by the sink. Held: of these, such as wait until the "
            "service has caught up, or a quiet time is over.",
            [
                Query(across("max", f"streamdrift_sink_behind_alerts{_OF}"), "{{sink}} behind"),
                Query(across("max", f"streamdrift_sink_held_alerts{_OF}"), "{{sink}} held"),
            ],
            unit="none",
        ),
    )


def _work() -> Sequence[Panel]:
    return (
        lines(
            "Stages",
            "Seconds per second that the loops spend on each stage. Read and receive wait for "
            "events, too: where the others come near to 1, one core is not enough.",
            [Query(f"job_stage:streamdrift_stage_seconds:rate5m{_OF}", "{{stage}}")],
            unit="percentunit",
            stacked=True,
        ),
        lines(
            "CPU",
            "Cores that each process keeps busy.",
            [Query(f"rate(process_cpu_seconds_total{_OF}[{_RATE}])", "{{instance}}")],
            unit="none",
        ),
        lines(
            "Memory",
            "What each process holds, of its own.",
            [Query(f"process_resident_memory_bytes{_OF}", "{{instance}}")],
            unit="bytes",
            span=8,
        ),
        lines(
            "State",
            "Bytes of all that is remembered, as last written.",
            [Query(f"job:streamdrift_state_bytes:sum{_OF}", "state")],
            unit="bytes",
            span=8,
        ),
        lines(
            "Events that wait for their turn",
            "Held back until all partitions have come as far, by process.",
            [Query(f"streamdrift_pending_events{_OF}", "{{instance}}")],
            unit="short",
            span=8,
        ),
    )


def _losses() -> Sequence[Panel]:
    return (
        lines(
            "Dead letters",
            "In 15 minutes, by reason. The topic of dead letters has each.",
            [Query(f"job_reason:streamdrift_dead_letters:increase15m{_OF}", "{{reason}}")],
            unit="short",
            span=8,
        ),
        lines(
            "Events at another time than their own",
            "Late ones, and such as are too far ahead to be believed, per second.",
            [
                Query(
                    across("sum", f"rate(streamdrift_events_displaced_total{_OF}[{_RATE}])"),
                    "{{reason}}",
                )
            ],
            unit="cps",
            span=8,
        ),
        lines(
            "Passed over, left out, dropped",
            "Offsets that were lost before they were read; events of model versions beyond the "
            "limit; fields beyond the limit; repeats; since each process started.",
            [
                Query(
                    across("sum", f"streamdrift_offsets_skipped_total{_OF}"),
                    "offsets of {{topic}} {{reason}}",
                ),
                Query(across("sum", f"streamdrift_events_unwatched_total{_OF}"), "unwatched"),
                Query(
                    across("sum", f"streamdrift_dropped_fields_total{_OF}"), "fields of {{topic}}"
                ),
                Query(
                    across("sum", f"streamdrift_duplicates_dropped_total{_OF}"),
                    "repeats of {{model}}",
                ),
            ],
            unit="short",
            span=8,
        ),
    )


def _workers() -> Sequence[Panel]:
    return (
        lines(
            "Events by process",
            "Events decoded per second.",
            [
                Query(
                    f"sum without (topic) (rate(streamdrift_events_total{_OF}[{_RATE}]))",
                    "{{instance}}",
                )
            ],
            unit="cps",
            span=6,
            stacked=True,
        ),
        lines(
            "Partitions and shards",
            "Which worker has how many: together they must be all there are (mode: distributed).",
            [Query(f"streamdrift_assigned_partitions{_OF}", "{{role}} {{instance}}")],
            unit="none",
            span=6,
            stacked=True,
        ),
        lines(
            "Sent to the shards",
            "Bytes per second before they are compressed (mode: distributed).",
            [Query(f"rate(streamdrift_exchange_bytes_total{_OF}[{_RATE}])", "{{instance}}")],
            unit="Bps",
            span=6,
        ),
        lines(
            "Brokers lost, transactions open",
            "Times that the brokers could not be reached in an hour; partitions that a producer's "
            "open transaction blocks now.",
            [
                Query(
                    f"increase(streamdrift_source_disconnects_total{_OF}[1h])", "lost {{instance}}"
                ),
                Query(f"streamdrift_blocked_partitions{_OF}", "blocked {{instance}}"),
            ],
            unit="none",
            span=6,
        ),
    )


def _gateways() -> Sequence[Panel]:
    return (
        lines(
            "Answers",
            "Requests answered per second, over 5 minutes, by status. 5xx: the brokers are away, "
            "or too much waits for them; 4xx: what is posted is refused.",
            [Query("job_status:streamdrift_gateway_requests:rate5m", "{{job}} {{status}}")],
            unit="reqps",
            span=8,
        ),
        lines(
            "Events written",
            "Events that the brokers acknowledged, per second.",
            [Query(across("sum", f"rate(streamdrift_gateway_events_total[{_RATE}])"), "{{job}}")],
            unit="cps",
            span=8,
        ),
        lines(
            "Requests that wait",
            "Not answered yet, by process. From gateway.max_requests on others get 503.",
            [Query("streamdrift_gateway_requests_in_progress", "{{job}} {{instance}}")],
            unit="none",
            span=8,
        ),
    )
