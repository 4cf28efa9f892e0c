"""docs/metrics.md, from the metrics' declarations and the Prometheus rules."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Metric

from streamdrift.incidents.budget import Budget
from streamdrift.metrics import Metrics
from streamdrift.realised import RealisedRate
from streamdrift.records import (
    Alert,
    AlertKind,
    Partition,
    Signal,
    SignalFinding,
    SignalKind,
    SignalReading,
    WarmUp,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "streamdrift.rules.yaml"

_HEAD = """\
# Metrics, recording rules and alerts

Made by `python -m deploy.prometheus`; do not edit.

`http://127.0.0.1:8410/metrics` (`http.bind`) has these. On Linux those of the process are with them
(`process_resident_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`, ...).
"""
_RULES = """\
`deploy/prometheus/streamdrift.rules.yaml` is loaded as it is (`rule_files`). All workers of a
deployment should be one job, with `streamdrift` in its name; labels of your own stay.
"""


def page(metrics: Metrics, rules: Mapping[str, Any]) -> str:
    """Return the page; `metrics` must have a sample of every family, which shows its labels."""
    every = [rule for group in rules["groups"] for rule in group["rules"]]
    recorded = [rule for rule in every if "record" in rule]
    alerts = [rule for rule in every if "alert" in rule]
    return "\n".join(
        [
            _HEAD,
            *_table(("metric", "type", "what it is"), _metrics(metrics)),
            "\n## Recording rules\n",
            _RULES,
            *_table(("series", "from"), _recorded(recorded)),
            "\n## Alerts\n",
            *_table(("alert", "severity", "after", "when"), _alerts(alerts)),
            "\n## What to do",
            *(line for rule in alerts for line in _runbook(rule)),
            "",
        ]
    )


def _metrics(metrics: Metrics) -> Iterator[Sequence[str]]:
    for family in sorted(metrics.registry.collect(), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = _labels(family)
        yield (f"`{name}{labels}`", family.type, family.documentation)


def _labels(family: Metric) -> str:
    names = [name for name in family.samples[0].labels if name != "le"]
    return f"{{{','.join(names)}}}" if names else ""


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
    """Return metrics that were told of everything once: every family has a sample."""
    metrics = Metrics()
    metrics.read("predictions", 1, 1)
    metrics.dead_letter("invalid_json")
    metrics.skipped("predictions", "lost", 1)
    metrics.spent("observe", 0.1)
    metrics.published([Alert("a", "opened", "fraud", "3", 0, 0, {})], 0)
    metrics.commanded("accept")
    metrics.committed(0.1)
    metrics.lagging("input", {Partition("predictions", 0): 1})
    metrics.displaced({"late": 1})
    metrics.assigned("ingest", 1)
    signal = Signal(0, "amount", None, SignalKind.VALUE, AlertKind.DATA_DRIFT)
    metrics.watched(
        [SignalReading("fraud", "3", signal, "e_detector", 1.0, 2.0, changed=False)],
        0,
        [WarmUp("fraud", "3", 1, 2, False)],
        {("fraud", "3"): 1},
        0,
        {"fraud": 1},
        [RealisedRate("fraud", Budget.parse("2/week"), 1, 1, 0, 1)],
        [SignalFinding("fraud", "3", "amount", "cycle")],
    )
    return metrics


def read_rules() -> Mapping[str, Any]:
    """Return the rules as Prometheus loads them."""
    rules: Mapping[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return rules
