"""The Prometheus rules hold what they promise, and the page about them is up to date."""

import subprocess
from pathlib import Path

import pytest

from deploy.prometheus.metrics_page import (
    PAGE,
    RULES,
    gateway_specimen,
    page,
    read_rules,
    specimen,
)
from deploy.prometheus.operator import OBJECT, rule_object
from tests.programs import program


def _promtool(*arguments: str | Path) -> None:
    promtool = program("promtool", "prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_fire_when_they_should_and_not_when_not() -> None:
    _promtool("test", "rules", RULES.with_name("streamdrift.rules.test.yaml"))


@pytest.mark.parametrize(
    "alert", [r["alert"] for g in read_rules()["groups"] for r in g["rules"] if "alert" in r]
)
def test_each_alert_has_a_test(alert: str) -> None:
    tests = RULES.with_name("streamdrift.rules.test.yaml").read_text()
    assert f'alertname="{alert}", alertstate="firing", severity' in tests


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    alerts = [
        rule for group in read_rules()["groups"] for rule in group["rules"] if "alert" in rule
    ]
    assert len(alerts) >= 9
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert all(len(text) > 20 for text in alert["annotations"].values())


def test_the_page_is_up_to_date() -> None:
    made = page(specimen(), gateway_specimen(), read_rules())
    assert PAGE.read_text() == made, "python -m deploy.prometheus"


def test_the_rules_of_the_operator_are_up_to_date() -> None:
    assert OBJECT.read_text() == rule_object(read_rules()), "python -m deploy.prometheus"


def test_the_page_has_every_metric() -> None:
    for registry in (specimen().registry, gateway_specimen().registry):
        assert all(family.samples for family in registry.collect())
