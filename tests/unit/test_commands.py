"""What operators ask takes effect where it was asked, and again there after a restart."""

import itertools
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.decoders import make_decoder
from streamdrift.exchange.shard import Shard
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.monitor import NOTHING
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import standing
from streamdrift.operators import PLANNING, Asked, Command, Taken, encode
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Notice
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings
from streamdrift.state import decode as decode_state
from streamdrift.state import encode as encode_state
from streamdrift.state.commands import CommandLog
from streamdrift.state.log import MemoryLog
from streamdrift.times import rfc3339
from streamdrift.trees import tree
from tests.messages import messages

_START = 1_767_225_600
_SECOND = 1_000_000
_EVENTS, _CHANGED = 4_500, 2_000
_ID = "1" * 32


def _values() -> list[bytes]:
    """Return events of two models: the numbers of one are others from 2,000 on."""
    numbers = np.random.default_rng(5).normal(size=(_EVENTS, 2))
    numbers[_CHANGED:, 0] += 2
    return [
        json.dumps({"model": model, "timestamp": _START + i, "features": {"x": number}}).encode()
        for i, pair in enumerate(numbers.tolist())
        for model, number in zip(("changes", "stays"), pair, strict=True)
    ]


_VALUES = _values()


def _pipeline() -> Pipeline:
    chosen = ModelSettings(
        reference=ReferenceSettings(events=600), silence=SilenceSettings(events=500)
    )
    decoder = make_decoder("json", {})
    return Pipeline(lambda _: decoder, Ordering(OrderingSettings()), Shards(lambda _: chosen, 3))


def _go(pipeline: Pipeline, first: int, last: int) -> tuple[list[Alert], list[Notice]]:
    """Feed the events of the seconds from `first` up to `last`."""
    pipeline.feed(messages(_VALUES[2 * first : 2 * last], first=2 * first))
    observed = pipeline.release()
    return list(observed.alerts), list(observed.notices)


def _begun() -> Pipeline:
    pipeline = _pipeline()
    pipeline.ordering.assign([messages([]).partition])
    return pipeline


@cache
def _opened() -> Alert:
    alerts, _ = _go(_begun(), 0, _CHANGED + 200)
    [alert] = [each for each in alerts if each.type == "opened"]
    return alert


def _command(kind: Asked, **fields: object) -> Command:
    told = {"id": _ID, "kind": kind, "model": "changes", "by": "Zoë", "at": _START * _SECOND}
    if kind not in PLANNING:
        told["incident"] = _opened().data["incident"]
    return Command.model_validate({**told, **fields})


def _asked(kind: Asked, at: int = 2_500) -> tuple[list[Alert], list[Notice], Taken]:
    """Return what is told of all events, with a command after the second `at`."""
    alerts, notices, (taken,) = _told((at, _command(kind)))
    return alerts, notices, taken


def _told(*commands: tuple[int, Command]) -> tuple[list[Alert], list[Notice], list[Taken]]:
    """Return what is told of all events, with commands each after a second."""
    pipeline = _begun()
    alerts, notices, done = list[Alert](), list[Notice](), list[Taken]()
    begin = 0
    for place, (at, command) in enumerate(commands):
        told = _go(pipeline, begin, at) if at > begin else ([], [])
        taken, said = pipeline.command(place, command)
        alerts, notices = [*alerts, *told[0], *said.alerts], [*notices, *told[1], *said.notices]
        done.append(taken)
        begin = at
    last = _go(pipeline, begin, _EVENTS)
    return alerts + last[0], notices + last[1], done


def _planned(until: int = 10**17) -> Command:
    return _command(Asked.EXPECT, id="2" * 32, since=0, until=until)


def test_an_acknowledged_incident_says_by_whom_and_goes_on() -> None:
    alerts, notices, _ = _asked(Asked.ACKNOWLEDGE)
    told = [alert for alert in alerts if alert.data["acknowledged"]]
    assert told[0].type == "updated"
    assert told[0].time == (_START + 2_499) * _SECOND
    assert told[0].data["summary"] == "the change of x of changes is acknowledged by Zoë"
    assert told[0].data["acknowledged"] == {
        "kind": "acknowledge",
        "by": "Zoë",
        "note": None,
        "at": "2026-01-01T00:00:00.000000Z",
    }
    assert "resolved" not in [alert.type for alert in alerts]
    assert notices[-1].fields["command"] == "acknowledge"


def test_what_is_accepted_is_the_new_normal_and_is_watched() -> None:
    """It has shown 500 values by then: with the thousandth it is learned."""
    alerts, _, _ = _asked(Asked.ACCEPT)
    accepted = next(alert for alert in alerts if alert.data["asked"])
    assert accepted.data["summary"] == "x of changes is to be accepted as the new normal by Zoë"
    last = alerts[-1]
    assert (last.type, last.data["resolution"]) == ("resolved", "accepted")
    assert _CHANGED + 1_000 < last.time / _SECOND - _START < _CHANGED + 1_300
    assert last.data["asked"]["by"] == "Zoë"  # type: ignore[index]


def test_what_is_said_to_be_mended_is_watched_again_and_told_again_where_it_is_not() -> None:
    alerts, notices, _ = _asked(Asked.RESOLVE)
    [resolved] = [alert for alert in alerts if alert.type == "resolved"]
    assert resolved.data["resolution"] == "resolved"
    assert resolved.data["summary"] == "x of changes is said to be mended, and watched again"
    assert resolved.time == (_START + 2_499) * _SECOND
    opened = [alert for alert in alerts if alert.type == "opened"]
    assert len(opened) == 2
    assert resolved.time < opened[1].time < resolved.time + 100 * _SECOND
    assert notices[-1].fields["effect"] == "its signals are watched again"


@pytest.mark.parametrize("kind", [Asked.ACKNOWLEDGE, Asked.RESOLVE])
def test_what_is_asked_is_told_at_once_whether_time_goes_on_or_not(kind: Asked) -> None:
    """In a silence after a restart it may stand for as long as it had gone on before."""
    pipeline = _begun()
    _go(pipeline, 0, 2_500)
    before = pipeline.ordering.frontier
    _, said = pipeline.command(0, _command(kind))
    [alert] = said.alerts
    assert alert.type == ("resolved" if kind is Asked.RESOLVE else "updated")
    assert alert.time == (_START + 2_499) * _SECOND
    pipeline.release()
    assert pipeline.ordering.frontier == before


def _silent(pipeline: Pipeline, elapsed: int) -> list[Alert]:
    pipeline.idle(messages([]).partition)
    pipeline.tick_after(elapsed * _SECOND)
    return list(pipeline.release().alerts)


def _again(pipeline: Pipeline, taken: Taken | None = None) -> Pipeline:
    """Return what is restored from a pipeline's snapshots, and has read all there is."""
    states = {shard: decode_state(encode_state(pipeline.snapshot(shard))) for shard in range(3)}
    again = _begun()
    again.restore(states)
    again.foresee([] if taken is None else [taken])
    return again


def test_in_a_silence_time_goes_on_from_where_it_had_come_to_before_a_restart() -> None:
    """Or before whatever else had it counted anew; and not from what nobody has waited for."""
    pipeline = _begun()
    _go(pipeline, 0, 2_000)
    last = (_START + 1_999) * _SECOND
    _silent(pipeline, 60)
    again = _again(pipeline)
    _silent(again, 5)
    assert again.watermark == last + 65 * _SECOND
    _silent(again, 30)
    assert again.watermark == last + 90 * _SECOND
    _silent(again, 5)
    assert again.watermark == last + 95 * _SECOND
    again.feed(messages(_VALUES[4_000:4_400], first=4_000))
    again.release()
    _silent(again, 6)
    assert again.watermark == (_START + 2_199 + 6) * _SECOND


def test_what_was_asked_in_a_silence_is_done_again_as_soon_as_all_rest() -> None:
    """Its place says that time had come so far; until then nobody takes what is asked next."""
    pipeline = _begun()
    _go(pipeline, 0, 2_500)
    _silent(pipeline, 5)
    saved = _again(pipeline)
    _silent(pipeline, 60)
    taken, said = pipeline.command(0, _command(Asked.RESOLVE))
    again = _again(saved, taken)
    assert again.foresees
    assert _silent(again, 5)[0].id == said.alerts[0].id
    assert not again.foresees


def test_an_incident_that_is_not_open_is_left_alone() -> None:
    for incident in ("f" * 32, str(_opened().data["incident"])):
        pipeline = _begun()
        _go(pipeline, 0, 2_500 if incident == "f" * 32 else 1_000)
        _, said = pipeline.command(0, _command(Asked.RESOLVE, incident=incident))
        [notice] = said.notices
        assert notice.fields["effect"] == "nothing: no such incident is open"
        alerts, _ = _go(pipeline, 2_500 if incident == "f" * 32 else 1_000, _EVENTS)
        assert "resolved" not in [alert.type for alert in alerts]


def test_a_command_is_taken_once() -> None:
    """Also where its topic was made anew, and it is read at another place."""
    pipeline = _begun()
    _go(pipeline, 0, 2_500)
    pipeline.command(3, _command(Asked.RESOLVE))
    assert pipeline.command(3, _command(Asked.RESOLVE, id="2" * 32))[1] == NOTHING
    assert pipeline.command(2, _command(Asked.RESOLVE, id="2" * 32))[1] == NOTHING
    assert pipeline.commanded == 3
    assert pipeline.command(7, _command(Asked.RESOLVE))[1] == NOTHING
    assert pipeline.commanded == 7
    states = {shard: decode_state(encode_state(pipeline.snapshot(shard))) for shard in range(3)}
    again = _begun()
    again.restore(states)
    assert again.command(9, _command(Asked.RESOLVE))[1] == NOTHING


def test_what_changed_after_the_last_that_was_seen_is_left_alone() -> None:
    pipeline = _begun()
    _go(pipeline, 0, 2_500)
    seen = (_START + _CHANGED - 1) * _SECOND
    told = [
        pipeline.command(0, _command(Asked.RESOLVE, through=seen))[1],
        pipeline.command(1, _command(Asked.ACCEPT, through=seen, id="2" * 32))[1],
    ]
    assert "resolved" not in [alert.type for each in told for alert in each.alerts]
    alerts, _ = _go(pipeline, 2_500, _EVENTS)
    assert "resolved" not in [alert.type for alert in alerts]


def test_a_planned_change_of_a_model_that_was_never_seen_says_so() -> None:
    pipeline = _begun()
    _go(pipeline, 0, 1_000)
    _, said = pipeline.command(0, _command(Asked.EXPECT, model="typo", since=1, until=2))
    [notice] = said.notices
    assert str(notice.fields["effect"]).endswith("; no event of this model was seen lately")


@pytest.mark.parametrize(
    ("since", "until", "expected"), [(1_900, 2_200, True), (0, 2_000, False), (2_100, 9_000, False)]
)
def test_incidents_that_begin_in_a_planned_change_say_so(
    since: int, until: int, expected: bool
) -> None:
    pipeline = _begun()
    _go(pipeline, 0, 1_000)
    times = {"since": (_START + since) * _SECOND, "until": (_START + until) * _SECOND}
    pipeline.command(0, _command(Asked.EXPECT, note="release 7", **times))
    pipeline.command(1, _command(Asked.EXPECT, id="2" * 32, model="stays", since=0, until=10**17))
    alerts, _ = _go(pipeline, 1_000, _EVENTS)
    assert alerts
    plan = alerts[0].data["expected"]
    assert (plan is not None) is expected
    if expected:
        assert plan["note"] == "release 7"  # type: ignore[index]
        assert plan["until"] == "2026-01-01T00:36:40.000000Z"  # type: ignore[index]
    stands = standing(pipeline.monitor.monitors)
    counted = {("changes", ""): 1}
    assert stands.expected == (counted if expected else {})
    assert stands.incidents == ({} if expected else counted)  # whose rule pages


@pytest.mark.parametrize(
    ("at", "expected"), [(_CHANGED - 100, False), (_CHANGED, False), (_CHANGED + 500, True)]
)
def test_what_begins_after_a_planned_change_was_withdrawn_pages(at: int, expected: bool) -> None:
    """What began before stays annotated."""
    alerts, notices, _ = _told((1_000, _planned()), (at, _command(Asked.WITHDRAW)))
    assert {each.data["expected"] is not None for each in alerts} == {expected}
    told = [each.fields for each in notices if each.event == "command taken"]
    assert [each["command"] for each in told] == ["expect", "withdraw"]
    assert told[1]["effect"] == "incidents that begin from now on page again"


def test_what_began_before_the_withdrawal_and_is_told_behind_it_stays_annotated() -> None:
    opened = _opened()
    began = opened.time // _SECOND - _START
    assert opened.due > opened.time
    at = began + 2
    alerts, _, _ = _told((1_000, _planned()), (at, _command(Asked.WITHDRAW)))
    assert alerts[0].time == opened.time
    plan = alerts[0].data["expected"]
    assert plan["until"] == rfc3339((_START + began + 1) * _SECOND)  # type: ignore[index]


def test_a_change_that_is_planned_after_a_withdrawal_counts() -> None:
    again = _command(Asked.EXPECT, id="3" * 32, since=0, until=10**17, note="after all")
    alerts, _, _ = _told((500, _planned()), (600, _command(Asked.WITHDRAW)), (600, again))
    assert alerts[0].data["expected"]["note"] == "after all"  # type: ignore[index]


@pytest.mark.parametrize("plan", [None, _START * _SECOND + 1, "stays"])
def test_where_nothing_is_planned_any_more_a_withdrawal_says_so(plan: int | str | None) -> None:
    """What others are planned to do stays planned."""
    pipeline = _begun()
    _go(pipeline, 0, 1_000)
    if plan is not None:
        of_others = {"model": plan, "until": 10**17} if isinstance(plan, str) else {"until": plan}
        pipeline.command(0, _command(Asked.EXPECT, id="2" * 32, since=0, **of_others))
    [notice] = pipeline.command(1, _command(Asked.WITHDRAW))[1].notices
    assert notice.fields["effect"] == "nothing: no change of this model is planned"
    if plan == "stays":
        others = _command(Asked.WITHDRAW, id="3" * 32, model="stays")
        [notice] = pipeline.command(2, others)[1].notices
        assert notice.fields["effect"] == "incidents that begin from now on page again"


@pytest.mark.parametrize("kind", [Asked.ACKNOWLEDGE, Asked.RESOLVE, Asked.ACCEPT])
def test_of_silence_and_event_rate_too(kind: Asked) -> None:
    pipeline = _begun()
    _go(pipeline, 0, 1_500)
    pipeline.idle(messages([]).partition)
    pipeline.tick_after(3_600 * _SECOND)
    [alert] = pipeline.release().alerts[:1]
    assert alert.data["kind"] == "volume"
    incident = str(alert.data["incident"])
    _, said = pipeline.command(
        0, _command(kind, incident=incident, model=alert.model, of_model=True)
    )
    pipeline.tick_after(7_200 * _SECOND)
    later = pipeline.release().alerts
    alerts = [each for each in (*said.alerts, *later) if each.model == alert.model]
    expected = {"acknowledge": "updated", "resolve": "resolved", "accept": "updated"}[kind.value]
    assert alerts[0].type == expected
    if kind is not Asked.ACKNOWLEDGE:
        assert alerts[-1].type == "resolved"


@pytest.mark.parametrize("kind", [Asked.ACKNOWLEDGE, Asked.RESOLVE, Asked.ACCEPT])
@settings(max_examples=8, deadline=None)
@given(
    at=st.integers(2_050, 4_000),
    cuts=st.lists(st.integers(1, _EVENTS - 1), max_size=4, unique=True),
    saved=st.integers(0, 4),
)
def test_a_restart_does_it_again_at_the_same_place(
    kind: Asked, at: int, cuts: list[int], saved: int
) -> None:
    """However the stream is cut then, and whichever snapshots there are of before and after."""
    whole, _, taken = _asked(kind, at)
    _check_replay(whole, [taken], cuts, saved)


@settings(max_examples=24, deadline=None)
@given(
    planned=st.integers(1, 2_000),
    withdrawn=st.integers(2_000 - 40, 2_000 + 90),
    cuts=st.lists(st.integers(1, _EVENTS - 1), max_size=4, unique=True),
    saved=st.integers(0, 4),
)
def test_a_restart_plans_and_withdraws_again_at_the_same_places(
    planned: int, withdrawn: int, cuts: list[int], saved: int
) -> None:
    first, second = sorted((planned, withdrawn))
    whole, _, taken = _told((first, _planned()), (second, _command(Asked.WITHDRAW)))
    _check_replay(whole, taken, cuts, saved)


def _check_replay(whole: list[Alert], taken: list[Taken], cuts: list[int], saved: int) -> None:
    """Cut the stream, and save amid it: what is told, and what is known at the end, is the same."""
    other, alerts = _begun(), list[Alert]()
    other.foresee(taken)
    states: list[bytes] = []
    bounds = [0, *sorted(cuts), _EVENTS]
    for place, (first, last) in enumerate(itertools.pairwise(bounds)):
        alerts += _go(other, first, last)[0]
        if place == min(saved, len(cuts)):
            states = [encode_state(other.snapshot(shard)) for shard in range(3)]
            known, begin = len(alerts), last
    assert [(each.id, each.data) for each in alerts] == [(each.id, each.data) for each in whole]
    again = _begun()
    again.restore({shard: decode_state(state) for shard, state in enumerate(states)})
    again.foresee(taken)
    rest, _ = _go(again, begin, _EVENTS)
    expected = [(each.id, each.data) for each in whole[known:]]
    assert [(each.id, each.data) for each in rest] == expected
    for shard in range(3):
        monitors = (each.monitor.snapshot(shard) for each in (again, other))
        assert len({encode_state(tree(each, "monitor")) for each in monitors}) == 1


def test_a_shard_of_workers_does_it_again_behind_the_same_frames() -> None:
    made = Shard(Home(0, 1), lambda _: ModelSettings(), 10)
    command = _command(Asked.EXPECT, since=5, until=9)
    taken, said = made.command(7, command, 42)
    [notice] = said.notices
    assert taken == Taken(7, (42, "", 0, 0), command)
    assert str(notice.fields["effect"]).startswith("incidents that begin meanwhile page nobody")
    other = Shard(Home(0, 1), lambda _: ModelSettings(), 10)
    other.foresee([taken, Taken(9, (50, "", 0, 0), command)])
    assert other.foresees
    assert other.commanded == 9
    assert other.due(41) is None
    assert other.due(42) == taken
    assert other.due(49) is None
    assert other.due(60) is not None
    assert not other.foresees
    made.foresee([taken])
    assert not made.foresees


def test_the_topic_is_read_once_and_what_is_no_command_says_so() -> None:
    log = MemoryLog()
    log.append("commands", "m", encode(_command(Asked.EXPECT, since=1, until=2)))
    log.flush()
    commands = CommandLog(log, "commands", None)
    assert commands.known == 0
    assert commands.read() == []
    log.append("commands", "m", b"rubbish")
    log.append("commands", "m", None)
    log.append("commands", "m", encode(_command(Asked.EXPECT, since=1, until=3)))
    log.flush()
    bad, empty, good = commands.read()
    assert (bad.place, bad.command) == (1, None)
    assert bad.fault.startswith("no command: ")
    assert empty.command is None
    assert good.place == 3
    assert good.command is not None
    assert good.command.until == 3
    assert commands.read() == []
    assert [each.place for each in CommandLog(log, "commands", 1).read()] == [2, 3]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning() -> None:
    log = MemoryLog()
    log.append("commands", "m", encode(_command(Asked.EXPECT, since=1, until=2)))
    log.flush()
    commands = CommandLog(log, "commands", 17)
    [received] = commands.read()
    assert received.place == 18
    assert commands.known == 18
