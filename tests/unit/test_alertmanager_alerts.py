"""Incidents as Alertmanager has them: labels, annotations, times, and when each is sent."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from streamdrift.alert_documents import Published, read_alert
from streamdrift.following.firing import LARGEST_BATCH, SENT_AFTER_END, Firing, Peer
from streamdrift.sinks.alertmanager import (
    AlertmanagerSettings,
    annotations_of,
    encode_alerts,
    ended,
    firing,
    labels_of,
)
from streamdrift.sinks.settings import AlertsSettings
from streamdrift.times import rfc3339
from tests.alerts import NOON, SECOND, make_document

HOUR = 3_600 * SECOND
WITHIN, RESEND = 600 * SECOND, 60 * SECOND


def published(document: bytes, at: int = NOON) -> Published:
    return read_alert(document, at)


def test_labels_tell_what_it_is_and_whose() -> None:
    labels = {
        "owner": "payments",
        "on-call": "me",
        "runbook": "https://wiki/x",
        "severity": "made up",
        "2nd": "b",
        "empty": "",
    }
    assert labels_of(published(make_document(labels=labels))) == {
        "alertname": "StreamdriftIncident",
        "deployment": "streamdrift",
        "model": "fraud",
        "version": "3",
        "kind": "data_drift",
        "severity": "warning",
        "owner": "payments",
        "on_call": "me",
        "_2nd": "b",
    }
    assert "version" not in labels_of(published(make_document(version="")))


@pytest.mark.parametrize(
    "link", ["https://[page]/wiki", "HTTPS://wiki/x", "http://", "https://wiki]/[x"]
)
def test_what_begins_as_a_link_is_told_as_it_is(link: str) -> None:
    alert = published(make_document(labels={"runbook": link, "at": "see https://[x]"}))
    assert annotations_of(alert)["runbook_url"] == link
    assert "runbook" not in labels_of(alert)
    assert labels_of(alert)["at"] == "see https://[x]"


@pytest.mark.parametrize("shift", [None, {"value": None}, {"value": 0.01}])
def test_a_change_that_is_no_shift_has_its_size_alone(shift: Any) -> None:
    signals = [{"name": "x", "effect": {"size": 0.81, "shift": shift}}]
    found = annotations_of(published(make_document(signals=signals)))
    assert found["effect"] == "0.8 sd all in all"


def test_labels_stay_while_an_incident_is_updated() -> None:
    opened = published(make_document(1, 1))
    updated = published(make_document(1, 2, "updated", summary="more", signals=[{"name": "b"}]))
    following = published(make_document(2, 1, opened_at=NOON + HOUR))
    assert labels_of(opened) == labels_of(updated) == labels_of(following)


def test_annotations_tell_what_people_want_to_know() -> None:
    signals = [
        {
            "name": f"x{number}",
            "text": f"x{number} moved",
            "onset": {"earliest": "2026-11-21T11:00:00Z", "latest": "2026-11-21T11:01:00Z"},
            "effect": {"size": 2.1713, "shift": {"value": 1.96, "low": 1.5, "high": 2.5}},
        }
        for number in range(12)
    ]
    found = annotations_of(
        published(
            make_document(
                signals=signals, signals_left_out=3, labels={"runbook": "https://wiki/x", "a": "b"}
            )
        )
    )
    assert found["summary"] == "amount of fraud/3 changed"
    assert found["incident"] == f"{1:032x}"
    assert found["onset"] == "2026-11-21T11:00:00Z to 2026-11-21T11:01:00Z"
    assert found["effect"] == "shift +2.0 sd, 2.2 sd all in all"
    assert found["signals"].startswith("x0: x0 moved; x1: x1 moved; ")
    assert found["signals"].endswith("; x9: x9 moved; and 5 more")
    assert found["runbook_url"] == "https://wiki/x"
    assert "a" not in found


@pytest.mark.parametrize(
    "signals",
    [
        [],
        [{"name": "silence", "effect": None, "onset": None}],
        [{"name": "x", "effect": {"size": None}}],
    ],
)
def test_what_is_not_known_is_left_out(signals: list[Any]) -> None:
    found = annotations_of(published(make_document(signals=signals)))
    assert not {"onset", "effect"} & found.keys()


def test_it_begins_with_the_incident_and_lasts_five_times_as_long_as_to_the_next_sending() -> None:
    alert = firing(published(make_document()), NOON + HOUR, RESEND, "https://x/{model}?{incident}")
    assert alert["startsAt"] == rfc3339(NOON)
    assert alert["endsAt"] == rfc3339(NOON + HOUR + 5 * RESEND)
    assert alert["generatorURL"] == f"https://x/fraud?{1:032x}"
    assert "generatorURL" not in firing(published(make_document()), NOON, RESEND, None)
    assert orjson.loads(encode_alerts([alert])) == [alert]


@pytest.mark.parametrize(
    ("ended_at", "now", "starts", "ends"),
    [
        (NOON + HOUR, NOON + 2 * HOUR, NOON, NOON + HOUR),
        (NOON + HOUR, NOON + SECOND, NOON, NOON + SECOND),  # events are ahead of the clock
        (NOON - HOUR, NOON + HOUR, NOON, NOON),
        (NOON + HOUR, NOON - HOUR, NOON - HOUR, NOON - HOUR),
    ],
)
def test_an_end_is_in_the_past_and_behind_the_beginning(
    ended_at: int, now: int, starts: int, ends: int
) -> None:
    alert = ended(published(make_document()), ended_at, now, None)
    assert (alert["startsAt"], alert["endsAt"]) == (rfc3339(starts), rfc3339(ends))


class _Sent:
    """A Firing, one peer that takes everything, and clocks that go together."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.firing = Firing(WITHIN, RESEND, None, lambda reason: self.reasons.update([reason]))
        self.peer = Peer()
        self.now = NOON

    @property
    def monotonic(self) -> float:
        return (self.now - NOON) / SECOND

    def take(self, document: bytes | None, incident: int = 1, *, at: int | None = None) -> None:
        found = None if document is None else read_alert(document, self.now if at is None else at)
        self.firing.take(f"{incident:032x}", found, self.now, self.monotonic)

    def send(self) -> list[tuple[str, str, bool]]:
        """Return model, severity, and whether it lasts, of all that is sent now."""
        due = self.firing.due(self.peer, self.now, self.monotonic)
        self.firing.sent(self.peer, due, self.monotonic)
        return [
            (
                each.alert["labels"]["model"],
                each.alert["labels"]["severity"],
                self._lasts(each.alert),
            )
            for each in due
        ]

    def _lasts(self, alert: Mapping[str, Any]) -> bool:
        return bool(alert["endsAt"] > rfc3339(self.now))


def test_what_lasts_is_sent_again_and_again_and_its_end_for_a_while() -> None:
    sent = _Sent()
    sent.take(make_document(time=NOON))
    assert sent.send() == [("fraud", "warning", True)]
    assert sent.send() == []
    sent.now += RESEND - SECOND
    assert sent.send() == []
    sent.now += SECOND
    assert sent.send() == [("fraud", "warning", True)]
    sent.take(make_document(1, 2, "resolved"))
    ends = 0
    while (found := sent.send()) or sent.now < NOON + RESEND + SENT_AFTER_END:
        ends += found == [("fraud", "warning", False)]
        assert len(found) <= 1
        sent.now += RESEND // 4
    assert ends == SENT_AFTER_END // RESEND
    assert sent.firing.counts([sent.peer]) == (0, 0)


def test_what_was_sent_is_counted_once() -> None:
    sent = _Sent()
    sent.take(make_document(time=NOON))
    assert sent.firing.counts([sent.peer]) == (1, 0)
    due = sent.firing.due(sent.peer, sent.now, sent.monotonic)
    assert sent.firing.sent(sent.peer, due, 0.0) == 1
    assert sent.firing.sent(sent.peer, due, 1.0) == 0
    assert sent.firing.counts([sent.peer, Peer()]) == (1, 0)


def test_where_the_severity_rises_another_alert_fires_and_the_one_before_ends() -> None:
    sent = _Sent()
    sent.take(make_document(time=NOON))
    sent.send()
    sent.take(make_document(1, 2, "updated", severity="critical"))
    assert sorted(sent.send()) == [("fraud", "critical", True), ("fraud", "warning", False)]
    sent.take(make_document(1, 3, "resolved", severity="critical"))
    assert sent.send() == [("fraud", "critical", False)]


def test_the_next_incident_of_a_model_version_fires_as_the_one_before() -> None:
    sent = _Sent()
    sent.take(make_document(1, time=NOON))
    sent.send()
    sent.take(make_document(1, 2, "resolved"))
    sent.now += SECOND
    sent.take(make_document(2, opened_at=sent.now), 2)
    assert sent.send() == [("fraud", "warning", True)]
    sent.take(None, 1)
    sent.now += SENT_AFTER_END
    assert sent.send() == [("fraud", "warning", True)]
    sent.take(make_document(2, 2, "resolved"), 2)
    assert sent.send() == [("fraud", "warning", False)]


def test_two_incidents_that_are_one_alert_end_with_the_later() -> None:
    sent = _Sent()
    sent.take(make_document(1, time=NOON))
    sent.take(make_document(2, time=NOON), 2)
    sent.take(make_document(2, 2, "resolved"), 2)
    assert sent.send() == [("fraud", "warning", False)]
    sent.now += SENT_AFTER_END
    assert sent.send() == []
    sent.take(make_document(1, 2, "resolved"))
    assert sent.send() == []


def test_history_waits_for_the_service_and_is_dropped_where_it_is_over() -> None:
    sent = _Sent()
    sent.now += HOUR
    sent.take(make_document(1, time=NOON))
    sent.take(make_document(2, time=NOON, model="other"), 2)
    assert sent.send() == []
    assert sent.firing.has_history
    assert sent.firing.counts([sent.peer]) == (2, 2)
    sent.take(make_document(1, 2, "resolved", time=NOON + SECOND))
    sent.firing.caught_up(sent.monotonic, sent.now)
    assert sent.send() == []
    sent.firing.caught_up(sent.monotonic + 1, sent.now)
    assert sent.send() == [("other", "warning", True)]
    assert not sent.firing.has_history
    assert sent.reasons == {"over": 1}


def test_history_that_is_updated_live_fires() -> None:
    sent = _Sent()
    sent.now += HOUR
    sent.take(make_document(1, time=NOON))
    sent.take(make_document(1, 2, "updated", time=sent.now))
    assert sent.send() == [("fraud", "warning", True)]


def test_what_fires_goes_on_while_the_service_catches_up() -> None:
    sent = _Sent()
    sent.take(make_document(1, time=NOON))
    sent.send()
    sent.now += HOUR
    sent.take(make_document(1, 2, "updated", time=NOON + SECOND, severity="critical"))
    assert ("fraud", "critical", True) in sent.send()


def test_after_a_restart_what_was_published_live_fires_at_once() -> None:
    sent = _Sent()
    sent.now += 24 * HOUR
    sent.take(make_document(1, time=NOON), at=NOON + SECOND)
    assert sent.send() == [("fraud", "warning", True)]


def test_ends_of_lately_are_sent_after_a_restart_and_older_ones_are_not() -> None:
    sent = _Sent()
    sent.now += HOUR
    sent.take(make_document(1, 2, "resolved"), at=sent.now - SENT_AFTER_END)
    sent.take(
        make_document(2, 2, "resolved", model="lately"), 2, at=sent.now - SENT_AFTER_END + SECOND
    )
    assert sent.send() == [("lately", "warning", False)]


def test_what_was_expected_fires_never_and_what_is_forgotten_no_more() -> None:
    sent = _Sent()
    sent.take(make_document(1, time=NOON, expected={"by": "me"}))
    assert sent.send() == []
    assert sent.reasons == {"expected": 1}
    sent.take(make_document(2, time=NOON), 2)
    sent.send()
    sent.take(None, 2)
    assert sent.send() == [("fraud", "warning", False)]
    sent.take(None, 3)
    sent.firing.clear()
    assert sent.send() == []
    assert sent.peer.sent == {}


def test_many_are_sent_in_parts() -> None:
    sent = _Sent()
    for incident in range(LARGEST_BATCH + 5):
        sent.take(make_document(incident, time=NOON, model=f"m{incident}"), incident)
    assert len(sent.send()) == LARGEST_BATCH
    assert len(sent.send()) == 5
    assert sent.send() == []


def test_where_fewer_can_be_sent_than_are_due_each_has_its_turn() -> None:
    sent = _Sent()

    def take(first: int) -> None:
        for incident in range(first, first + 2 * LARGEST_BATCH):
            sent.take(make_document(incident, time=sent.now, model=f"m{incident}"), incident)

    def turn() -> set[str]:
        sent.now += RESEND  # so slow is it that the first are due again
        return {model for model, _, _ in sent.send()}

    take(1)
    turns = [turn() for _ in range(4)]
    assert turns[0].isdisjoint(turns[1])
    assert turns[2:] == turns[:2]
    for incident in range(1, LARGEST_BATCH + 1):  # these change all the time
        sent.take(make_document(incident, 2, "updated", model=f"m{incident}"), incident)
    assert turn() == turns[0]
    sent.take(make_document(1, 3, "updated", model="m1"), 1)
    assert turn() == turns[1]
    take(2_000)
    new = turn() | turn()
    assert new == {f"m{incident}" for incident in range(2_000, 2_000 + 2 * LARGEST_BATCH)}


def test_one_address_or_several() -> None:
    one = AlertmanagerSettings.model_validate({"url": "http://a:9093"})
    assert one.url == ("http://a:9093",)
    with pytest.raises(ValidationError, match="once"):
        AlertmanagerSettings.model_validate({"url": ["http://a", "http://a"]})
    with pytest.raises(ValidationError, match="must be an address"):
        AlertmanagerSettings.model_validate({"url": ["a"]})
    with pytest.raises(ValidationError, match="at least 1"):
        AlertmanagerSettings.model_validate({"url": []})


@pytest.mark.parametrize(
    ("link", "said"), [("x/{incident}", "must be an address"), ("https://x/", "must have one of")]
)
def test_a_link_leads_to_the_incident(link: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AlertsSettings.model_validate({"link": link})
