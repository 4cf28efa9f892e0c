"""How a sink's failures are met: waits that grow, told once, and what is given up."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from streamdrift.alert_documents import Published
from streamdrift.backoff import LONGEST
from streamdrift.following.firing import Firing
from streamdrift.following.lines import Alertmanagers, Deliveries, Line, Moment
from streamdrift.following.outbound import Outbound, Place, Selection
from streamdrift.following.receivers import Record
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Partition
from streamdrift.sinks.answers import Answer, Verdict, unreadable
from streamdrift.times import rfc3339
from tests.alerts import NOON, SECOND, make_document

P = Partition("alerts", 0)
HOUR = 3_600 * SECOND
ODD: tuple[Mapping[str, Any], ...] = (
    {"signals": 5},
    {"signals": [{"name": "x", "onset": "noon"}]},
    {"signals": [{"name": "x", "effect": {"size": "big"}}]},
    {"acknowledged": "by me"},
    {"signals_left_out": "many"},
)
"""What somebody else may have written as entries of an alert's data."""
TAKEN, REFUSED, FAILED = (
    Answer(Verdict.TAKEN),
    Answer(Verdict.REFUSED, "no"),
    Answer(Verdict.FAILED, "away"),
)


class _Receiver:
    """Answers what a test wants, and takes its time."""

    place = "http://host"

    def __init__(self) -> None:
        self.answer = TAKEN
        self.got: list[object] = []
        self.closed = False

    def send(self, published: Published) -> Answer:
        self.got.append(int(published.incident, 16))
        return self.answer

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.got.append(body)
        return self.answer

    def close(self) -> None:
        self.closed = True


class _Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> Moment:
        return Moment(NOON + int(self.seconds * SECOND), self.seconds)


def record(incident: int, offset: int, value: bytes | None = None) -> Record:
    document = make_document(incident) if value is None else value
    return Record(Place(P, offset), f"{incident:032x}", document, NOON)


class _Line:
    def __init__(self, alerts: int = 3, **more: float) -> None:
        self.metrics, self.receiver, self.clock = Metrics(), _Receiver(), _Clock()
        outbound = Outbound(Selection(600 * SECOND), self.pass_over)
        self.line = Deliveries(
            "webhook", "alerts", outbound, self.receiver, 3_600.0, self.metrics, lambda: 0.0, **more
        )
        self.line.begin(P, 0, "")
        for offset in range(alerts):
            self.line.take(record(offset + 1, offset), self.clock())
        self.line.passed(P, alerts)

    def pass_over(self, reason: str) -> None:
        self.metrics.sink_passed_over("webhook", reason)

    def value(self, name: str, **labels: str) -> float | None:
        self.line.show(self.clock())
        return self.metrics.registry.get_sample_value(
            f"streamdrift_sink_{name}", {"sink": "webhook"} | labels
        )


def test_what_is_due_is_delivered_and_counted() -> None:
    line = _Line()
    assert line.value("behind_alerts") == 3
    assert line.line.turn(line.clock)
    assert line.receiver.got == [1, 2, 3]
    assert line.value("behind_alerts") == 0
    assert line.value("delivered_total") == 3
    assert line.line.position(P) == (3, "")
    assert not line.line.turn(line.clock)
    line.line.close()
    assert line.receiver.closed


def test_a_sink_that_is_down_is_tried_again_after_waits_and_told_of_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = _Line()
    line.receiver.answer = FAILED
    tries = []
    while line.clock.seconds < 20:
        before = len(line.receiver.got)
        assert not line.line.turn(line.clock)
        if len(line.receiver.got) > before:
            tries.append(line.clock.seconds)
        line.clock.seconds += 0.5
    assert tries == [0, 1, 3, 7, 15]
    assert set(line.receiver.got) == {1}
    assert line.value("working") == 0
    assert line.value("failures_total") == 5
    assert line.line.position(P) == (0, "")
    line.receiver.answer = TAKEN
    line.clock.seconds = 31
    line.line.turn(line.clock)
    assert line.receiver.got[-3:] == [1, 2, 3]
    assert line.value("working") == 1
    said = capsys.readouterr().out
    assert said.count("sink fails, alerts wait for it") == 1
    assert said.count("sink works again") == 1
    assert "away" in said


def test_a_sink_that_refuses_after_it_was_away_works_again() -> None:
    line = _Line(alerts=1)
    assert line.value("working") is None
    line.receiver.answer = FAILED
    line.line.turn(line.clock)
    assert line.value("working") == 0
    line.receiver.answer = REFUSED
    line.clock.seconds += LONGEST
    assert line.line.turn(line.clock)
    assert line.value("working") == 1


def test_another_worker_shows_how_a_sink_stands_that_was_let_go() -> None:
    """The rule takes the least of all workers: what is left here would page for ever."""
    shown = ("working", "behind_alerts", "held_alerts")
    for let_go in ("drop", "clear", "close"):
        line = _Line()
        line.receiver.answer = FAILED
        line.line.turn(line.clock)
        assert line.value("working") == 0
        if let_go == "drop":
            line.line.drop(P)
            line.line.show(line.clock())
        else:
            getattr(line.line, let_go)()
        for name in shown:
            labels = {"sink": "webhook"}
            assert (
                line.metrics.registry.get_sample_value(f"streamdrift_sink_{name}", labels) is None
            )


def test_a_sink_of_which_one_partition_is_let_go_shows_how_it_stands_with_the_other() -> None:
    line = _Line()
    line.line.begin(Partition("alerts", 1), 0, "")
    line.receiver.answer = FAILED
    line.line.turn(line.clock)
    line.line.drop(Partition("alerts", 1))
    assert line.value("working") == 0
    line.line.clear()
    line.line.begin(P, 0, "")
    line.line.take(record(1, 0), line.clock())
    assert line.value("working") == 0  # nothing has shown since that it works


def test_nobody_knows_of_a_sink_that_failed_once_nothing_is_left_to_be_tried() -> None:
    line = _Line(alerts=1)
    line.receiver.answer = FAILED
    while line.value("passed_over_total", reason="given_up") is None:
        line.line.turn(line.clock)
        line.clock.seconds += 1
    assert line.value("behind_alerts") == 0
    assert line.value("working") is None


def test_what_is_refused_is_told_and_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    line = _Line(alerts=1)
    line.receiver.answer = REFUSED
    assert line.line.turn(line.clock)
    assert line.value("passed_over_total", reason="refused") == 1
    assert line.value("behind_alerts") == 0
    assert line.line.position(P) == (1, "")
    assert "alert passed over by a sink" in capsys.readouterr().out


def test_one_alert_that_never_gets_through_is_given_up_for_the_next() -> None:
    line = _Line(alerts=2)
    line.receiver.answer = FAILED
    while line.value("passed_over_total", reason="given_up") is None:
        line.line.turn(line.clock)
        line.clock.seconds += 1
    assert 3_600 <= line.clock.seconds < 3_600 + 2 * LONGEST
    assert set(line.receiver.got) == {1}
    line.receiver.answer = TAKEN
    line.clock.seconds += LONGEST
    line.line.turn(line.clock)
    assert line.receiver.got[-1] == 2


def test_an_alert_that_is_not_taken_for_long_holds_up_no_other_incident() -> None:
    line = _Line(alerts=3, behind_after=900.0)
    taken = line.receiver.send
    tried: list[float] = []

    def send(published: Published) -> Answer:
        if int(published.incident, 16) == 1:
            tried.append(line.clock.seconds)
            return FAILED
        return taken(published)

    line.receiver.send = send  # type: ignore[method-assign]
    while not line.receiver.got:
        line.line.turn(line.clock)
        line.clock.seconds += 1
    assert 900 <= tried[-2] < 900 + LONGEST  # and once more behind the others
    assert line.clock.seconds <= 900 + 3 * LONGEST
    assert line.receiver.got == [2, 3]
    line.line.take(record(4, 3), line.clock())
    line.line.passed(P, 4)
    until, before = line.clock.seconds + 3 * LONGEST, len(tried)
    while line.clock.seconds < until:
        line.line.turn(line.clock)
        line.clock.seconds += 1
    assert line.receiver.got == [2, 3, 4]
    assert len(tried) > before
    assert line.line.position(P) == (0, "1+2,")
    while line.value("passed_over_total", reason="given_up") is None:
        line.line.turn(line.clock)
        line.clock.seconds += 1
    assert 3_600 <= tried[-1] < 3_600 + 2 * LONGEST
    assert line.line.position(P) == (4, "")


def test_while_a_sink_is_down_nothing_is_given_up_early() -> None:
    line = _Line(alerts=3, behind_after=900.0)
    line.receiver.answer = FAILED
    while line.clock.seconds < 3_500:
        assert not line.line.turn(line.clock)
        line.clock.seconds += 1
    assert set(line.receiver.got) == {1, 2, 3}
    line.receiver.got.clear()
    line.receiver.answer = TAKEN
    line.clock.seconds += LONGEST
    assert line.line.turn(line.clock)
    assert sorted(map(str, line.receiver.got)) == ["1", "2", "3"]
    assert not line.value("passed_over_total", reason="given_up")


def test_rubbish_in_the_topic_is_passed_over_and_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = _Line(alerts=0)
    line.line.take(record(1, 0, b"rubbish"), line.clock())
    line.line.take(record(1, 1, b"rubbish"), line.clock())
    line.line.take(record(2, 2), line.clock())
    line.line.passed(P, 3)
    line.line.turn(line.clock)
    assert line.receiver.got == [2]
    assert line.value("passed_over_total", reason="unreadable") == 2
    assert line.line.position(P) == (3, "")
    assert capsys.readouterr().out.count("record passed over") == 1


def test_an_alert_that_cannot_be_told_is_passed_over_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = _Line(alerts=1)
    line.receiver.answer = unreadable(TypeError("no text"))
    assert line.line.turn(line.clock)
    assert line.value("passed_over_total", reason="unreadable") == 1
    assert not line.value("failures_total")
    assert line.line.position(P) == (1, "")
    assert "TypeError: no text" in capsys.readouterr().out


def test_a_target_that_breaks_is_tried_again_as_one_that_is_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = _Line(alerts=2)
    whole = line.receiver.send

    def send(published: Published) -> Answer:
        raise RuntimeError("s3cret")

    line.receiver.send = send  # type: ignore[method-assign]
    assert not line.line.turn(line.clock)
    assert line.value("working") == 0
    line.receiver.send = whole  # type: ignore[method-assign]
    line.clock.seconds += 1
    assert line.line.turn(line.clock)
    assert line.receiver.got == [1, 2]
    assert "a sink failed in a way that was not foreseen" in capsys.readouterr().out


def test_a_turn_ends_before_the_group_gives_its_member_up() -> None:
    line = _Line(alerts=200)
    slow = line.receiver.send

    def send(published: Published) -> Answer:
        line.clock.seconds += 9
        return slow(published)

    line.receiver.send = send  # type: ignore[method-assign]
    assert line.line.turn(line.clock)
    assert len(line.receiver.got) == 3
    line.receiver.send = slow  # type: ignore[method-assign]
    assert line.line.turn(line.clock)
    assert len(line.receiver.got) == 3 + 50


class _Managers:
    def __init__(self, count: int) -> None:
        self.metrics, self.clock = Metrics(), _Clock()
        self.all = [_Receiver() for _ in range(count)]
        firing = Firing(600 * SECOND, 60 * SECOND, None, lambda _: None)
        self.line = Alertmanagers("incidents", firing, self.all, self.metrics, lambda: 0.0)
        self.line.begin(P, 0, "")

    def works(self, place: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "streamdrift_alertmanager_working", {"place": place}
        )

    def posts(self, number: int) -> list[bytes]:
        return [each for each in self.all[number].got if isinstance(each, bytes)]

    def value(self, name: str, **labels: Any) -> float | None:
        self.line.show(self.clock())
        return self.metrics.registry.get_sample_value(
            f"streamdrift_sink_{name}", {"sink": "alertmanager"} | labels
        )


def test_an_alertmanager_that_is_down_waits_by_itself() -> None:
    managers = _Managers(2)
    managers.all[0].answer = FAILED
    managers.line.take(record(1, 0), managers.clock())
    for _ in range(4):
        managers.line.turn(managers.clock)
        managers.clock.seconds += 1
    assert [len(each.got) for each in managers.all] == [3, 1]
    assert managers.value("behind_alerts") == 1
    managers.all[0].answer = TAKEN
    managers.clock.seconds = 10
    managers.line.turn(managers.clock)
    assert managers.value("behind_alerts") == 0
    assert managers.value("delivered_total") == 2


def test_alertmanagers_work_while_one_of_them_does() -> None:
    managers = _Managers(2)
    managers.all[0].place = "http://dead"
    assert managers.value("working") is None
    managers.line.take(record(1, 0), managers.clock())
    for _ in range(200):
        managers.all[0].answer = FAILED
        managers.line.turn(managers.clock)
        assert managers.value("working") == 1
        assert managers.works("http://dead") == 0
        assert managers.works("http://host") == 1
        managers.clock.seconds += 1
    managers.all[1].answer = FAILED
    managers.clock.seconds += LONGEST
    managers.line.turn(managers.clock)
    assert managers.value("working") == 0
    managers.all[0].answer = REFUSED  # it answers, though it had all of it before
    managers.clock.seconds += LONGEST
    managers.line.turn(managers.clock)
    managers.clock.seconds += LONGEST
    managers.line.turn(managers.clock)
    assert managers.value("working") == 1
    managers.line.drop(P)
    assert managers.value("working") is None
    assert managers.works("http://dead") is None


def test_of_two_alertmanagers_of_one_address_the_worse_shows() -> None:
    managers = _Managers(2)
    managers.all[0].answer = FAILED
    managers.line.take(record(1, 0), managers.clock())
    managers.line.turn(managers.clock)
    assert managers.value("working") == 1
    assert managers.works("http://host") == 0


def test_alertmanagers_that_were_away_are_not_known_to_be_once_nothing_fires() -> None:
    managers = _Managers(1)
    managers.line.take(record(1, 0), managers.clock())
    managers.all[0].answer = FAILED
    managers.line.turn(managers.clock)
    managers.line.take(record(1, 1, make_document(1, 2, "resolved")), managers.clock())
    assert managers.value("working") == 0
    managers.clock.seconds += 400
    managers.line.turn(managers.clock)
    assert managers.value("working") is None


def test_alertmanagers_that_do_not_answer_hold_up_none_for_good() -> None:
    managers = _Managers(3)
    for receiver in managers.all[:2]:
        receiver.answer = FAILED
        receiver.post = _slow(managers.clock, receiver.post)  # type: ignore[method-assign]
    managers.line.take(record(1, 0), managers.clock())
    managers.line.turn(managers.clock)
    assert [len(each.got) for each in managers.all] == [1, 1, 0]
    managers.clock.seconds += 0.5
    managers.line.turn(managers.clock)
    assert len(managers.all[2].got) == 1


def _slow(clock: _Clock, post: Callable[..., Answer]) -> Callable[..., Answer]:
    def it(*what: Any) -> Answer:
        clock.seconds += 15
        return post(*what)

    return it


def test_what_an_alertmanager_refuses_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    managers = _Managers(1)
    managers.all[0].answer = REFUSED
    managers.line.take(record(1, 0), managers.clock())
    for _ in range(3):
        managers.line.turn(managers.clock)
        managers.clock.seconds += 60
    assert len(managers.all[0].got) == 3
    assert managers.value("passed_over_total", reason="refused") == 1
    assert capsys.readouterr().out.count("alerts refused") == 1


@pytest.mark.parametrize("odd", ODD)
def test_an_incident_that_cannot_be_told_holds_up_no_other(
    odd: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    managers = _Managers(1)
    late = make_document(3, time=NOON - HOUR, model="late", **odd)
    managers.line.take(record(1, 0, make_document(1, model="odd", **odd)), managers.clock())
    managers.line.take(record(2, 1), managers.clock())
    managers.line.take(record(3, 2, late), managers.clock())
    managers.line.caught_up(1.0, managers.clock())
    managers.line.turn(managers.clock)
    assert [each["labels"]["model"] for each in orjson.loads(managers.posts(0)[0])] == ["fraud"]
    assert managers.value("passed_over_total", reason="unreadable") == 2
    assert managers.value("behind_alerts") == 0
    assert capsys.readouterr().out.count("record passed over") == 1


def test_what_fires_ends_though_its_end_has_what_cannot_be_told() -> None:
    managers = _Managers(1)
    managers.line.take(record(1, 0), managers.clock())
    managers.line.turn(managers.clock)
    managers.line.take(record(1, 1, make_document(1, 2, "updated", signals=5)), managers.clock())
    managers.line.take(record(1, 2, make_document(1, 3, "resolved", signals=5)), managers.clock())
    managers.clock.seconds += 2
    managers.line.turn(managers.clock)
    (alert,) = orjson.loads(managers.posts(0)[1])
    assert alert["endsAt"] == rfc3339(NOON + 2 * SECOND)
    assert managers.value("passed_over_total", reason="unreadable") == 1


def test_rubbish_among_incidents_is_passed_over() -> None:
    managers = _Managers(1)
    managers.line.take(record(1, 0, b"rubbish"), managers.clock())
    managers.line.take(record(2, 1), managers.clock())
    managers.line.passed(P, 2)
    managers.line.turn(managers.clock)
    assert managers.value("passed_over_total", reason="unreadable") == 1
    assert len(managers.all[0].got) == 1
    line: Line = managers.line
    assert line.position(P) is None
    assert not managers.line.is_full(managers.clock())
    managers.line.drop(P)
    managers.clock.seconds += 60
    managers.line.turn(managers.clock)
    assert len(managers.all[0].got) == 1
    managers.line.close()
    assert managers.all[0].closed
