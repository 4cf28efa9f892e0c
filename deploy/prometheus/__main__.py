"""Makes what follows from the metrics and the rules: docs/metrics.md, and the rules for Kubernetes.

python -m deploy.prometheus
"""

from deploy.prometheus.metrics_page import (
    DRIFT_RULES,
    PAGE,
    gateway_specimen,
    page,
    read_rules,
    specimen,
)
from deploy.prometheus.operator import DRIFT_OBJECT, OBJECT, rule_object

if __name__ == "__main__":
    rules, drift = read_rules(), read_rules(DRIFT_RULES)
    PAGE.write_text(page(specimen(), gateway_specimen(), rules, drift), encoding="utf-8")
    OBJECT.write_text(rule_object("streamdrift", rules), encoding="utf-8")
    DRIFT_OBJECT.write_text(rule_object("streamdrift-drift", drift), encoding="utf-8")
