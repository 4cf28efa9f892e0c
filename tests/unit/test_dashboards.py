"""The dashboards' JSON is what the code makes, and names only what there is."""

import json
import re
from typing import Any

import pytest

from deploy.grafana.__main__ import DASHBOARDS, FOLDER, rendered
from deploy.prometheus.metrics_page import gateway_specimen, read_rules, specimen
from streamdrift.prometheus.families import FAMILIES

BOARDS = {name: json.loads(rendered(make())) for name, make in DASHBOARDS.items()}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_file_is_up_to_date(name: str) -> None:
    committed = (FOLDER / f"{name}.json").read_text()
    assert committed == rendered(DASHBOARDS[name]()), "python -m deploy.grafana"


def test_nothing_else_is_provisioned() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(DASHBOARDS)
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("panel", PANELS)
def test_panels_say_what_they_show(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 15
    assert panel["targets"]
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS)
def test_queries_name_metrics_and_variables_that_exist(panel: dict[str, Any]) -> None:
    variables = {v["name"] for board in BOARDS.values() for v in board["templating"]["list"]}
    for target in panel["targets"]:
        named = set(re.findall(r"\b(?:job\w*:)?streamdrift_[a-z_]+(?::\w+)?", target["expr"]))
        assert named <= _series() or "process_" in target["expr"], target["expr"]
        used = set(re.findall(r"\$(\w+)", target["expr"]))
        assert used <= variables | {"__rate_interval", "__range"}


def test_that_a_sink_fails_is_seen() -> None:
    asked = json.dumps(BOARDS["service"])
    assert "streamdrift_sink_working" in asked
    assert "streamdrift_alertmanager_working" in asked


def _series() -> set[str]:
    families = [*specimen().registry.collect(), *gateway_specimen().registry.collect()]
    sampled = {sample.name for family in families for sample in family.samples}
    recorded = (
        rule.get("record", "") for group in read_rules()["groups"] for rule in group["rules"]
    )
    return sampled | {family.name for family in FAMILIES} | set(recorded)
