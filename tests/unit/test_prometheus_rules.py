"""The Prometheus rules hold what they promise, and the page about them is up to date."""

import subprocess
from pathlib import Path

import pytest

from deploy.prometheus.metrics_page import (
    DRIFT_RULES,
    PAGE,
    RULES,
    each_of,
    gateway_specimen,
    page,
    read_rules,
    specimen,
)
from deploy.prometheus.operator import DRIFT_OBJECT, OBJECT, rule_object
from tests.programs import program

ALERTS = [
    rule for file in (RULES, DRIFT_RULES) for rule in each_of(read_rules(file)) if "alert" in rule
]


def _promtool(*arguments: str | Path) -> None:
    promtool = program("promtool", "prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_fire_when_they_should_and_not_when_not() -> None:
    _promtool("test", "rules", RULES.with_name("streamdrift.rules.test.yaml"))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_each_alert_has_a_test(alert: str) -> None:
    tests = RULES.with_name("streamdrift.rules.test.yaml").read_text()
    assert f'alertname="{alert}", alertstate="firing", severity' in tests


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    assert len(ALERTS) >= 9
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert all(len(text) > 20 for text in alert["annotations"].values())


def test_the_page_is_up_to_date() -> None:
    made = page(specimen(), gateway_specimen(), read_rules(), read_rules(DRIFT_RULES))
    assert PAGE.read_text() == made, "python -m deploy.prometheus"


def test_the_rules_of_the_operator_are_up_to_date() -> None:
    made = rule_object("streamdrift", read_rules())
    assert OBJECT.read_text() == made, "python -m deploy.prometheus"
    made = rule_object("streamdrift-drift", read_rules(DRIFT_RULES))
    assert DRIFT_OBJECT.read_text() == made, "python -m deploy.prometheus"


def test_the_page_has_every_metric() -> None:
    for registry in (specimen().registry, gateway_specimen().registry):
        assert all(family.samples for family in registry.collect())
