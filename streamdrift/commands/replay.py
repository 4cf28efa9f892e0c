"""`streamdrift replay`: a file or a topic's history in, alerts out, a summary on stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import typer

from streamdrift.commands.history import History, Replayed, put_through, result_file
from streamdrift.config import Settings
from streamdrift.errors import OutputError
from streamdrift.history.extents import Extents
from streamdrift.history.incident_log import IncidentLog
from streamdrift.pipeline import Pipeline
from streamdrift.plain import plain
from streamdrift.records import Alert
from streamdrift.reporting.page import render
from streamdrift.reporting.recorder import Recorder
from streamdrift.reporting.report import make_report
from streamdrift.serving.assembly import make_pipeline
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
    report: Path | None = None

    def history(self) -> History:
        """Return what is to be replayed."""
        return History(self.source, self.model, self.events_per_day, self.journal)


def run_replay(options: ReplayOptions, settings: Settings) -> None:
    """Replay what the options name.

    Raises InputError where it cannot be read, and OutputError where a result cannot be written.
    """
    with _output(options, settings.name) as sink, _report(options) as report:

        def publish(alerts: Sequence[Alert]) -> None:
            sink.write(alerts)
            sink.flush()
            if report is not None:
                report.log.add(alerts)

        make = make_pipeline if report is None else report.make_pipeline
        replayed = put_through(options.history(), settings, publish, make)
        if report is not None:
            report.write(replayed, settings)
    for line in replayed.summary(settings):
        typer.echo(plain(line), err=True)


@dataclass(slots=True)
class _Report:
    """What is kept for the report while the replay runs, and where it goes."""

    options: ReplayOptions
    stream: BinaryIO
    log: IncidentLog
    extents: Extents
    recorder: Recorder
    timed: bool = True

    def make_pipeline(self, settings: Settings, *, timed: bool = True) -> Pipeline:
        """Return a pipeline at which the recorder looks on."""
        self.timed = timed
        return make_pipeline(settings, timed=timed, beside=[self.extents], onlooker=self.recorder)

    def write(self, replayed: Replayed, settings: Settings) -> None:
        """Write the page; raise OutputError where that cannot be done."""
        self.recorder.finish(replayed.monitor)
        report = make_report(
            _title(self.options.source),
            self.recorder,
            self.log.incidents(),
            self.extents.versions,
            replayed.monitor,
            replayed.summary(settings, timed=False),
            timed=self.timed,
        )
        try:
            self.stream.write(render(report))
        except OSError as error:
            raise OutputError(
                f"{self.options.report} cannot be written: {error.strerror or error}",
                hint="check that the place exists, is writable and has space",
            ) from error


def _title(source: str) -> str:
    """Return what people call a history: the name of a file, wherever that lies."""
    if source == "-":
        return "standard input"
    return source if source.startswith("kafka://") else Path(source).name


@contextmanager
def _report(options: ReplayOptions) -> Iterator[_Report | None]:
    """Open where the report goes, if anywhere: written anew where the replay succeeds."""
    if options.report is None:
        yield None
        return
    inputs = {Path(options.source): "the file that is replayed"}
    if options.alerts is not None:
        inputs[options.alerts] = "where the alerts go"
    with result_file(options.report, "--report", inputs) as stream:
        yield _Report(options, stream, IncidentLog(), Extents(), Recorder())


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
