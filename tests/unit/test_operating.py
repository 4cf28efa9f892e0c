"""What operators are told to look at is there."""

import re

from tests.markdown import ROOT

OPERATING = (ROOT / "docs" / "operating.md").read_text()


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"\bdeploy/[\w./]+\w", OPERATING)
    assert len(named) > 5
    assert all((ROOT / name).exists() for name in named)
