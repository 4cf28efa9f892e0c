"""Alerts as people read them, a line each: for a terminal."""

from collections.abc import Sequence
from typing import TextIO

from streamdrift.plain import plain
from streamdrift.records import Alert
from streamdrift.times import date_of


class TerminalSink:
    """Writes when each alert was due, what became of its incident, how grave it is, and why."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, alerts: Sequence[Alert]) -> None:
        """Write a line for each alert."""
        for alert in alerts:
            time = f"{date_of(alert.time):%Y-%m-%d %H:%M:%S}"
            severity, summary = alert.data["severity"], plain(str(alert.data["summary"]))
            self._stream.write(f"{time} {alert.type:8} {severity:8} {summary}\n")

    def flush(self) -> None:
        """Show what was written."""
        self._stream.flush()
