"""What all tests share: the log is as new for each; skips are told in one line a reason."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_as_by_default() -> Iterator[None]:
    """Undo what a test's command has set up of the log, which is one for the process."""
    yield
    structlog.reset_defaults()


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
