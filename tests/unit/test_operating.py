"""What operators are told to look at is there."""

import re

from tests.markdown import ROOT

OPERATING = (ROOT / "docs" / "operating.md").read_text()


def test_rights_cover_the_groups_of_the_sinks() -> None:
    assert "`NAME.sink.SINK`" in OPERATING
    assert "--group streamdrift --resource-pattern-type prefixed" in OPERATING


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"\bdeploy/[\w./-]+\w", OPERATING)
    assert len(named) > 5
    assert all((ROOT / name).exists() for name in named)
