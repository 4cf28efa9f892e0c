"""Alerts on the wire: the attributes CloudEvents 1.0 demands."""

import json

import orjson

from streamdrift.sinks.cloudevents import encode
from tests.alerts import make_alert


def test_an_alert_is_a_cloud_event() -> None:
    assert encode(make_alert(1), "streamdrift") == {
        "specversion": "1.0",
        "id": "0" * 31 + "1",
        "source": "streamdrift",
        "type": "io.streamdrift.incident.opened.v1",
        "time": "2026-11-21T12:00:00.000001Z",
        "datacontenttype": "application/json",
        "subject": "fraud/3",
        "partitionkey": "fraud",
        "sequence": "000000000000",
        "data": {"summary": "amount of fraud/3 changed", "incident": "a" * 32},
    }


def test_what_belongs_to_no_version_names_the_model_alone() -> None:
    assert encode(make_alert(version=""), "streamdrift")["subject"] == "fraud"


def test_empty_attributes_are_left_out() -> None:
    event = encode(make_alert(model="", version=""), "streamdrift")
    assert not {"subject", "partitionkey"} & event.keys()
    assert all(event.values())


def test_any_text_survives() -> None:
    alert = make_alert(model="modèle \u2028 ☂", data={"summary": '"\n\U0001f600'})
    line = orjson.dumps(encode(alert, "streamdrift"))
    assert json.loads(line)["data"] == {"summary": '"\n\U0001f600'}
