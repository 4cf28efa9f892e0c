"""What is known of incidents from their topic, and what is given up."""

import json
import threading

import pytest

from streamdrift.alert_documents import read_alert
from streamdrift.errors import InputError
from streamdrift.following import incidents
from streamdrift.following.incident_table import IncidentTable
from streamdrift.following.incidents import TopicReader, following_incidents, forget_incidents
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.prometheus.metrics import Metrics
from streamdrift.state.log import MemoryLog
from tests.alerts import NOON, SECOND, make_document
from tests.paging import until

DAY = 86_400 * SECOND


def name(incident: int) -> str:
    return f"{incident:032x}"


def put(table: IncidentTable, incident: int, step: int, kind: str, at: int) -> None:
    opened_at = NOON + incident * SECOND
    table.take(name(incident), make_document(incident, step, kind, opened_at=opened_at), at)


def test_an_alert_says_how_its_incident_stands() -> None:
    document = make_document(
        7, 2, "updated", severity="critical", labels={"owner": "me"}, expected={"by": "x"}
    )
    found = read_alert(document, NOON + 5)
    assert (found.incident, found.step, found.type, found.is_open) == (name(7), 2, "updated", True)
    assert (found.opened_at, found.time, found.published_at) == (NOON, NOON + SECOND, NOON + 5)
    assert (found.severity, found.labels, found.deployment) == (
        "critical",
        {"owner": "me"},
        "streamdrift",
    )
    assert (found.expected, found.acknowledged, found.subject) == (True, False, "fraud/3")
    assert found.event() == json.loads(document)
    plain = read_alert(make_document(expected=None, acknowledged={}), 0)
    assert (plain.expected, plain.acknowledged) == (False, True)
    assert read_alert(make_document(version=""), 0).subject == "fraud"
    over = read_alert(make_document(kind="resolved", resolution="accepted"), 0)
    assert (over.is_open, over.resolution) == (False, "accepted")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"rubbish", "the record"),
        (b"[]", "the record"),
        (b"{}", "id"),
        (make_document(severity="fatal"), "data.severity"),
        (make_document(kind="closed"), "type"),
        (make_document(step=0), "data.step"),
        (make_document(opened_at=NOON).replace(b"2026-11-21T12:00:00.000000Z", b"noon"), "time"),
        (make_document(labels={"owner": 3}), "data.labels.owner"),
        (make_document().replace(name(1).encode(), b"one"), "data.incident"),
        (b'{"id": "\xff"}', "the record"),
    ],
)
def test_what_is_no_alert_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"no alert: {said}"):
        read_alert(document, 0)


def test_the_latest_alert_of_each_counts_and_the_last_opened_comes_first() -> None:
    table = IncidentTable(DAY)
    put(table, 1, 1, "opened", 1)
    put(table, 2, 1, "opened", 2)
    put(table, 1, 2, "resolved", 3)
    assert [(each.incident, each.step) for each in table.all()] == [(name(2), 1), (name(1), 2)]
    found = table.get(name(1))
    assert found is not None
    assert not found.is_open
    assert table.get(name(3)) is None
    table.take(name(2), None, 4)
    assert [each.incident for each in table.all()] == [name(1)]
    assert table.count == 1


def test_what_is_long_over_is_surplus_until_it_is_deleted() -> None:
    table = IncidentTable(DAY)
    put(table, 1, 1, "opened", 0)
    put(table, 2, 2, "resolved", 0)
    put(table, 3, 2, "resolved", SECOND)
    assert table.surplus(DAY - 1) == ()
    assert table.surplus(DAY) == (name(2),)
    assert table.surplus(DAY) == (name(2),)
    assert [each.incident for each in table.all()] == [name(3), name(1)]
    table.take(name(2), None, DAY)
    assert table.surplus(DAY) == ()
    assert table.surplus(10 * DAY) == (name(3),)
    assert table.evicted == 0


def test_without_room_the_oldest_that_are_over_go_and_open_ones_stay() -> None:
    size = len(make_document()) + 1_000
    table = IncidentTable(DAY, largest=3 * size + 100)
    for incident in range(1, 4):
        put(table, incident, 1, "opened", 0)
    for incident in range(4, 7):
        put(table, incident, 2, "resolved", 0)
    assert {each.incident for each in table.all()} == {name(1), name(2), name(3)}
    assert table.surplus(0) == (name(4), name(5), name(6))
    assert table.evicted == 3
    put(table, 4, 1, "opened", 0)  # begun anew: more than there is room for, and kept
    assert table.count == 4
    assert table.surplus(0) == (name(5), name(6))


def test_threads_share_it() -> None:
    table = IncidentTable(DAY)

    def fill(first: int) -> None:
        for incident in range(first, first + 200):
            put(table, incident, 1, "opened", 0)
            table.all()

    threads = [threading.Thread(target=fill, args=(1_000 * number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.count == 600


def test_a_topic_is_read_on_from_where_it_was_and_rubbish_is_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, table = MemoryLog(), IncidentTable(DAY)
    reader = TopicReader("incidents", table)
    assert not reader.complete
    log.append("incidents", name(1), make_document(1))
    log.append("incidents", "x", b"rubbish")
    log.append("incidents", "y", b"rubbish")
    log.flush()
    reader.read(log)
    assert reader.complete
    log.append("incidents", name(2), make_document(2))
    log.flush()
    reader.read(log)
    assert {each.incident for each in table.all()} == {name(1), name(2)}
    said = capsys.readouterr().out
    assert said.count("record passed over") == 1
    assert "incidents/1" in said


def test_after_what_was_not_foreseen_it_reads_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states: list[bool] = []

    class _Log(MemoryLog):
        def end(self, topic: str, *, partition: int = 0) -> int:
            states.append(reader.complete)
            if len(states) == 2:
                raise RuntimeError("a bug")
            return super().end(topic, partition=partition)

        def close(self) -> None:
            """Nothing is held open."""

    log, table = _Log(), IncidentTable(10**6 * DAY)
    log.append("incidents", name(1), make_document(1))
    log.flush()
    monkeypatch.setattr(incidents, "KafkaLog", lambda _: log)
    # Not before the reader is there, which the log asks.
    ready = threading.Event()
    monkeypatch.setattr(incidents, "check_exists", lambda *_: ready.wait())
    with following_incidents(KafkaSettings(), "incidents", table, Metrics()) as reader:
        ready.set()
        until(lambda: len(states) >= 3)
        log.append("incidents", name(2), make_document(2))
        log.flush()
        until(lambda: table.count == 2)
        assert reader.complete
    assert states[:3] == [False, True, False]
    said = capsys.readouterr().out
    assert said.count("reading incidents failed in a way that was not foreseen") == 1
    assert "RuntimeError: a bug" in said


def test_of_a_topic_made_anew_only_what_is_in_it_is_known() -> None:
    log, table = MemoryLog(), IncidentTable(DAY)
    reader = TopicReader("incidents", table)
    for incident in (1, 2):
        log.append("incidents", name(incident), make_document(incident))
    log.flush()
    reader.read(log)
    anew = MemoryLog()
    anew.append("incidents", name(3), make_document(3))
    anew.flush()
    reader.read(anew)
    assert [each.incident for each in table.all()] == [name(3)]
    assert table.count == 1


def test_a_reset_leaves_no_incident_behind() -> None:
    log = MemoryLog()
    for incident in (1, 2):
        log.append("incidents", name(incident), make_document(incident))
    log.append("incidents", name(1), None)
    log.flush()
    forget_incidents(log, "incidents")
    log.flush()
    assert log.records["incidents"][3:] == [(name(2), None)]
