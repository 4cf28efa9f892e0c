"""The rules as the object that the Prometheus operator takes them from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_COMPONENTS = Path(__file__).parents[1] / "kubernetes" / "components"
OBJECT = _COMPONENTS / "prometheus-operator" / "prometheusrule.yaml"
DRIFT_OBJECT = _COMPONENTS / "drift-rule" / "prometheusrule.yaml"
_HEAD = "# Made from deploy/prometheus by `python -m deploy.prometheus`; do not edit.\n"


def rule_object(name: str, rules: Mapping[str, Any]) -> str:
    """Return rules as a PrometheusRule of that name."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "streamdrift"}},
        "spec": rules,
    }
    return _HEAD + yaml.safe_dump(made, sort_keys=False, width=100)
