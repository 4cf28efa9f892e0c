"""What docs/alerts.md says of alerts, and of who is told of them, is so."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from streamdrift.alert_documents import read_alert
from streamdrift.changes import Onset
from streamdrift.config import Settings, load_settings
from streamdrift.following.team import make_lines
from streamdrift.incidents.grouping import Incidents
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.prometheus.metrics import Metrics
from streamdrift.sinks.alertmanager import annotations_of, labels_of
from streamdrift.sinks.cloudevents import encode
from streamdrift.sinks.webhook import key_of, sign
from tests.alerts import NOON, SECOND, changed, left, make_change, make_document, make_signal

DOCUMENT = Path(__file__).parents[2] / "docs" / "alerts.md"
TEXT = DOCUMENT.read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def table(header: str) -> set[str]:
    """Return the names in the first column of a table."""
    rows = TEXT.partition(f"| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.fixture(scope="module")
def events() -> list[Any]:
    """An incident that is opened, updated and resolved, as it is published."""
    incidents = Incidents(lambda _: IncidentSettings(), lambda _: {"owner": "me"})
    onset = Onset(NOON, NOON, {"predictions": {0: (1, 2)}})
    first, second = make_signal(0, "a"), make_signal(1, "b")
    steps = [
        changed(NOON, first, make_change(onset=onset)),
        changed(NOON + 60 * SECOND, second, make_change(onset=onset)),
        left(NOON + 90 * SECOND, first),
        left(NOON + 95 * SECOND, second),
    ]
    alerts = incidents.observe(steps, NOON + 100 * SECOND)
    assert [alert.type for alert in alerts] == ["opened", "updated", "resolved"]
    return [encode(alert, "streamdrift") for alert in alerts]


def test_every_field_is_told(events: list[Any]) -> None:
    assert table("field") == {name for event in events for name in event}
    data = {name for event in events for name in event["data"]}
    assert table("field of `data`") == data
    signals = [signal for event in events for signal in event["data"]["signals"]]
    told = table("field of a signal")
    assert told == {name for signal in signals for name in signal}
    row = TEXT.partition("| `effect` |")[2].partition("\n")[0]
    assert all(
        f"`{name}`" in row for name in (*signals[0]["effect"], *signals[0]["effect"]["shift"])
    )
    row = TEXT.partition("| `onset` |")[2].partition("\n")[0]
    assert all(f"`{name}`" in row for name in signals[0]["onset"])


def test_labels_and_annotations_are_told() -> None:
    onset = {"earliest": "2026-11-21T11:00:00Z", "latest": "2026-11-21T11:01:00Z"}
    signals = [{"name": "x", "text": "x moved", "onset": onset, "effect": {"size": 0.8}}]
    alert = read_alert(
        make_document(
            signals=signals,
            labels={"owner": "me", "runbook": "https://wiki/x"},
            acknowledged={"by": "Zoë", "note": "release 7"},
            summary="x is back at the reference",
        ),
        NOON,
    )
    assert annotations_of(alert)["acknowledged"] == "by Zoë: release 7"
    assert table("label") - {"info", "warning", "critical"} - {"owner: payments"} >= (
        labels_of(alert).keys() - {"owner"}
    )
    assert table("annotation") == (annotations_of(alert).keys() - {"runbook_url"}) | {"..._url"}


def _loaded(block: str, folder: Path) -> Settings:
    secrets = {
        "streamdrift-webhook": SECRET,
        "pagerduty-url": f"pagerduty://{'a' * 32}@{'b' * 20}",
        "slack-url": f"slack://{'T' * 9}/{'A' * 9}/{'a' * 24}",
    }
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    file = folder / "streamdrift.yaml"
    file.write_text(block.replace("/run/secrets", str(folder)))
    return load_settings(file, environment={})


@pytest.mark.parametrize(
    ("block", "sinks"),
    list(
        zip(
            blocks("yaml"),
            [["alertmanager"], ["webhook"], ["notify.pager", "notify.team"]],
            strict=True,
        )
    ),
)
def test_the_settings_load_and_make_what_they_say(
    block: str, sinks: list[str], tmp_path: Path
) -> None:
    settings = _loaded(block, tmp_path)
    assert [line.sink for line in make_lines(settings, Metrics())] == sinks


def test_a_receiver_tells_what_is_genuine_as_the_example_does() -> None:
    (example,) = blocks("python")
    found: dict[str, Any] = {}
    exec(example, found)
    body, now = make_document(), int(time.time())

    def headers(at: int, key: bytes) -> dict[str, str]:
        signature = "v1,AAAA " + sign(key, "id-1", at, body)
        return {
            "webhook-id": "id-1",
            "webhook-timestamp": str(at),
            "webhook-signature": signature,
        }

    key = key_of(SECRET)
    assert found["is_genuine"](headers(now, key), body, SECRET)
    assert not found["is_genuine"](headers(now, key), body + b" ", SECRET)
    assert not found["is_genuine"](headers(now, b"x" * 32), body, SECRET)
    assert not found["is_genuine"](headers(now - 301, key), body, SECRET)


def test_every_reason_is_told() -> None:
    source = "".join(
        (DOCUMENT.parents[1] / "streamdrift" / "following" / name).read_text()
        for name in ("outbound.py", "firing.py", "lines.py", "follower.py", "receivers.py")
    )
    told = table("reason")
    assert len(told) == 10
    assert all(f'"{reason}"' in source for reason in told)
