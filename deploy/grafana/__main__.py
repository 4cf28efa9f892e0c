"""Writes the dashboards' JSON, which Grafana loads as deploy/grafana/provisioning says.

python -m deploy.grafana
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.models import models
from deploy.grafana.service import service

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS: Mapping[str, Callable[[], Dashboard]] = {"service": service, "models": models}


def rendered(dashboard: Dashboard) -> str:
    """Return a dashboard as Grafana reads it; each panel has an id of its own."""
    made = dashboard.build()
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=1).encode(made) + "\n"


if __name__ == "__main__":
    for name, make in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(rendered(make()), encoding="utf-8")
