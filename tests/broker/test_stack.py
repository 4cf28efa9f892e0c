"""What docker-compose.yml runs, as processes: every rule and every dashboard query has its data.

A standalone deployment runs as the file says, two workers of another beside it, all on the traffic
that the file sends. One test, as there is one stack to look at, and it takes a minute to stand.
"""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka.structs import TopicPartition

from deploy.grafana.__main__ import DASHBOARDS, rendered
from deploy.prometheus.metrics_page import DRIFT_RULES, each_of, read_rules
from streamdrift.demo.injections import DELIVERY, FRAUD
from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.outbox import Outbox
from tests.programs import unavailable
from tests.real_kafka import UnavailableError, free_ports
from tests.stack import Stack

_PATIENCE = 180.0
"""Seconds; where kernels must be compiled first, they take two minutes of it."""
_VARIABLES = {"$__rate_interval": "1m", "$__range": "10m", "$job": ".*", "$model": ".*"}
_VARIABLES |= {"$version": ".*", "$signal": ".*"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        try:
            made.start_kafka()
        except UnavailableError as error:
            unavailable(f"{error} (the tests on Apache Kafka need it)")
        yield made


def test_all_rules_and_dashboards_have_their_data(stack: Stack) -> None:
    *workers, gateway = [f"127.0.0.1:{port}" for port in free_ports(3)]
    stack.start_alertmanager()
    stack.start_prometheus({"ml/streamdrift": workers, "streamdrift-gateway": [gateway]})
    stack.start("gateway", _gateway(stack, gateway))
    own = stack.run("streamdrift")
    for number, address in enumerate(workers):
        stack.start("workers", _worker(stack, number, address))
    stack.wait("streamdrift")
    assert '"exactly once"' in stack.log("streamdrift")
    _expect(stack, DELIVERY)
    _wait_for(lambda: _posted(gateway))
    stack.run("traffic", "--rate", "500", "--cycle", "90s")
    _odd_events(stack)

    _wait_for(lambda: _asked(stack, 'streamdrift_events_total{job="streamdrift"} > 0') or None)
    # Away while retention takes what it has not read.
    own.terminate()
    assert own.wait(40) == 0, stack.log("streamdrift")
    time.sleep(2)
    _delete_what_is_there(stack)
    stack.run("streamdrift")
    stack.wait("streamdrift")

    _expect(stack, "odd")  # of this life, so that it shows in the metrics
    _each_incident_pages_once_and_planned_changes_do_not(stack)
    assert _never_with_data(stack, [*_queries(), *_recorded(), *_series_of_alerts()]) == []
    assert _without_values(stack) == []
    _look_at_the_rules(stack)


def _expect(stack: Stack, model: str) -> None:
    expect = stack.command("streamdrift")
    expect[expect.index("run")] = "expect"
    # Its first event may be still to come, or in no snapshot yet.
    subprocess.run([*expect, model, "--for", "1h", "--new"], check=True, capture_output=True)


def _each_incident_pages_once_and_planned_changes_do_not(stack: Stack) -> None:
    planned = f'streamdrift_incidents_expected{{job="streamdrift", model="{DELIVERY}"}} > 0'
    _wait_for(lambda: _asked(stack, planned) or None)
    alerts = _wait_for(lambda: _told(stack))
    assert "StreamdriftDriftActive" not in {each["labels"]["alertname"] for each in alerts}
    own = [each["labels"] for each in alerts if each["labels"].get("deployment") == "streamdrift"]
    assert {each["model"] for each in own} == {FRAUD}
    # Whoever has Prometheus alone loads one rule more.
    (rule,) = each_of(read_rules(DRIFT_RULES))
    fired = _asked(stack, f"max_over_time(({rule['expr']})[10m:1s])")
    own = [each["metric"] for each in fired if each["metric"]["job"] == "streamdrift"]
    assert {each["model"] for each in own} == {FRAUD}


def _worker(stack: Stack, number: int, address: str) -> list[str]:
    chosen = [
        "name=workers",
        f"instance=worker-{number}",
        "mode=distributed",
        "shards=4",
        "source.predictions=[predictions, odd]",
        "models.odd.deduplicate=true",
        f"http.bind={address}",
    ]
    return stack.command("streamdrift", *(f"--set={each}" for each in chosen))


def _gateway(stack: Stack, address: str) -> list[str]:
    brokers = stack.addresses["kafka:19092"]
    chosen = [f"kafka.bootstrap_servers={brokers}", "gateway.topic=posted"]
    chosen.append(f"gateway.bind={address}")
    return [sys.executable, "-m", "streamdrift", "gateway", *(f"--set={each}" for each in chosen)]


def _posted(address: str) -> bool | None:
    """Post an event; return whether it was taken, None where nobody answers yet."""
    headers = {"specversion": "1.0", "id": "1", "source": "test", "type": "prediction"}
    request = urllib.request.Request(
        f"http://{address}/",
        data=b'{"model": "posted", "features": {"a": 1}}',
        headers={"content-type": "application/json"}
        | {f"ce-{name}": value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 202)
    except urllib.error.URLError:
        return None


def _odd_events(stack: Stack) -> None:
    """Send what becomes dead letters, what is late, and what comes twice."""
    connection = KafkaSettings(bootstrap_servers=stack.addresses["kafka:19092"])
    now = time.time()
    event = {"model": "odd", "version": "1", "features": {"a": 1.5}}
    with closing(Outbox(connection)) as outbox:
        for number in range(60):
            known = {**event, "event_id": f"e-{number % 50}", "timestamp": now + number / 1_000}
            outbox.send("odd", orjson.dumps(known), partition=0)
        outbox.send("odd", orjson.dumps({**event, "timestamp": now - 60}), partition=0)
        for _ in range(10):
            outbox.send("odd", b"no json", partition=0)
        outbox.flush()


def _delete_what_is_there(stack: Stack) -> None:
    admin = make_admin(KafkaSettings(bootstrap_servers=stack.addresses["kafka:19092"]))
    with closing(admin):
        admin.delete_records({TopicPartition("predictions", 0): -1})


def _queries() -> list[str]:
    """Return the queries of all panels, with all that can be chosen chosen."""
    return [
        target["expr"]
        for make in DASHBOARDS.values()
        for panel in json.loads(rendered(make()))["panels"]
        for target in panel.get("targets", [])
    ]


def _recorded() -> list[str]:
    return [
        rule["record"]
        for group in read_rules()["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]


def _series_of_alerts() -> list[str]:
    """Return the series that alerts ask for: most alerts must have no data themselves."""
    alerts = [
        rule["expr"]
        for group in read_rules()["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    named = [re.findall(r"\b(?:job\w*:)?streamdrift_\w+(?::\w+)?|\bup\b", each) for each in alerts]
    assert all(named)
    return sorted({name for names in named for name in names})


def _never_with_data(stack: Stack, expressions: list[str]) -> list[str]:
    """Return the expressions that have no data for as long as one would wait."""
    deadline = time.monotonic() + _PATIENCE
    while expressions and time.monotonic() < deadline:
        expressions = [each for each in expressions if not _has_data(_asked(stack, each))]
        time.sleep(1)
    return expressions


def _has_data(result: list[Mapping[str, Any]]) -> bool:
    return any(series["value"][1] != "NaN" for series in result)


def _without_values(stack: Stack) -> list[str]:
    """Return the variables of the dashboards that offer nothing to choose."""
    empty = []
    for make in DASHBOARDS.values():
        for variable in json.loads(rendered(make()))["templating"]["list"]:
            if variable["type"] != "query":
                continue
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
            if not any(label in each["metric"] for each in _asked(stack, series)):
                empty.append(variable["query"])
    return empty


def _look_at_the_rules(stack: Stack) -> None:
    """All rules are evaluated without an error, and texts for people have their values."""
    groups = _get(f"http://{stack.addresses['prometheus:9090']}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == sum(len(group["rules"]) for group in read_rules()["groups"])
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    for rule in rules:
        for alert in rule.get("alerts", []):
            for text in alert["annotations"].values():
                assert "{{" not in text
                assert "<no value>" not in text
                assert "error" not in text


def _asked(stack: Stack, expression: str) -> list[Mapping[str, Any]]:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    query = urllib.parse.urlencode({"query": expression})
    found = _get(f"http://{stack.addresses['prometheus:9090']}/api/v1/query?{query}")
    result: list[Mapping[str, Any]] = found["data"]["result"]
    return result


def _told(stack: Stack) -> list[Mapping[str, Any]] | None:
    """Return the alerts that Alertmanager has, once drift is among them: that of one model."""
    address = stack.addresses["alertmanager:9093"]
    alerts: list[Mapping[str, Any]] = _get(f"http://{address}/api/v2/alerts")
    drift = {"alertname": "StreamdriftIncident", "deployment": "streamdrift", "model": FRAUD}
    return alerts if any(drift.items() <= each["labels"].items() for each in alerts) else None


def _get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def _wait_for(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE
    while (result := found()) is None:
        if time.monotonic() > deadline:
            pytest.fail("it did not come in time")
        time.sleep(1)
    return result
