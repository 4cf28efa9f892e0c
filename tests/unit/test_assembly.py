from typing import Any

import pytest

from streamdrift.config import Settings
from streamdrift.kafka.topics import Right
from streamdrift.serving.assembly import fingerprint, topic_needs


def _changed(**values: Any) -> dict[str, str]:
    """Return what of the fingerprint other settings change."""
    plain = fingerprint(Settings.model_validate({"models": {"fraud": {}}}))
    other = fingerprint(Settings.model_validate({"models": {"fraud": {}}} | values))
    return {
        key: other.get(key, "gone") for key in {*plain, *other} if plain.get(key) != other.get(key)
    }


@pytest.mark.parametrize(
    "values",
    [
        {"models": {"fraud": {"labels": {"owner": "me"}}}},
        {"models": {"fraud": {"ignore": ["x"], "detectors": []}}},
        {"models": {"*": {"reference": {"events": 500}}, "newcomer": {"roles": {"x": "text"}}}},
        {"models": {"*": {"silence": {"enabled": False}}, "fraud": {}, "other": {}}},
        {"commit_interval": "5s"},
        {"alerts": {"stdout": True}},
    ],
)
def test_what_does_not_decide_how_input_is_read_may_change(values: dict[str, Any]) -> None:
    assert _changed(**values) == {}


@pytest.mark.parametrize(
    ("values", "key", "text"),
    [
        ({"source": {"mapping": {"features": "/x"}}}, "source.mapping", '{"features": "/x"}'),
        (
            {"source": {"predictions": [{"name": "a", "mapping": {"features": "/x"}}]}},
            "source.predictions.a",
            '{"mapping": {"features": "/x"}}',
        ),
    ],
)
def test_how_input_is_read_is_named_where_it_changes(
    values: dict[str, Any], key: str, text: str
) -> None:
    assert _changed(**values)[key] == text


def test_topics_are_named_after_the_deployment() -> None:
    needs = {need.purpose: need for need in topic_needs(Settings.model_validate({"name": "mine"}))}
    assert needs["alerts"].name == "mine.alerts"
    assert needs["incidents"].name == "mine.incidents"
    assert needs["incidents"].configs["cleanup.policy"] == "compact"
    assert needs["state"].configs["cleanup.policy"] == "compact"


def test_who_is_told_of_every_alert_reads_the_alerts() -> None:
    def rights(alerts: dict[str, Any]) -> tuple[Right, ...]:
        needs = topic_needs(Settings.model_validate({"alerts": alerts}))
        return next(need.rights for need in needs if need.purpose == "alerts")

    assert rights({}) == (Right.WRITE,)
    assert rights({"alertmanager": {"url": "http://host"}}) == (Right.WRITE,)
    assert rights({"webhook": {"url": "http://host"}}) == (Right.READ, Right.WRITE)
    assert rights({"notify": [{"url": "json://host"}]}) == (Right.READ, Right.WRITE)
