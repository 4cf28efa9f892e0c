"""Incidents: what is grouped, what is told, and when."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.changes import Onset, Step, StepKind, Summary
from streamdrift.errors import StateError
from streamdrift.incidents import Incidents, IncidentSettings
from streamdrift.records import Alert, AlertKind, SignalKind
from tests.alerts import NOON, SECOND, changed, left, make_change, make_effect, make_signal

AMOUNT = make_signal(0, "amount")
AGE = make_signal(1, "age")
SCORE = make_signal(2, "score", alert_kind=AlertKind.PREDICTION_DRIFT)
SILENCE = make_signal(-1, "silence", SignalKind.SILENCE, AlertKind.VOLUME)
FAR = NOON + 1_000 * SECOND
MENDED = "said to be mended, and watched again"


def make_incidents() -> Incidents:
    return Incidents(lambda model: IncidentSettings(), lambda model: {"owner": f"{model}-team"})


def alerts_of(*steps: Step) -> tuple[Alert, ...]:
    return make_incidents().observe(steps, FAR)


def told(alerts: Sequence[Alert]) -> list[tuple[str, float]]:
    """Return type and due time, in seconds after noon."""
    return [(alert.type, (alert.due - NOON) / SECOND) for alert in alerts]


def signals(alert: Alert) -> list[tuple[str, bool]]:
    found = alert.data["signals"]
    assert isinstance(found, list)
    return [(signal["name"], signal["active"]) for signal in found]


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


def test_changes_close_in_time_open_one_incident() -> None:
    (alert,) = alerts_of(
        changed(at(0), AMOUNT, make_change(0.4)),
        changed(at(0.5), SCORE, make_change(-0.9)),
        changed(at(0.999999), AGE, make_change(0.4)),
    )
    assert told([alert]) == [("opened", 1)]
    assert alert.time == NOON
    assert signals(alert) == [("score", True), ("amount", True), ("age", True)]
    assert alert.data["kind"] == "prediction_drift"
    assert alert.data["labels"] == {"owner": "fraud-team"}
    assert (alert.model, alert.version) == ("fraud", "3")


def test_an_alert_waits_until_no_step_can_change_it() -> None:
    incidents = make_incidents()
    assert incidents.observe([changed(at(0))], at(0.5)) == ()
    assert incidents.open_count(expected=False) == {}
    assert incidents.observe([], at(1)) == ()
    assert told(incidents.observe([], at(1) + 1)) == [("opened", 1)]
    assert incidents.open_count(expected=False) == {("fraud", "3"): 1}
    assert incidents.open_count(expected=True) == {}


def test_later_changes_join() -> None:
    alerts = alerts_of(
        changed(at(0), AMOUNT), changed(at(1), AGE), changed(at(1.5), SCORE, make_change(9))
    )
    assert told(alerts) == [("opened", 1), ("updated", 2)]
    assert alerts[1].data["joined"] == ["score", "age"]
    assert alerts[1].data["incident"] == alerts[0].data["incident"]
    assert alerts[1].data["kind"] == "data_drift"
    assert alerts[1].time == at(1)


def test_a_rise_in_severity_is_told() -> None:
    alerts = alerts_of(
        changed(at(0), AMOUNT, make_change(0.2)),
        changed(at(5), AGE, make_change(0.5)),
        changed(at(10), SCORE, make_change(0.4)),
    )
    assert [alert.data["severity"] for alert in alerts] == ["info", "warning", "warning"]
    assert [alert.data.get("severity_rose") for alert in alerts] == [None, True, False]


def test_a_change_that_lasts_is_told_once() -> None:
    steps = [changed(at(second), AMOUNT) for second in (0, 0.5, 3, 9)]
    assert told(alerts_of(*steps)) == [("opened", 1)]


def test_an_incident_ends_when_its_last_signal_leaves() -> None:
    alerts = alerts_of(
        changed(at(0), AMOUNT),
        changed(at(0), AGE),
        left(at(5), AMOUNT),
        left(at(7), AGE, StepKind.ACCEPTED),
        changed(at(9), AMOUNT),
    )
    assert told(alerts) == [("opened", 1), ("resolved", 7), ("opened", 10)]
    assert alerts[1].data["resolution"] == "accepted"
    assert signals(alerts[1]) == [("amount", False), ("age", False)]
    assert alerts[2].data["incident"] != alerts[0].data["incident"]


@pytest.mark.parametrize(
    ("ends", "resolution", "summary"),
    [
        (
            (StepKind.ACCEPTED, StepKind.RETURNED),
            "accepted",
            "age of fraud/3 is back at the reference; amount is accepted as the new normal",
        ),
        (
            (StepKind.RETURNED, StepKind.ACCEPTED),
            "accepted",
            "amount of fraud/3 is back at the reference; age is accepted as the new normal",
        ),
        (
            (StepKind.RETURNED, StepKind.RESOLVED),
            "resolved",
            f"amount of fraud/3 is back at the reference; age is {MENDED}",
        ),
        (
            (StepKind.RESOLVED, StepKind.ACCEPTED),
            "accepted",
            f"age of fraud/3 is accepted as the new normal; amount is {MENDED}",
        ),
        (
            (StepKind.RETURNED, StepKind.RETURNED),
            "returned",
            "amount and age of fraud/3 are back at the reference",
        ),
    ],
)
def test_the_end_tells_of_each_signal_how_it_left_and_is_true_of_the_whole(
    ends: tuple[StepKind, StepKind], resolution: str, summary: str
) -> None:
    steps = [
        changed(at(0), AMOUNT),
        changed(at(0), AGE),
        left(at(5), AMOUNT, ends[0]),
        changed(at(6), SCORE),
        left(at(6.5), AGE, ends[1]),
    ]
    *_, joined = alerts_of(*steps)
    assert _left(joined) == {"amount": ends[0].value, "age": ends[1].value, "score": None}
    *_, alert = alerts_of(*(step for step in steps if step.signal != SCORE))
    assert _left(alert) == {"amount": ends[0].value, "age": ends[1].value}
    assert alert.type == "resolved"
    assert (alert.data["resolution"], alert.data["summary"]) == (resolution, summary)


def _left(alert: Alert) -> dict[str, str | None]:
    found = alert.data["signals"]
    assert isinstance(found, list)
    return {signal["name"]: signal["left"] for signal in found}


def test_what_returned_before_it_was_told_is_still_told() -> None:
    alerts = alerts_of(changed(at(0)), left(at(0.3)))
    assert told(alerts) == [("opened", 1), ("resolved", 1)]
    assert alerts[1].time == at(0.3)


def test_a_signal_that_comes_back_joins_again() -> None:
    alerts = alerts_of(
        changed(at(0), AMOUNT), changed(at(0), AGE), left(at(3), AMOUNT), changed(at(5), AMOUNT)
    )
    assert told(alerts) == [("opened", 1), ("updated", 6)]


def test_an_update_still_gathering_keeps_the_incident_open() -> None:
    alerts = alerts_of(
        changed(at(0), AMOUNT), changed(at(5), AGE), left(at(5.1), AGE), left(at(5.2), AMOUNT)
    )
    assert told(alerts) == [("opened", 1), ("updated", 6), ("resolved", 6)]


def test_leaving_without_an_incident_means_nothing() -> None:
    assert alerts_of(left(at(0)), left(at(1), kind=StepKind.ACCEPTED)) == ()


def test_silence_waits_for_nobody() -> None:
    onset = Onset(NOON - 60 * SECOND, NOON - 60 * SECOND, {})
    change = make_change(None, Summary(2.0), Summary(60.0), onset)
    alerts = alerts_of(
        changed(at(0), SILENCE, change, version=""), left(at(4), SILENCE, version="")
    )
    assert told(alerts) == [("opened", 0), ("resolved", 4)]
    assert alerts[0].data["severity"] == "critical"
    assert alerts[0].data["kind"] == "volume"


def test_models_and_versions_have_their_own() -> None:
    alerts = alerts_of(
        changed(at(0), model="b"), changed(at(0), model="a"), changed(at(0), version="2")
    )
    assert [(alert.model, alert.version) for alert in alerts] == [
        ("a", "3"),
        ("b", "3"),
        ("fraud", "2"),
    ]


@pytest.mark.parametrize(
    ("kind", "before", "after", "severity"),
    [
        (SignalKind.MISSING, 0.01, 0.015, "info"),
        (SignalKind.MISSING, 0.01, 0.05, "warning"),
        (SignalKind.NULL_OUTPUT, 0.0, 0.4, "critical"),
        (SignalKind.MISSING, 0.5, 0.0, "info"),
    ],
)
def test_a_troubles_severity_goes_by_its_rise(
    kind: SignalKind, before: float, after: float, severity: str
) -> None:
    change = make_change(50.0, Summary(before), Summary(after))
    (alert,) = alerts_of(changed(at(0), make_signal(kind=kind), change))
    assert alert.data["severity"] == severity


def test_the_data_is_json_and_complete() -> None:
    onset = Onset(NOON - 2 * SECOND, NOON, {"predictions": {1: (10, 20), 0: (5, 9)}})
    change = replace(make_change(onset=onset), statistic=float("inf"))
    (alert,) = alerts_of(changed(at(0), make_signal(segment="country=DE"), change))
    (signal,) = orjson.loads(orjson.dumps(alert.data))["signals"]
    assert signal == {
        "name": "amount",
        "column": "amount",
        "kind": "value",
        "alert_kind": "data_drift",
        "segment": "country=DE",
        "changed_at": "2026-11-21T12:00:00.000000Z",
        "detector": "adwin",
        "statistic": None,
        "threshold": 10.0,
        "effect": {
            "size": 0.8,
            "shift": {"value": 0.8, "low": 0.8, "high": 0.8},
            "spread": {"value": 1.0, "low": 1.0, "high": 1.0},
            "variation": {"value": 0.0, "low": 0.0, "high": 0.0},
        },
        "share": 1.0,
        "before": {"mean": 0.5, "quantiles": {"0.05": 1.0, "0.5": 12.5, "0.95": 40.0}},
        "after": {"mean": 0.5, "quantiles": {"0.05": 2.0, "0.5": 40.1, "0.95": 90.0}},
        "onset": {
            "earliest": "2026-11-21T11:59:58.000000Z",
            "latest": "2026-11-21T12:00:00.000000Z",
            "offsets": {"predictions": {"0": [5, 9], "1": [10, 20]}},
            "partitions_left_out": 0,
        },
        "text": "median 12.5 -> 40.1",
        "unit": None,
        "together": 1,
        "active": True,
        "left": None,
    }


def test_changes_are_told_by_their_strength_whatever_they_are() -> None:
    effects = {
        "level": make_effect(-0.6),
        "spread": make_effect(0.1, 2.0, 0.3),
        "nothing": make_effect(0.0),
        "shape": make_effect(0.0, 1.0, 0.8),
    }
    (alert,) = alerts_of(
        *(
            changed(at(0), make_signal(i, name), make_change(effect))
            for i, (name, effect) in enumerate(effects.items())
        )
    )
    assert [name for name, _ in signals(alert)] == ["shape", "spread", "level", "nothing"]


def test_what_json_has_no_number_for_is_null() -> None:
    before, after = Summary(math.nan, {"0.5": math.inf}), Summary(math.nan, shares={"x": math.nan})
    (alert,) = alerts_of(changed(at(0), AMOUNT, make_change(math.inf, before, after)))
    (signal,) = orjson.loads(orjson.dumps(alert.data))["signals"]
    assert signal["effect"]["shift"] == {"value": None, "low": None, "high": None}
    assert signal["before"] == {"mean": None, "quantiles": {"0.5": None}}
    assert signal["after"] == {"mean": None, "shares": {"x": None}}


def test_the_id_is_a_function_of_what_it_names() -> None:
    (one,) = alerts_of(changed(at(0), AMOUNT))
    assert one.id == alerts_of(changed(at(0), AMOUNT, make_change(0.1)))[0].id
    others = [
        changed(at(0) + 1, AMOUNT),
        changed(at(0), AGE),
        changed(at(0), AMOUNT, model="b"),
        changed(at(0), AMOUNT, version="4"),
    ]
    assert len({one.id, *(alerts_of(other)[0].id for other in others)}) == 5


def test_a_damaged_state_is_a_state_error() -> None:
    with pytest.raises(StateError, match="waiting"):
        make_incidents().restore({"incidents": []})


# Promises


def make_steps(random: Random) -> list[Step]:
    """Steps in the order of time, each signal's changes and returns in turn."""
    steps = []
    for model in ("a", "b"):
        for ordinal in range(3):
            time = NOON + random.randrange(30) * SECOND // 10
            for _ in range(random.choice((0, 1, 2, 4))):
                onset = Onset(time - 9, time, {"t": {0: (1, 2)}}) if random.random() < 0.5 else None
                after = Summary(random.random(), {"0.5": float("inf")}, {"x": 0.1})
                change = make_change(random.gauss(0, 1), Summary(0.5), after, onset)
                signal = make_signal(ordinal, f"column {ordinal}")
                steps.append(changed(time, signal, change, model))
                time += random.randrange(15) * SECOND // 10
                if random.random() < 0.8:
                    kind = random.choice((StepKind.RETURNED, StepKind.ACCEPTED))
                    steps.append(left(time, signal, kind, model))
                time += random.randrange(30) * SECOND // 10
    order = {(model, ordinal): random.random() for model in "ab" for ordinal in range(3)}
    return sorted(steps, key=lambda step: (step.time, order[step.model, step.signal.ordinal]))


def run(steps: Sequence[Step], random: Random, restores: bool) -> tuple[list[Alert], Incidents]:
    """Observe `steps` cut at random, with random watermarks in between."""
    incidents = make_incidents()
    alerts: list[Alert] = []
    place = 0
    while place < len(steps):
        stop = min(len(steps), place + random.randrange(4))
        upcoming = steps[stop].time if stop < len(steps) else steps[-1].time + 1
        watermark = upcoming - random.choice((0, 0, 1, SECOND))
        part = list(steps[place:stop])
        alerts += incidents.observe(part, watermark)
        place = stop
        if restores and random.random() < 0.3:
            state = incidents.snapshot()
            incidents = make_incidents()
            incidents.restore(state)
            np.testing.assert_equal(incidents.snapshot(), state)
    return alerts, incidents


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=200, deadline=None)
def test_cuts_watermarks_and_restarts_change_nothing(seed: int, restores: bool) -> None:
    random = Random(seed)
    steps = make_steps(random)
    whole = make_incidents()
    expected = [*whole.observe(steps, FAR), *whole.drain()]
    alerts, incidents = run(steps, random, restores)
    alerts += incidents.drain()
    assert alerts == expected
    np.testing.assert_equal(incidents.snapshot(), whole.snapshot())


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_story_is_told_in_order(seed: int) -> None:
    alerts = alerts_of(*make_steps(Random(seed)))
    assert len({alert.id for alert in alerts}) == len(alerts)
    keys = [(alert.due, alert.model, alert.version, alert.data["step"]) for alert in alerts]
    assert keys == sorted(keys)
    stories: dict[object, list[Alert]] = {}
    for alert in alerts:
        stories.setdefault(alert.data["incident"], []).append(alert)
    for story in stories.values():
        assert [alert.data["step"] for alert in story] == [*range(1, len(story) + 1)]
        assert story[0].type == "opened"
        assert all(alert.type == "updated" for alert in story[1:-1])
        over = not any(active for _, active in signals(story[-1]))
        assert over == (story[-1].type == "resolved")


def test_labels_may_be_missing() -> None:
    labels: Mapping[str, str] = {}
    incidents = Incidents(lambda model: IncidentSettings(), lambda model: labels)
    (alert,) = incidents.observe([changed(at(0))], FAR)
    assert alert.data["labels"] == {}


def test_silence_is_kept_apart_from_a_version_without_a_name() -> None:
    amount = make_signal(0, "amount")
    alerts = alerts_of(
        changed(at(0), amount, version=""),
        changed(at(10), SILENCE, version=""),
        left(at(20), SILENCE, version=""),
        left(at(30), amount, version=""),
    )
    assert [(alert.type, signals(alert)) for alert in alerts] == [
        ("opened", [("amount", True)]),
        ("opened", [(SILENCE.name, True)]),
        ("resolved", [(SILENCE.name, False)]),
        ("resolved", [("amount", False)]),
    ]
    assert [alert.number for alert in alerts] == [1, 2, 3, 4]
    assert len({alert.data["incident"] for alert in alerts}) == 2


def test_alerts_fit_into_a_message_however_much_there_is_to_tell() -> None:
    onset = Onset(NOON, NOON, {"predictions": dict.fromkeys(range(500), (1, 2**40))})
    change = make_change(
        before=Summary(0.5, shares={"x" * 100_000: 1.0}),
        after=Summary(0.5, shares={f"{i}" * 100_000: 0.1 for i in range(10)}),
        onset=onset,
    )
    steps = [
        changed(at(0), make_signal(i, f"{i}-" + "n" * 10_000, SignalKind.CATEGORY), change)
        for i in range(300)
    ]
    (alert,) = alerts_of(*steps)
    assert len(orjson.dumps(dict(alert.data))) < 900_000
    assert len(signals(alert)) == 50
    assert alert.data["signals_left_out"] == 250
    told_signals = alert.data["signals"]
    assert isinstance(told_signals, list)
    assert told_signals[0]["onset"]["partitions_left_out"] == 450
