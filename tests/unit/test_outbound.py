"""What a webhook or a notification is told, in which order, and what it is not."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from streamdrift.alert_documents import read_alert
from streamdrift.following.outbound import MANY, MANY_BYTES, Outbound, Place, Selection
from streamdrift.records import Partition
from tests.alerts import NOON, SECOND, make_document

P, Q = Partition("alerts", 0), Partition("alerts", 1)
WITHIN = 600 * SECOND
HOUR = 3_600 * SECOND


class _Sink:
    """An outbound, what it was told to pass over, and a clock."""

    def __init__(self, **options: Any) -> None:
        self.reasons: Counter[str] = Counter()
        self.outbound = Outbound(
            Selection(WITHIN, **options), lambda reason: self.reasons.update([reason])
        )
        self.outbound.begin(P, 0)
        self.now = NOON
        self.offset = 0

    def take(
        self,
        incident: int,
        step: int = 1,
        kind: str = "opened",
        *,
        late: int = 0,
        monotonic: float = 0.0,
        partition: Partition = P,
        offset: int | None = None,
        **more: Any,
    ) -> None:
        """Take an alert that is published now, `late` microseconds after its time."""
        if offset is not None:
            self.offset = offset
        document = make_document(incident, step, kind, time=self.now - late, **more)
        place = Place(partition, self.offset)
        self.outbound.take(place, read_alert(document, self.now), self.now, monotonic)
        self.offset += 1
        self.outbound.passed(partition, self.offset)

    def send(self) -> list[tuple[int, int]]:
        """Send all that is due; return incident and step of each."""
        sent = []
        while (published := self.outbound.head(self.now)) is not None:
            sent.append((int(published.incident, 16), published.step))
            self.outbound.done(self.now)
        return sent


def quiet(moment: int) -> bool:
    """Nothing is sent in the first hour after noon."""
    return NOON <= moment < NOON + HOUR


def test_alerts_are_told_in_their_order() -> None:
    sink = _Sink()
    sink.take(1)
    sink.take(2)
    sink.take(1, 2, "updated")
    sink.take(1, 3, "resolved")
    assert sink.outbound.counts(sink.now) == (4, 0)
    assert sink.outbound.position(P) == (0, "")
    assert sink.send() == [(1, 1), (2, 1), (1, 2), (1, 3)]
    assert sink.outbound.position(P) == (4, "")
    assert not sink.reasons


def test_history_waits_and_what_is_open_when_all_is_caught_up_is_told() -> None:
    sink = _Sink()
    sink.take(1, late=WITHIN + 1, monotonic=5.0)
    sink.take(2, late=HOUR, monotonic=6.0)
    sink.take(1, 2, "updated", late=HOUR, monotonic=7.0)
    assert sink.send() == []
    assert sink.outbound.has_history
    assert sink.outbound.counts(sink.now) == (2, 2)
    sink.take(2, 2, "resolved", late=HOUR)
    sink.outbound.caught_up(since=7.0)
    assert sink.send() == []  # the round began when it was found
    sink.outbound.caught_up(since=7.5)
    assert sink.send() == [(1, 2)]
    assert not sink.outbound.has_history
    assert sink.reasons == {"replaced": 1, "over": 2}
    assert sink.outbound.position(P) == (4, "")


def test_history_that_goes_on_live_is_told_at_once() -> None:
    sink = _Sink()
    sink.take(1, late=HOUR)
    sink.take(1, 2, "updated")
    assert sink.send() == [(1, 2)]


def test_the_end_of_what_was_told_is_told_however_late() -> None:
    sink = _Sink()
    sink.take(1)
    assert sink.send() == [(1, 1)]
    sink.take(1, 2, "updated", late=HOUR)
    sink.take(1, 3, "resolved", late=HOUR)
    assert sink.send() == [(1, 3)]
    assert sink.reasons == {"replaced": 1}


def test_nothing_is_sent_in_quiet_hours_and_what_is_open_then_at_their_end() -> None:
    sink = _Sink(quiet=quiet)
    sink.now = NOON - SECOND
    sink.take(4)
    assert sink.send() == [(4, 1)]
    sink.now = NOON
    sink.take(1)
    sink.take(2)
    sink.take(3)
    sink.take(2, 2, "resolved")
    sink.take(3, 2, "updated")
    sink.take(4, 2, "resolved")
    assert sink.send() == []
    assert sink.outbound.counts(sink.now) == (3, 3)
    sink.now = NOON + HOUR
    assert sink.send() == [(1, 1), (3, 2), (4, 2)]


def test_what_a_sink_that_was_down_is_told_late() -> None:
    all_of_it, fresh = _Sink(), _Sink(fresh_only=True)
    for sink in (all_of_it, fresh):
        sink.take(1)
        sink.take(2)
        sink.now += 2 * HOUR
        sink.take(1, 2, "resolved")
        sink.take(3)
    assert all_of_it.send() == [(1, 1), (2, 1), (1, 2), (3, 1)]
    assert fresh.send() == [(2, 1), (3, 1)]
    assert fresh.reasons == {"over": 2}


@pytest.mark.parametrize(
    ("options", "more", "reason"),
    [
        ({}, {"expected": {"by": "me"}}, "expected"),
        ({"severity": "critical"}, {}, "severity"),
        ({"severity": "warning"}, {"severity": "info"}, "severity"),
    ],
)
def test_what_a_sink_is_not_told(
    options: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    sink = _Sink(**options)
    sink.take(1, **more)
    assert sink.send() == []
    assert sink.reasons == {reason: 1}
    assert sink.outbound.position(P) == (1, "")


def test_what_grows_grave_enough_is_told_with_its_end() -> None:
    sink = _Sink(severity="critical")
    sink.take(1)
    sink.take(1, 2, "updated", severity="critical")
    sink.take(1, 3, "resolved", severity="critical")
    assert sink.send() == [(1, 2), (1, 3)]


def test_who_looks_after_an_incident_is_not_told_again_before_its_end() -> None:
    sink = _Sink(acknowledged=False)
    sink.take(1)
    sink.take(1, 2, "updated", acknowledged={"by": "me"})
    sink.take(1, 3, "resolved", acknowledged={"by": "me"})
    assert sink.send() == [(1, 1), (1, 3)]
    assert sink.reasons == {"acknowledged": 1}


def test_ends_are_left_out_where_nobody_wants_them() -> None:
    sink = _Sink(resolved=False)
    sink.take(1)
    assert sink.send() == [(1, 1)]
    sink.take(1, 2, "updated", late=HOUR)
    sink.take(1, 3, "resolved")
    assert sink.send() == []
    assert sink.reasons == {"replaced": 1, "resolved": 1}
    assert sink.outbound.position(P) == (3, "")


def restarted(before: _Sink, **options: Any) -> _Sink:
    """Return a sink that goes on from what another has committed."""
    sink = _Sink(**options)
    sink.now = before.now
    sink.outbound.begin(P, *before.outbound.position(P))
    return sink


def test_after_a_restart_only_what_was_not_dealt_with_is_told() -> None:
    def first(sink: _Sink) -> None:
        sink.take(1, late=HOUR, offset=3)  # waits
        sink.take(2, offset=4)
        sink.take(3, offset=5, severity="info")
        sink.take(1, 2, "updated", late=HOUR, offset=6)  # waits instead
        sink.take(4, late=HOUR, offset=9)  # over before it is told
        sink.take(4, 2, "resolved", late=HOUR, offset=11)
        sink.take(5, late=HOUR, offset=12)  # waits

    sink = _Sink(severity="warning")
    sink.outbound.begin(P, 3)
    first(sink)
    assert sink.send() == [(2, 1)]
    assert sink.outbound.position(P) == (3, "1+1,4,2,")
    again = restarted(sink, severity="warning")
    first(again)
    assert again.send() == []
    again.outbound.caught_up(since=1.0)
    assert again.send() == [(1, 2), (5, 1)]
    assert again.outbound.position(P) == (13, "")


def test_a_note_has_as_much_as_brokers_take() -> None:
    sink = _Sink()
    sink.take(1, late=HOUR)
    for incident in range(2, 6_002):  # Every other waits, so that each is told of by itself.
        sink.take(incident, late=HOUR if incident % 2 else 0)
        sink.send()
    position, note = sink.outbound.position(P)
    assert position == 0
    assert len(note) <= 3_500
    again = restarted(sink)
    again.take(6_000, offset=5_999)  # beyond what the note had room for: told again
    again.take(1_000, offset=999)
    assert again.send() == [(6_000, 1)]


def test_what_is_dealt_with_behind_one_that_waits_is_told_once_however_much_it_is() -> None:
    sink = _Sink()
    sink.take(1, late=HOUR)
    for incident in range(2, 6_002):
        sink.take(incident)
        sink.send()
    again = restarted(sink)
    for incident in range(2, 6_002):
        again.take(incident, offset=incident - 1)
    assert again.send() == []


def test_a_note_that_is_none_tells_nothing() -> None:
    sink = _Sink()
    sink.outbound.begin(P, 0, "1,begins")
    sink.take(1)
    sink.take(2)
    assert sink.send() == [(1, 1)]


def test_a_partition_that_is_anothers_is_let_go() -> None:
    sink = _Sink()
    sink.outbound.begin(Q, 7)
    sink.take(1)
    sink.take(2, partition=Q, offset=7)
    sink.outbound.drop(P)
    assert sink.send() == [(2, 1)]
    assert sink.outbound.position(Q) == (8, "")
    sink.take(3, partition=Q, offset=8)
    sink.outbound.clear()
    assert sink.send() == []


def test_of_a_partition_that_comes_back_all_is_told_as_if_it_were_new() -> None:
    sink = _Sink()
    sink.outbound.begin(Q, 0)
    for partition in (P, Q):
        sink.take(1, late=HOUR, partition=partition, offset=0)
    sink.outbound.drop(P)
    sink.outbound.begin(P, 0)
    sink.take(1, late=HOUR, offset=0)
    sink.take(1, 2, "updated")
    assert sink.send() == [(1, 2)]
    assert sink.reasons == {"replaced": 1}
    assert sink.outbound.counts(sink.now) == (1, 1)  # the other partition's


@pytest.mark.parametrize(
    "fill",
    [
        lambda sink: [sink.take(each) for each in range(1, MANY + 1)],
        lambda sink: [sink.take(each, note="x" * (MANY_BYTES // 4)) for each in range(1, 5)],
    ],
)
def test_no_more_is_read_while_much_is_due(fill: Callable[[_Sink], object]) -> None:
    sink = _Sink()
    assert not sink.outbound.is_full(sink.now)
    fill(sink)
    assert sink.outbound.is_full(sink.now)
    sink.send()
    assert not sink.outbound.is_full(sink.now)


def test_what_waits_for_its_time_does_not_stop_the_reading() -> None:
    sink = _Sink()
    for each in range(1, MANY + 10):
        sink.take(each, late=HOUR)
    assert not sink.outbound.is_full(sink.now)


def test_an_incident_is_put_behind_the_others_whole_and_in_its_order() -> None:
    sink = _Sink()
    sink.take(1)
    sink.take(2)
    sink.take(1, 2, "resolved")
    sink.take(3)
    sink.outbound.put_behind(sink.now)
    sink.take(1, 3, "updated")
    assert sink.outbound.position(P) == (0, "")
    assert sink.send() == [(2, 1), (3, 1), (1, 1), (1, 2), (1, 3)]


def test_what_cannot_be_read_is_passed_over() -> None:
    sink = _Sink()
    sink.outbound.skip(Place(P, 0), "unreadable")
    sink.outbound.passed(P, 1)
    assert sink.outbound.position(P) == (1, "")
    assert sink.reasons == {"unreadable": 1}
