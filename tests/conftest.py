"""What all tests share: what was skipped is said in one line a reason."""

import os
from collections import Counter
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped and why, also in the file that `.ci/checks` names."""
    # A skip's report holds the file, the line and the reason.
    reasons = Counter(
        report.longrepr[-1].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
    )
    lines = [f"{count} skipped: {reason}" for reason, count in reasons.most_common()]
    for line in lines:
        terminalreporter.write_line(line, yellow=True)
    if file := os.environ.get("CHECKS_REMARK"):
        Path(file).write_text("; ".join(lines), encoding="utf-8")
