"""The code is laid out as CONTRIBUTING.md says."""

import re

import pytest

from tests.markdown import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:streamdrift|deploy|tests)/\S+)`", PAGE)))


def test_modules_are_as_short_as_is_promised() -> None:
    (limit,) = map(int, re.findall(r"Modules stay under (\d+) lines", PAGE))
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for folder in ("streamdrift", "deploy", "loadtest")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines >= limit} == {}


@pytest.mark.parametrize("place", NAMED)
def test_what_is_named_is_there(place: str) -> None:
    assert (ROOT / place).exists()
