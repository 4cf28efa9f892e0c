import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from streamdrift.incidents.budget import Budget
from streamdrift.metrics import Metrics
from streamdrift.realised import RealisedRate
from streamdrift.records import (
    Alert,
    AlertKind,
    Partition,
    Signal,
    SignalFinding,
    SignalKind,
    SignalReading,
    WarmUp,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def reading(ordinal: int, model: str = "fraud", statistic: float = 1.5) -> SignalReading:
    signal = Signal(ordinal, f"x{ordinal}", None, SignalKind.VALUE, AlertKind.DATA_DRIFT)
    return SignalReading(model, "3", signal, "adwin", statistic, 4.0, changed=ordinal == 1)


def test_what_happened_is_counted(metrics: Metrics) -> None:
    metrics.read("predictions", messages=3, events=5)
    metrics.read("predictions", messages=1, events=1)
    metrics.dead_letter("invalid_json", 2)
    metrics.spent("decode", 0.25)
    assert sample(metrics, "streamdrift_messages_total", topic="predictions") == 4
    assert sample(metrics, "streamdrift_events_total", topic="predictions") == 6
    assert sample(metrics, "streamdrift_dead_letters_total", reason="invalid_json") == 2
    assert sample(metrics, "streamdrift_stage_seconds_total", stage="decode") == 0.25


def test_latency_runs_from_event_time_to_publication(metrics: Metrics) -> None:
    alert = Alert("a", "opened", "fraud", "3", 1_000_000, 1_000_000, {})
    metrics.published([alert], now=3_500_000)
    assert sample(metrics, "streamdrift_alerts_total", type="opened") == 1
    assert sample(metrics, "streamdrift_alert_latency_seconds_sum") == 2.5
    assert sample(metrics, "streamdrift_alert_latency_seconds_bucket", le="2.0") == 0
    assert sample(metrics, "streamdrift_alert_latency_seconds_bucket", le="5.0") == 1


def test_a_clock_behind_the_events_gives_no_negative_latency(metrics: Metrics) -> None:
    metrics.published([Alert("a", "opened", "m", "", 9_000_000, 0, {})], now=1)
    assert sample(metrics, "streamdrift_alert_latency_seconds_sum") == 0


def test_signals_have_statistic_and_threshold(metrics: Metrics) -> None:
    metrics.watched([reading(0), reading(1)], 0, [], {}, 0, {})
    labels = {"model": "fraud", "version": "3", "signal": "x1", "detector": "adwin"}
    assert sample(metrics, "streamdrift_signal_statistic", **labels) == 1.5
    assert sample(metrics, "streamdrift_signal_threshold", **labels) == 4.0
    assert sample(metrics, "streamdrift_signal_changed", **labels) == 1


def test_the_number_of_series_is_bounded_and_the_rest_counted() -> None:
    metrics = Metrics(CollectorRegistry(), max_series=10)
    warm_ups = [WarmUp(f"m{i:02}", "1", 1, 2, False) for i in range(25)]
    metrics.watched([reading(ordinal) for ordinal in range(10)], 15, warm_ups, {}, 0, {})
    body, _ = metrics.exposition()
    assert body.count(b"streamdrift_warm_up_ratio{") == 10
    assert sample(metrics, "streamdrift_signals_left_out") == 15


def test_what_was_found_in_references_is_shown_and_the_rest_counted(metrics: Metrics) -> None:
    found = [SignalFinding("fraud", "3", "x1", "calendar")]
    metrics.watched([], 0, [], {}, 0, {}, (), found, 4)
    labels = {"model": "fraud", "version": "3", "signal": "x1", "finding": "calendar"}
    assert sample(metrics, "streamdrift_signal_finding", **labels) == 1
    assert sample(metrics, "streamdrift_findings_left_out") == 4


def test_dropped_repeats_are_counted_by_model(metrics: Metrics) -> None:
    metrics.watched([], 0, [], {}, 0, {"fraud": 7})
    assert sample(metrics, "streamdrift_duplicates_dropped_total", model="fraud") == 7
    bounded = Metrics(CollectorRegistry(), max_series=10)
    bounded.watched([], 0, [], {}, 0, {f"m{i}": 1 for i in range(25)})
    assert bounded.exposition()[0].count(b"streamdrift_duplicates_dropped_total{") == 10


def test_what_is_gone_disappears(metrics: Metrics) -> None:
    metrics.watched(
        [reading(0)], 0, [WarmUp("fraud", "3", 5, 10, False)], {("fraud", "3"): 1}, 0, {}
    )
    metrics.watched([], 0, [], {}, 0, {})
    body, _ = metrics.exposition()
    assert b'model="fraud"' not in body


@pytest.mark.parametrize(
    ("warm_up", "ratio"),
    [
        (WarmUp("m", "1", 25, 100, False), 0.25),
        (WarmUp("m", "1", 100, 100, True), 1.0),
        (WarmUp("m", "1", 500, 100, False), 0.99),
        (WarmUp("m", "1", 0, 0, False), 0.0),
    ],
)
def test_warm_up_is_complete_only_when_it_is(
    metrics: Metrics, warm_up: WarmUp, ratio: float
) -> None:
    metrics.watched([], 0, [warm_up], {}, 0, {})
    assert sample(metrics, "streamdrift_warm_up_ratio", model="m", version="1") == ratio


def test_positions_and_state(metrics: Metrics) -> None:
    metrics.observed(5_000_000)
    metrics.pending(3)
    metrics.lagging("input", {Partition("predictions", 1): 7})
    metrics.lagging("exchange", {Partition("exchange", 0): 8})
    metrics.displaced({"late": 2, "unbelieved": 0})
    metrics.assigned("detect", 4)
    metrics.exchanged(100)
    metrics.stored(1_234)
    metrics.committed(0.02)
    metrics.connected("exchange", answering=True)
    metrics.connected("input", answering=True)
    assert sample(metrics, "streamdrift_watermark_timestamp_seconds") == 5
    assert sample(metrics, "streamdrift_lag_messages", topic="predictions", partition="1") == 7
    assert sample(metrics, "streamdrift_lag_messages", topic="exchange", partition="0") == 8
    assert sample(metrics, "streamdrift_assigned_partitions", role="detect") == 4
    assert sample(metrics, "streamdrift_exchange_bytes_total") == 100
    assert sample(metrics, "streamdrift_pending_events") == 3
    assert sample(metrics, "streamdrift_events_displaced_total", reason="late") == 2
    assert sample(metrics, "streamdrift_state_bytes") == 1_234
    assert sample(metrics, "streamdrift_commit_seconds_count") == 1
    assert sample(metrics, "streamdrift_source_connected") == 1
    metrics.connected("input", answering=False)
    metrics.connected("exchange", answering=True)
    assert sample(metrics, "streamdrift_source_connected") == 0
    assert sample(metrics, "streamdrift_source_disconnects_total") == 1


def test_the_realised_rate_stands_beside_the_budget() -> None:
    week = 7 * 86_400 * 1_000_000
    rates = [
        RealisedRate("fraud", Budget.parse("1/day"), 3, 5, 1, 2 * week),
        RealisedRate("new", Budget.parse("2/week"), 0, 0, 0, 0),
        RealisedRate("third", Budget.parse("2/week"), 0, 0, 0, 0),
    ]
    metrics = Metrics(CollectorRegistry(), max_series=2)
    metrics.watched([], 0, [], {}, 0, {}, rates)
    assert sample(metrics, "streamdrift_alert_budget_per_week", model="fraud") == 7
    assert sample(metrics, "streamdrift_alerts_opened_total", model="fraud") == 3
    assert sample(metrics, "streamdrift_changes_joined_total", model="fraud") == 5
    assert sample(metrics, "streamdrift_realised_alerts_per_week", model="fraud") == 1.5
    assert sample(metrics, "streamdrift_alert_budget_per_week", model="new") == 2
    assert sample(metrics, "streamdrift_alerts_opened_total", model="new") == 0
    assert sample(metrics, "streamdrift_realised_alerts_per_week", model="new") is None
    assert sample(metrics, "streamdrift_alert_budget_per_week", model="third") is None


def test_the_exposition_is_valid_and_names_follow_the_rules(metrics: Metrics) -> None:
    metrics.read("t", 1, 1)
    metrics.watched([reading(0)], 0, [WarmUp("m", "1", 1, 2, False)], {("m", "1"): 1}, 0, {})
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(body.decode()))
    assert len(families) > 15
    for family in families:
        assert re.fullmatch(r"streamdrift_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|micros|percent|total)$", family.name)
        if family.type in ("counter", "gauge"):
            assert {each.name for each in family.samples} <= {
                f"{family.name}_total" if family.type == "counter" else family.name
            }


def test_times_of_creation_are_no_series(metrics: Metrics) -> None:
    metrics.read("t", 1, 1)
    assert b"_created" not in metrics.exposition()[0]
