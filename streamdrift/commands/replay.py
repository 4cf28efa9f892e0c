"""`streamdrift replay`: a file or a topic's history in, alerts out, a summary on stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from streamdrift.commands.history import History, put_through, result_file
from streamdrift.config import Settings
from streamdrift.records import Alert
from streamdrift.sinks.file import StreamSink
from streamdrift.sinks.terminal import TerminalSink


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the command line asks for."""

    source: str
    alerts: Path | None
    model: str | None
    events_per_day: float | None
    journal: bool

    def history(self) -> History:
        """Return what is to be replayed."""
        return History(self.source, self.model, self.events_per_day, self.journal)


def run_replay(options: ReplayOptions, settings: Settings) -> None:
    """Replay what the options name; raise InputError where it cannot be read."""
    with _output(options, settings.name) as sink:

        def publish(alerts: Sequence[Alert]) -> None:
            sink.write(alerts)
            sink.flush()

        replayed = put_through(options.history(), settings, publish)
    for line in replayed.summary(settings):
        typer.echo(line, err=True)


@contextmanager
def _output(options: ReplayOptions, deployment: str) -> Iterator[StreamSink | TerminalSink]:
    """Open where alerts go: a file, written anew where the replay succeeds, or stdout."""
    if options.alerts is None:
        terminal = sys.stdout.isatty()
        yield TerminalSink(sys.stdout) if terminal else StreamSink(sys.stdout.buffer, deployment)
        return
    inputs = {Path(options.source): "the file that is replayed"}
    with result_file(options.alerts, "--alerts", inputs) as stream:
        yield StreamSink(stream, deployment)
