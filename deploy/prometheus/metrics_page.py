"""docs/metrics.md, from the metrics' declarations and the Prometheus rules."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from streamdrift.gateway.metrics import GatewayMetrics
from streamdrift.prometheus.families import Family
from streamdrift.prometheus.metrics import Metrics, registered
from streamdrift.records import Alert

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "streamdrift.rules.yaml"
DRIFT_RULES = RULES.with_name("streamdrift.drift.rules.yaml")
"""For where Prometheus alone tells people of drift."""

_HEAD = """\
# Metrics, recording rules and alerts

Made by `python -m deploy.prometheus`; do not edit.

`http://127.0.0.1:8410/metrics` (`http.bind`) has these. On Linux those of the process are with them
(`process_resident_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`, ...).
"""
_GATEWAY = """
## The gateway

[`streamdrift gateway`](formats.md#the-gateway) has these at its own `/metrics` (`gateway.bind`). It
is a job of its own, with `streamdrift` in its name too.
"""
_RULES = """\
`deploy/prometheus/streamdrift.rules.yaml` is loaded as it is (`rule_files`). All workers of a
deployment should be one job, with `streamdrift` in its name; labels of your own stay.
"""
_DRIFT = """
`deploy/prometheus/streamdrift.drift.rules.yaml` has one more, for where Prometheus alone tells
people of drift. Where streamdrift does that itself ([alerts](alerts.md)) do not load it: each
incident would page twice.
"""


def page(
    metrics: Metrics,
    gateway: GatewayMetrics,
    rules: Mapping[str, Any],
    drift: Mapping[str, Any],
) -> str:
    """Return the page; in the registries each metric must have a sample, which shows its labels."""
    recorded = [rule for rule in each_of(rules) if "record" in rule]
    alerts = [rule for rule in each_of(rules) if "alert" in rule]
    of_drift = each_of(drift)
    return "\n".join(
        [
            _HEAD,
            *_table(("metric", "type", "what it is"), _metrics(metrics.declared())),
            _GATEWAY,
            *_table(
                ("metric", "type", "what it is"),
                _metrics(sorted(registered(gateway.registry), key=attrgetter("name"))),
            ),
            "\n## Recording rules\n",
            _RULES,
            *_table(("series", "from"), _recorded(recorded)),
            "\n## Alerts\n",
            *_table(("alert", "severity", "after", "when"), _alerts(alerts)),
            _DRIFT,
            *_table(("alert", "severity", "after", "when"), _alerts(of_drift)),
            "\n## What to do",
            *(line for rule in (*alerts, *of_drift) for line in _runbook(rule)),
            "",
        ]
    )


def _metrics(families: Iterable[Family]) -> Iterator[Sequence[str]]:
    for family in families:
        labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
        yield (f"`{family.name}{labels}`", family.kind, family.about)


def _recorded(rules: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for rule in rules:
        yield (f"`{rule['record']}`", f"`{' '.join(rule['expr'].split())}`")


def _alerts(rules: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for rule in rules:
        text = " ".join(rule["expr"].split())
        severity = rule["labels"]["severity"]
        yield (f"`{rule['alert']}`", severity, rule.get("for", "at once"), f"`{text}`")


def _runbook(rule: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {rule['alert']}\n"
    yield rule["annotations"]["runbook"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def specimen() -> Metrics:
    """Return metrics of which each in the registry has a sample."""
    metrics = Metrics()
    metrics.read("predictions", 1, 1)
    metrics.dead_letter("invalid_json")
    metrics.skipped("predictions", "lost", 1)
    metrics.spent("observe", 0.1)
    metrics.published([Alert("a", "opened", "fraud", "3", 0, 0, {})], 0)
    metrics.commanded("accept")
    metrics.committed(0.1)
    metrics.assigned("ingest", 1)
    metrics.sink_delivered("webhook", 1)
    metrics.sink_failed("webhook")
    metrics.sink_working("webhook", False)
    metrics.alertmanager_working("http://alertmanager:9093", True)
    metrics.sink_passed_over("webhook", "expected")
    metrics.sink_behind("webhook", 1, 0)
    return metrics


def gateway_specimen() -> GatewayMetrics:
    """Return those of a gateway, of which each has a sample."""
    metrics = GatewayMetrics()
    metrics.answered(202)
    return metrics


def read_rules(file: Path = RULES) -> Mapping[str, Any]:
    """Return the rules of a file as Prometheus loads them."""
    rules: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return rules


def each_of(rules: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rules of all groups of a file."""
    return [rule for group in rules["groups"] for rule in group["rules"]]
