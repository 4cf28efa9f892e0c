"""Every registered sink writes the same alerts, in order, as CloudEvents."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from streamdrift.kafka.outbox import Outbox
from streamdrift.sinks import SINKS, Sink, make_sinks
from streamdrift.sinks.cloudevents import encode
from streamdrift.sinks.settings import AlertsSettings
from tests.alerts import make_alert

Read = Callable[[], list[object]]
Made = tuple[Sink, Read]
ALERTS = [make_alert(number, model=f"model {number % 2}") for number in range(5)]


class RecordingOutbox:
    """Stands in for a producer: what was sent becomes readable at the flush."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.durable: list[bytes] = []
        self.incidents: list[bytes] = []

    def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None = None,
    ) -> None:
        event = json.loads(value)
        if topic == "streamdrift.incidents":
            assert event["data"]["incident"].encode() == key
            self.incidents.append(value)
            return
        assert topic == "streamdrift.alerts"
        assert event["partitionkey"].encode() == key
        self.sent.append(value)

    def flush(self, timeout: float = 1.0) -> None:
        self.durable += self.sent
        self.sent = []

    def close(self) -> None:
        self.sent = []


def make_kafka(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    outbox = RecordingOutbox()
    sink = SINKS["kafka"](AlertsSettings(), "streamdrift", cast(Outbox, outbox))
    assert sink is not None

    def read() -> list[object]:
        assert outbox.incidents == outbox.durable, "the incidents topic has what the alerts have"
        return [json.loads(value) for value in outbox.durable]

    return sink, read


def make_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    path = folder / "alerts.jsonl"
    sink = SINKS["file"](AlertsSettings(file=path), "streamdrift", None)
    assert sink is not None
    return sink, lambda: [json.loads(line) for line in path.read_text().splitlines()]


def make_stdout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    stream = io.BytesIO()
    # Kept alive by `read`: a wrapper that is thrown away closes its stream.
    wrapper = io.TextIOWrapper(stream)
    monkeypatch.setattr(sys, "stdout", wrapper)
    sink = SINKS["stdout"](AlertsSettings(stdout=True), "streamdrift", None)
    assert sink is not None
    return sink, lambda: [json.loads(line) for line in stream.getvalue().splitlines() if wrapper]


MAKERS = {"kafka": make_kafka, "file": make_file, "stdout": make_stdout}


@pytest.fixture(params=sorted(SINKS))
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    return MAKERS[request.param](tmp_path, monkeypatch)


def test_every_sink_is_covered() -> None:
    assert MAKERS.keys() == SINKS.keys()


def test_alerts_are_there_after_the_flush_in_order(made: Made) -> None:
    sink, read = made
    sink.write(ALERTS[:2])
    sink.write([])
    sink.write(ALERTS[2:])
    sink.flush()
    assert read() == [encode(alert, "streamdrift") for alert in ALERTS]
    sink.close()


def test_a_flush_without_alerts_does_nothing(made: Made) -> None:
    sink, read = made
    sink.flush()
    sink.flush()
    assert read() == []
    sink.close()


def test_the_settings_choose_the_sinks(tmp_path: Path) -> None:
    outbox = cast(Outbox, RecordingOutbox())
    assert len(make_sinks(AlertsSettings(), "streamdrift", outbox)) == 1
    assert make_sinks(AlertsSettings(), "streamdrift", None) == ()
    both = AlertsSettings(file=tmp_path / "alerts.jsonl", stdout=True)
    sinks = make_sinks(both, "streamdrift", outbox)
    assert len(sinks) == 3
    for sink in sinks:
        sink.close()
