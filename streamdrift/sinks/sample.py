"""A test notification: what an alert is like of which nothing is to be done."""

from typing import Literal

import orjson

from streamdrift.alert_documents import Published, read_alert
from streamdrift.durations import SECOND
from streamdrift.records import Alert
from streamdrift.sinks.cloudevents import encode
from streamdrift.times import rfc3339

Step = Literal["opened", "resolved"]
MODEL, KIND = "streamdrift-test", "test"
"""No stream has this model, and no incident is of this kind."""


def sample(deployment: str, incident: str, now: int, step: Step = "opened") -> Published:
    """Return the opening of a test incident, or its end, as they would be published at `now`.

    `incident` is its id: 32 hexadecimal digits. Its severity is the least there is.
    """
    said = f"a test notification of the deployment {deployment}: nothing has changed"
    is_open = step == "opened"
    data: dict[str, object] = {
        "incident": incident,
        "step": 1 if is_open else 2,
        "severity": "info",
        "kind": KIND,
        "headline": said,
        "model": MODEL,
        "version": "",
        "opened_at": rfc3339(now - SECOND),
        "rule": "alone",
        "together": 1,
        "acknowledged": None,
        "asked": None,
        "expected": None,
        "summary": said if is_open else "the test is over",
        **({} if is_open else {"resolution": "resolved"}),
        "signals": [],
        "signals_left_out": 0,
        "labels": {"test": "true"},
    }
    alert = Alert(
        id=incident if is_open else f"{int(incident, 16) ^ 1:032x}",
        type=step,
        model=MODEL,
        version="",
        time=now - SECOND if is_open else now,
        due=now,
        data=data,
        number=1 if is_open else 2,
    )
    return read_alert(orjson.dumps(encode(alert, deployment)), now)
