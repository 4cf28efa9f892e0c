"""The rules as the object that the Prometheus operator takes them from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

OBJECT = (
    Path(__file__)
    .parents[1]
    .joinpath("kubernetes", "components", "prometheus-operator", "prometheusrule.yaml")
)
_HEAD = "# Made from deploy/prometheus by `python -m deploy.prometheus`; do not edit.\n"


def rule_object(rules: Mapping[str, Any]) -> str:
    """Return the rules as a PrometheusRule."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "streamdrift", "labels": {"app.kubernetes.io/name": "streamdrift"}},
        "spec": rules,
    }
    return _HEAD + yaml.safe_dump(made, sort_keys=False, width=100)
