import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from streamdrift.incidents.budget import Budget
from streamdrift.incidents.realised import RealisedRate
from streamdrift.monitoring.standing import NOTHING, Standing
from streamdrift.prometheus.exposition import CONTENT_TYPE
from streamdrift.prometheus.metrics import MAX_SERIES, Metrics
from streamdrift.readings import BankReadings, Readings
from streamdrift.records import (
    Alert,
    AlertKind,
    FoundIn,
    Partition,
    Signal,
    SignalKind,
    WarmUp,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def text_of(metrics: Metrics) -> str:
    return b"".join(metrics.exposition()).decode()


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text_of(metrics)):
        for each in family.samples:
            if each.name == name and each.labels == labels:
                return float(each.value)
    return None


def readings(statistics: Sequence[float], model: str = "fraud") -> Readings:
    """Return those of as many signals, of which the second has changed."""
    count = len(statistics)
    signals = tuple(
        Signal(place, f"x{place}", None, SignalKind.VALUE, AlertKind.DATA_DRIFT)
        for place in range(count)
    )
    bank = BankReadings("adwin", np.arange(count), np.array(statistics), np.full(count, 4.0))
    return Readings.of(model, "3", signals, np.arange(count) == 1, [bank])


def standing(**parts: Any) -> Standing:
    return NOTHING._replace(**parts)


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
    metrics.watched(standing(readings=[readings([1.5, 1.5])]))
    labels = {"model": "fraud", "version": "3", "signal": "x1", "detector": "adwin"}
    assert sample(metrics, "streamdrift_signal_statistic", **labels) == 1.5
    assert sample(metrics, "streamdrift_signal_threshold", **labels) == 4.0
    assert sample(metrics, "streamdrift_signal_changed", **labels) == 1


def test_those_nearest_to_their_thresholds_are_shown_and_the_rest_counted() -> None:
    metrics = Metrics(CollectorRegistry(), max_series=3)
    near = readings([3.0, 0.1, 1.0, 2.0, math.nan, 0.5])
    metrics.watched(standing(readings=[near, readings([3.9], "other")]))
    shown = re.findall(r'_statistic{model="(.*?)".*signal="(.*?)"', text_of(metrics))
    # The second has changed: its detectors rest.
    assert shown == [("fraud", "x0"), ("fraud", "x1"), ("other", "x0")]
    assert sample(metrics, "streamdrift_signals_left_out") == 4


@pytest.mark.parametrize(("most", "shown"), [(None, 50_000), (MAX_SERIES, 10_000)])
def test_a_thousand_models_are_shown_whole_or_where_they_are_near(
    most: int | None, shown: int
) -> None:
    metrics = Metrics(CollectorRegistry(), most)
    draw = np.random.default_rng(1)
    many = [readings(draw.uniform(0, 4, 50).tolist(), f"m{number}") for number in range(1_000)]
    metrics.watched(standing(readings=many))
    text = text_of(metrics)
    statistics = re.findall(r"_statistic{.*} (.*)", text)
    assert len(statistics) == text.count("streamdrift_signal_threshold{") == shown
    assert sample(metrics, "streamdrift_signals_left_out") == 50_000 - shown
    changed = re.findall(r"_changed{.*} 1\n", text)
    assert len(changed) == 1_000
    near = sorted(map(float, statistics))[1_000:]  # Those that changed are in any case.
    assert near[0] > (3 if most else 0)


def test_series_follow_a_version_whose_signals_become_others() -> None:
    metrics = Metrics(CollectorRegistry())
    for statistics in ([1.0], [1.0, 2.0], [3.0]):
        metrics.watched(standing(readings=[readings(statistics)]))
        assert text_of(metrics).count("streamdrift_signal_statistic{") == len(statistics)
    labels = {"model": "fraud", "version": "3", "signal": "x0", "detector": "adwin"}
    assert sample(metrics, "streamdrift_signal_statistic", **labels) == 3


def test_the_number_of_series_of_models_is_bounded() -> None:
    metrics = Metrics(CollectorRegistry(), max_series=10)
    warm_ups = [WarmUp(f"m{i:02}", "1", 1, 2, False) for i in range(25)]
    metrics.watched(standing(warm_ups=warm_ups, dropped={f"m{i}": 1 for i in range(25)}))
    text = text_of(metrics)
    assert text.count("streamdrift_warm_up_ratio{") == 10
    assert text.count("streamdrift_duplicates_dropped_total{") == 10


def test_names_may_be_any_text(metrics: Metrics) -> None:
    name = 'a"b\\c\nd\u00fc\U0001f600'
    metrics.watched(standing(readings=[readings([1.0], name)], dropped={name: 2}))
    labels = {"model": name, "version": "3", "signal": "x0", "detector": "adwin"}
    assert sample(metrics, "streamdrift_signal_statistic", **labels) == 1
    assert sample(metrics, "streamdrift_duplicates_dropped_total", model=name) == 2


def test_what_was_found_in_references_is_shown_and_the_rest_counted() -> None:
    metrics = Metrics(CollectorRegistry(), max_series=1)
    found = [FoundIn("fraud", "3", (("x1", "calendar"), ("x1", "short"), ("x2", "short")))]
    metrics.watched(standing(findings=found))
    labels = {"model": "fraud", "version": "3", "signal": "x1", "finding": "calendar"}
    assert sample(metrics, "streamdrift_signal_finding", **labels) == 1
    assert sample(metrics, "streamdrift_findings_left_out") == 2


def test_dropped_repeats_are_counted_by_model(metrics: Metrics) -> None:
    metrics.watched(standing(dropped={"fraud": 7}))
    assert sample(metrics, "streamdrift_duplicates_dropped_total", model="fraud") == 7


def test_incidents_of_planned_changes_have_a_series_of_their_own(metrics: Metrics) -> None:
    key = ("fraud", "3")
    metrics.watched(standing(incidents={key: 2}, expected={key: 1}))
    labels = {"model": "fraud", "version": "3"}
    assert sample(metrics, "streamdrift_incidents_open", **labels) == 2
    assert sample(metrics, "streamdrift_incidents_expected", **labels) == 1


def test_what_is_gone_disappears(metrics: Metrics) -> None:
    warm_ups = [WarmUp("fraud", "3", 5, 10, False)]
    incidents = {("fraud", "3"): 1}
    metrics.watched(standing(readings=[readings([1])], warm_ups=warm_ups, incidents=incidents))
    assert 'model="fraud"' in text_of(metrics)
    metrics.watched(NOTHING)
    assert 'model="fraud"' not in text_of(metrics)


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
    metrics.watched(standing(warm_ups=[warm_up]))
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
    metrics.watched(standing(realised=rates))
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
    warm_ups, incidents = [WarmUp("m", "1", 1, 2, False)], {("m", "1"): 1}
    metrics.watched(standing(readings=[readings([1])], warm_ups=warm_ups, incidents=incidents))
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(text_of(metrics)))
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
    assert "_created" not in text_of(metrics)
