"""docs/signals.md names all there is, and its figures are those of the detectors."""

import re
import xml.etree.ElementTree as ET

import pytest

from loadtest.signals.changes import CHANGES, DETECTORS, takes
from loadtest.signals.picture import panels, picture
from loadtest.signals.table import cell
from streamdrift.detectors import BANKS
from streamdrift.records import AlertKind, SignalKind
from streamdrift.signals.roles import Role
from tests.markdown import ROOT

PAGE = (ROOT / "docs" / "signals.md").read_text()
PICTURE = (ROOT / "docs" / "signals.svg").read_text()
BY_NAME = {change.name: change for change in CHANGES}


def shown(detector: str) -> list[list[str]]:
    """Return the cells of the lines of tables that are about a detector."""
    lines = (line for line in PAGE.splitlines() if line.startswith(f"| `{detector}` |"))
    return [[each.strip() for each in line.split("|")[2:-1]] for line in lines]


def test_all_signals_are_named() -> None:
    bare = {SignalKind.VALUE: "`x`: the number", SignalKind.RATE: "`x`: how often it is true"}
    for kind in SignalKind:
        assert bare.get(kind, kind.value.replace("_", " ")) in PAGE


def test_all_roles_are_named() -> None:
    known = {role.value for role in Role} - {Role.OVER.value}
    assert known <= set(re.findall(r"`(\w+)`", PAGE))
    assert "`max_columns`" in PAGE


def test_kinds_of_alerts_exist() -> None:
    table = PAGE.split("| signal | made of |")[1].split("\n\n")[0]
    named = {
        kind
        for line in table.splitlines()[2:]
        for kind in re.findall(r"`(\w+)`", line.rsplit("|", 2)[1])
    }
    assert named
    assert named <= {kind.value for kind in AlertKind}


def test_all_detectors_are_in_both_tables() -> None:
    assert DETECTORS.keys() == BANKS.keys() | {"e_detector"}
    assert all(len(shown(detector)) == 2 for detector in DETECTORS)


@pytest.mark.parametrize(
    ("detector", "change"),
    [
        *(("e_detector", change) for change in BY_NAME),
        ("adwin", "level"),
        ("kswin", "level"),
        ("focus", "missing"),
        ("hddm_a", "spread"),
    ],
)
def test_delays_are_measured(detector: str, change: str) -> None:
    place = list(BY_NAME).index(change)
    assert shown(detector)[1][place] == cell(detector, BY_NAME[change], 40)


def test_cells_are_empty_where_a_detector_does_not_take_values() -> None:
    for detector in DETECTORS:
        cells = shown(detector)[1]
        assert [bool(each) for each in cells] == [takes(detector, change) for change in CHANGES]


def test_the_picture_is_that_of_the_detectors() -> None:
    def told(text: str) -> list[str]:
        found = ET.fromstring(text).iter("{http://www.w3.org/2000/svg}tspan")
        return [str(each.text) for each in found]

    assert told(picture(panels())) == told(PICTURE)
    assert len(told(PICTURE)) == 4 * len(CHANGES)
    assert "prefers-color-scheme: dark" in PICTURE
