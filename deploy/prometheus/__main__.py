"""Makes what follows from the metrics and the rules: docs/metrics.md, and the rules for Kubernetes.

python -m deploy.prometheus
"""

from deploy.prometheus.metrics_page import PAGE, gateway_specimen, page, read_rules, specimen
from deploy.prometheus.operator import OBJECT, rule_object

if __name__ == "__main__":
    PAGE.write_text(page(specimen(), gateway_specimen(), read_rules()), encoding="utf-8")
    OBJECT.write_text(rule_object(read_rules()), encoding="utf-8")
