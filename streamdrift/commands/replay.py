"""`streamdrift replay`: a file or a topic's history in, alerts out, a summary on stderr."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streamdrift.assembly import make_pipeline
from streamdrift.config import Settings
from streamdrift.errors import InputError
from streamdrift.monitor import Monitor
from streamdrift.records import Alert, Partition
from streamdrift.replay import Tally, history, replay, summarize
from streamdrift.sinks.file import FileSink, StreamSink
from streamdrift.sources import SourceSettings, TopicSettings, start_time
from streamdrift.sources.file import EVENTS_PER_DAY, open_file
from streamdrift.sources.kafka import KafkaSource

_SCHEME = "kafka"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the command line asks for."""

    source: str
    alerts: Path | None
    model: str | None
    events_per_day: float | None
    journal: bool


class TopicRange(NamedTuple):
    """A topic's history, from a start to a time (microseconds) or to its end."""

    topic: str
    start: str
    until: int | None


def parse_topic(source: str) -> TopicRange:
    """Return what `kafka://TOPIC?from=TIME&to=TIME` names.

    Raises InputError where it names nothing that can be read.

    >>> parse_topic("kafka://predictions?to=1970-01-01T00:00:01Z")
    TopicRange(topic='predictions', start='earliest', until=1000000)
    """
    address = urlsplit(source)
    query = dict(parse_qsl(address.query, keep_blank_values=True))
    # A plus sign in a query means a blank, but in a time it is the offset to UTC.
    times = {name: value.replace(" ", "+") for name, value in query.items()}
    unknown = sorted(set(times) - {"from", "to"})
    if not address.netloc or address.path.strip("/") or unknown:
        raise InputError(
            f"{source} names no topic" + (f": unknown {', '.join(unknown)}" if unknown else ""),
            hint="write kafka://TOPIC, kafka://TOPIC?from=TIME or kafka://TOPIC?from=TIME&to=TIME",
        )
    try:
        start = times.get("from", "earliest")
        if start != "earliest":
            start_time(start)
        until = start_time(times["to"]) if "to" in times else None
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    return TopicRange(address.netloc, start, until)


def run_replay(options: ReplayOptions, settings: Settings) -> None:
    """Replay what the options name; raise InputError where it cannot be read."""
    with ExitStack() as stack:
        sink = (
            StreamSink(sys.stdout.buffer, settings.name)
            if options.alerts is None
            else FileSink(options.alerts, settings.name)
        )
        stack.callback(sink.close)
        show = stack.enter_context(_progress(options.source))

        def publish(alerts: Sequence[Alert]) -> None:
            sink.write(alerts)
            sink.flush()

        start = time.perf_counter()
        if options.source.startswith(f"{_SCHEME}://"):
            tally, monitor, remarks = _replay_topic(options, settings, publish, show)
        else:
            tally, monitor, remarks = _replay_file(options, settings, publish, show)
        seconds = time.perf_counter() - start
    for line in [*summarize(tally, monitor, seconds), *remarks]:
        typer.echo(line, err=True)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[Tally], None]]:
    """Show events and alerts on stderr while the block runs, where stderr is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[alerts]} alerts"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None, events=0, alerts=0)
        yield lambda tally: progress.update(task, events=tally.events, alerts=tally.alerts.total())


def _replay_topic(
    options: ReplayOptions,
    settings: Settings,
    publish: Callable[[Sequence[Alert]], None],
    show: Callable[[Tally], None],
) -> tuple[Tally, Monitor, list[str]]:
    for option, given in (("--model", options.model), ("--events-per-day", options.events_per_day)):
        if given is not None:
            raise InputError(
                f"{option} is for files: the events of a topic have their own",
                hint="name a constant model with --set source.mapping.model=...",
            )
    wanted = parse_topic(options.source)
    entry = settings.source.settings_of(wanted.topic)
    named = TopicSettings(
        name=wanted.topic,
        format=entry.format if entry else None,
        mapping=entry.mapping if entry else None,
    )
    source_settings = settings.source.model_copy(
        update={"predictions": (named,), "start": wanted.start}
    )
    settings = settings.model_copy(update={"source": source_settings})
    pipeline = make_pipeline(settings)
    source = KafkaSource(settings.kafka, source_settings)
    try:
        if not source.partitions():
            raise InputError(
                f"the topic {wanted.topic} does not exist at {settings.kafka.bootstrap_servers}",
                hint="`streamdrift check` lists the topics of the settings",
            )
        given = history(source, pipeline, settings.ordering.max_pending, wanted.until)
        return replay(given, pipeline, publish, show), pipeline.monitor, []
    finally:
        source.close()
