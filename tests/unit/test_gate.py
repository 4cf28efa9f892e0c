"""Candidates: told by themselves, together, or not at all; the same however steps arrive."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.changes import Heard, Step, StepKind
from streamdrift.incidents import Incidents, IncidentSettings, gate
from streamdrift.incidents.budget import e_bh
from streamdrift.incidents.gate import COMPANY
from streamdrift.monitoring.heads import Heads, Home
from streamdrift.monitoring.shards import shard_of
from streamdrift.records import Alert, Signal, SignalKind
from streamdrift.state.codec import decode, encode
from tests.alerts import NOON, SECOND, candidate, changed, left, make_change, make_signal

A, B, C, D = (make_signal(i, name) for i, name in enumerate("abcd"))
FAR = NOON + 1_000 * SECOND


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


def make_incidents(gather: int = SECOND) -> Incidents:
    return Incidents(lambda _: IncidentSettings(gather=gather), lambda _: {})


def withdrawn(time: int, signal: Signal = A) -> Step:
    return left(time, signal, StepKind.WITHDRAWN)


def told(*steps: Step) -> list[tuple[str, float, str]]:
    """Return type and due time, and the names of what joined or is still there."""
    return [brief(alert) for alert in make_incidents().observe(steps, FAR)]


def brief(alert: Alert) -> tuple[str, float, str]:
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    names = "".join(sorted(each["name"] for each in signals if each["active"]))
    return alert.type, (alert.due - NOON) / SECOND, names


def test_one_candidate_is_not_told() -> None:
    assert told(candidate(at(1), A, 0.99), withdrawn(at(5))) == []


def test_candidates_are_told_together_at_the_grid() -> None:
    steps = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    (alert,) = make_incidents().observe(steps, FAR)
    assert brief(alert) == ("opened", 2, "ab")
    assert alert.time == at(1)
    assert (alert.data["rule"], alert.data["together"]) == ("together", 2)
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    assert [(each["share"], each["together"]) for each in signals] == [(0.5, 2), (0.5, 2)]


def test_what_is_said_within_a_second_is_weighed_at_its_end() -> None:
    steps = [candidate(at(0.2), A, 0.5), candidate(at(0.9), B, 0.6), changed(at(0.3), C)]
    alerts = make_incidents().observe(steps, FAR)
    assert [brief(alert) for alert in alerts] == [("opened", 1.3, "abc")]
    (alert,) = alerts
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    moments = {each["name"]: (each["changed_at"][17:21], each["together"]) for each in signals}
    assert moments == {"a": ("01.0", 3), "b": ("01.0", 3), "c": ("00.3", 1)}
    assert (alert.data["rule"], alert.data["together"]) == ("alone", 1)


@pytest.mark.parametrize(
    "first", [[changed(at(1), A)], [candidate(at(1), A, 0.9), candidate(at(1), B, 0.9)]]
)
def test_what_was_told_long_ago_makes_nothing_easier(first: list[Step]) -> None:
    day = COMPANY // SECOND
    for seconds, joins in ((day, True), (day + 2, False)):
        incidents = make_incidents()
        assert len(incidents.observe(first, at(10))) == 1
        later = [candidate(at(seconds), C, 0.5)]
        alerts = incidents.observe(later, at(2 * day))
        assert [alert.type for alert in alerts if "c of" in str(alert.data["summary"])] == (
            ["updated"] if joins else []
        )


def test_nothing_is_weighed_before_all_are_past_the_grid() -> None:
    incidents = make_incidents(gather=1)
    steps = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    assert incidents.observe(steps, at(1)) == ()
    assert incidents.observe([], at(1) + 1) == ()
    assert [brief(alert) for alert in incidents.observe([], at(1) + 2)] == [
        ("opened", 1.000001, "ab")
    ]


def test_a_candidates_last_word_counts_until_another() -> None:
    steps = [candidate(at(1), A, 0.5), candidate(at(2), A, 0.6), candidate(at(9), B, 0.5)]
    (alert,) = make_incidents().observe(steps, FAR)
    assert brief(alert) == ("opened", 10, "ab")
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    assert [each["share"] for each in signals] == [0.6, 0.5]


def test_what_is_withdrawn_counts_no_more() -> None:
    assert told(candidate(at(1), A, 0.9), withdrawn(at(2)), candidate(at(2), B, 0.9)) == []
    assert told(candidate(at(1), A, 0.9), candidate(at(2), A, 0.3), candidate(at(2), B, 0.9)) == []


def test_a_signal_that_changed_helps_others_while_it_lasts() -> None:
    assert told(changed(at(0), A), candidate(at(5), B, 0.5)) == [
        ("opened", 1, "a"),
        ("updated", 6, "ab"),
    ]
    assert told(changed(at(0), A), left(at(3), A), candidate(at(5), B, 0.5)) == [
        ("opened", 1, "a"),
        ("resolved", 3, ""),
    ]


def test_a_change_lifts_candidates_that_wait() -> None:
    assert told(candidate(at(1), A, 0.5), changed(at(4.5), B)) == [("opened", 5.5, "ab")]


def test_what_was_told_together_tells_its_own_threshold_not_again() -> None:
    together = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    steps = [*together, changed(at(7), A), withdrawn(at(8), B), left(at(9), A)]
    assert told(*steps) == [("opened", 2, "ab"), ("resolved", 9, "")]


def test_what_was_told_together_leaves_when_it_is_withdrawn() -> None:
    together = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    alerts = make_incidents().observe([*together, withdrawn(at(5), A), withdrawn(at(6), B)], FAR)
    assert [brief(alert) for alert in alerts] == [("opened", 2, "ab"), ("resolved", 6, "")]
    assert alerts[1].data["resolution"] == "returned"
    assert (alerts[1].data["rule"], alerts[1].data["together"]) == ("together", 2)


def test_what_was_told_for_its_company_alone_leaves_after_a_day() -> None:
    steps = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5), candidate(at(9), A, 0.7)]
    day = COMPANY // SECOND
    incidents = make_incidents()
    alerts = incidents.observe(steps, at(2 * day))
    assert [brief(alert) for alert in alerts if alert.type != "updated"] == [
        ("opened", 2, "ab"),
        ("resolved", 1 + day, ""),
    ]
    # It is what it was told for: more of the same is no news, and its own threshold is.
    more = [candidate(at(2 * day), A, 0.9), changed(at(2 * day + 5), A)]
    again = incidents.observe(more, at(3 * day))
    assert brief(again[0]) == ("opened", 2 * day + 6, "a")


def test_what_is_enough_alone_when_its_company_is_over_stays_whatever_comes() -> None:
    """What fell to less behind that would else leave at a time that is past for all others."""
    day = COMPANY // SECOND
    steps = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5), candidate(at(9), A, 1.5)]
    incidents = make_incidents()
    alerts = [*incidents.observe(steps, at(day + 50))]
    alerts += incidents.observe([candidate(at(day + 60), A, 0.4)], at(day + 70))
    alerts += incidents.observe([withdrawn(at(day + 90))], at(2 * day))
    ends = [brief(alert) for alert in alerts if alert.type == "resolved"]
    assert ends == [("resolved", day + 90, "")]


def test_what_reached_its_own_threshold_within_the_day_stays() -> None:
    together = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    alerts = make_incidents().observe([*together, changed(at(60), A)], at(9 * COMPANY // SECOND))
    assert [brief(alert)[0] for alert in alerts if alert.type != "updated"] == ["opened"]
    signals = alerts[-1].data["signals"]
    assert isinstance(signals, list)
    assert "a" in {each["name"] for each in signals if each["active"]}


def test_nothing_that_was_told_is_taken_back_by_others() -> None:
    together = [candidate(at(1), A, 0.5), candidate(at(1), B, 0.5)]
    assert told(*together, withdrawn(at(5), A), candidate(at(6), B, 0.2)) == [("opened", 2, "ab")]


def test_more_join_by_and_by() -> None:
    steps = [
        candidate(at(1), A, 0.5),
        candidate(at(1), B, 0.5),
        candidate(at(7), C, 0.3),
        candidate(at(8), C, 0.34),
        candidate(at(8), A, 0.6),
    ]
    assert told(*steps) == [("opened", 2, "ab"), ("updated", 9, "abc")]


def test_a_candidate_with_enough_of_its_own_is_told_alone() -> None:
    (alert,) = make_incidents().observe([candidate(at(1), A, 1.5)], FAR)
    assert (alert.data["rule"], alert.data["together"]) == ("alone", 1)


def test_one_of_several_may_have_enough_of_its_own() -> None:
    (alert,) = make_incidents().observe([candidate(at(1), A, 1.5), candidate(at(1), B, 0.5)], FAR)
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    assert {each["name"]: each["together"] for each in signals} == {"a": 1, "b": 2}
    assert (alert.data["rule"], alert.data["together"]) == ("alone", 1)


def test_what_changed_is_enough_by_itself_whatever_its_share() -> None:
    steps = [changed(at(0), A, make_change(share=0.1)), candidate(at(5), B, 0.5)]
    assert told(*steps) == [("opened", 1, "a"), ("updated", 6, "ab")]


def test_versions_and_models_do_not_share() -> None:
    steps = [
        candidate(at(1), A, 0.5),
        candidate(at(1), B, 0.5, version="4"),
        candidate(at(1), C, 0.5, model="other"),
    ]
    assert told(*steps) == []


def test_silence_is_no_evidence() -> None:
    silence = make_signal(-1, "silence", SignalKind.SILENCE)
    steps = [changed(at(0), silence, version=""), candidate(at(1), A, 0.9, version="")]
    assert told(*steps) == [("opened", 0, "silence (silence)")]


def test_infinite_evidence_is_kept() -> None:
    incidents = make_incidents()
    incidents.observe([changed(at(0.5), A, make_change(share=float("inf")))], at(0.6))
    incidents.observe([candidate(at(0.9), B, float("inf"))], at(1))
    again = make_incidents()
    again.restore(decode(encode(incidents.snapshot())))
    (alert,) = again.observe([], FAR)
    signals = alert.data["signals"]
    assert isinstance(signals, list)
    assert [each["share"] for each in signals] == [None, None]


# Promises


def make_steps(random: Random, models: str = "xy") -> list[Step]:
    """Steps in the order of time, those of each signal as a signal may say them."""
    steps = []
    for model in models:
        for ordinal in range(4):
            signal, time = make_signal(ordinal, f"column {ordinal}"), NOON
            for _ in range(random.choice((1, 2, 4))):
                time += random.randrange(1, 6) * SECOND
                weight = random.choice((0.2, 0.3, 0.5))
                for _ in range(random.randrange(4)):
                    share = weight * random.choice((1, 1.2, 2, 3))
                    steps.append(candidate(time, signal, share, model))
                    time += random.randrange(1, 3) * SECOND
                if random.random() < 0.4:
                    moment = time + random.choice((0, 1, SECOND // 3))
                    steps.append(changed(moment, signal, make_change(share=1.1), model))
                    time += random.randrange(1, 9) * SECOND
                    steps.append(left(time + random.randrange(SECOND), signal, model=model))
                    time += SECOND
                elif steps and steps[-1].kind is StepKind.CANDIDATE:
                    kind = random.choice(
                        (StepKind.WITHDRAWN, StepKind.WITHDRAWN, StepKind.RETURNED)
                    )
                    steps.append(left(time, signal, kind, model))
    order = {(model, ordinal): random.random() for model in models for ordinal in range(4)}
    return sorted(steps, key=lambda step: (step.time, order[step.model, step.signal.ordinal]))


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from([1, SECOND // 2, 3 * SECOND]))
@settings(max_examples=200, deadline=None)
def test_cuts_watermarks_and_restarts_change_nothing(
    seed: int, restores: bool, gather: int
) -> None:
    check_cuts(seed, restores, gather)


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_cuts_change_nothing_where_signals_leave_their_company(seed: int) -> None:
    with patch.object(gate, "COMPANY", 4 * SECOND + 1):
        check_cuts(seed, restores=True, gather=SECOND)


def check_cuts(seed: int, restores: bool, gather: int) -> None:
    random = Random(seed)
    steps = make_steps(random)
    whole = make_incidents(gather)
    expected = [*whole.observe(steps, FAR), *whole.drain()]
    incidents, alerts, place = make_incidents(gather), list[Alert](), 0
    while place < len(steps):
        stop = min(len(steps), place + random.randrange(4))
        upcoming = steps[stop].time if stop < len(steps) else steps[-1].time + 1
        alerts += incidents.observe(steps[place:stop], upcoming - random.choice((0, 0, 1, SECOND)))
        place = stop
        if restores and random.random() < 0.3:
            state = incidents.snapshot()
            incidents = make_incidents(gather)
            incidents.restore(decode(encode(state)))
            np.testing.assert_equal(incidents.snapshot(), state)
    alerts += [*incidents.observe([], FAR), *incidents.drain()]
    assert alerts == expected
    assert [alert.due for alert in alerts] == sorted(alert.due for alert in alerts)
    np.testing.assert_equal(incidents.snapshot(), whole.snapshot())


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_who_is_told_is_what_the_rule_says(seed: int) -> None:
    steps = make_steps(Random(seed), "x")
    names: list[set[str]] = []
    for alert in make_incidents(gather=1).observe(steps, FAR):
        signals = alert.data["signals"]
        assert isinstance(signals, list)
        if alert.type != "resolved":
            names.append({each["name"] for each in signals if each["active"]})
    assert names == told_by_the_rule(steps)


def told_by_the_rule(steps: Sequence[Step]) -> list[set[str]]:
    """Return who is told whenever somebody is, looking at every step's time and every second."""
    shares: dict[int, float] = {}
    members: set[int] = set()
    found: list[set[str]] = []
    for time in sorted({*(step.time for step in steps), *range(NOON, FAR, SECOND)}):
        new: set[int] = set()
        for step in steps:
            ordinal = step.signal.ordinal
            if step.time != time:
                continue
            if step.change is None:
                shares.pop(ordinal, None)
                members.discard(ordinal)
            else:
                shares[ordinal] = step.change.share
                new |= {ordinal} if step.kind is StepKind.CHANGED else set()
        if time % SECOND == 0:
            new |= e_bh(shares)
        if not new <= members:
            members |= new
            found.append({f"column {ordinal}" for ordinal in members})
    return found


# In several shards

GROUPS, SHARDS = 4, 3


@pytest.mark.parametrize("seed", range(20))
def test_candidates_of_several_shards_are_weighed_together(seed: int) -> None:
    """However far apart shards are, the head tells what one process would."""
    random = Random(seed)
    by_group = [
        replace(step, signal=replace(step.signal, ordinal=step.signal.ordinal * 1_000_000))
        for step in make_steps(random, "xy")
    ]
    expected = make_incidents().observe(by_group, FAR)
    heads = [Heads(Home(shard, SHARDS), lambda _: GROUPS) for shard in range(SHARDS)]
    incidents = [make_incidents() for _ in range(SHARDS)]
    for each in heads:
        each.meet("x")
        each.meet("y")
    own: list[list[Step]] = [[] for _ in range(SHARDS)]
    for step in by_group:
        group = step.signal.ordinal // 1_000_000
        own[shard_of(step.model, group, SHARDS)].append(step)
    watermarks = [NOON] * SHARDS
    letters: list[list[Heard]] = [[] for _ in range(SHARDS)]
    alerts: list[Alert] = []

    def advance(shard: int, watermark: int) -> None:
        now = [step for step in own[shard] if step.time < watermark]
        own[shard] = own[shard][len(now) :]
        watermarks[shard] = watermark
        for heard in letters[shard]:
            heads[shard].hear(heard)
        letters[shard].clear()
        mine = heads[shard].take(now)
        alerts.extend(incidents[shard].observe(mine, watermark, heads[shard].behind(watermark)))
        for head, heard in heads[shard].tell(watermark).items():
            letters[head].append(heard)
        if random.random() < 0.2:
            state = decode(encode(heads[shard].snapshot()))
            heads[shard] = Heads(Home(shard, SHARDS), lambda _: GROUPS)
            heads[shard].restore(state)

    while min(watermarks) < NOON + 120 * SECOND:
        shard = random.randrange(SHARDS)
        advance(shard, watermarks[shard] + random.choice((1, SECOND // 2, SECOND, 9 * SECOND)))
    for shard in [*range(SHARDS), *range(SHARDS), *range(SHARDS)]:
        advance(shard, FAR)

    def of_model(found: Sequence[Alert], model: str) -> list[Alert]:
        return [alert for alert in found if alert.model == model]

    for model in "xy":
        assert of_model(alerts, model) == of_model(expected, model)
