"""History as the commands take it: a file, stdin or a topic, put through a pipeline."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from streamdrift.commands.compile import saying_compiled
from streamdrift.config import Settings
from streamdrift.decoders import Decoder, make_decoder
from streamdrift.errors import InputError
from streamdrift.history.replay import Publish, Tally, history, replay
from streamdrift.history.summary import clock_lines, summarize
from streamdrift.history.time_order import Sorting, in_time_order, plausible
from streamdrift.monitoring.sharded import Shards
from streamdrift.pipeline import Pipeline
from streamdrift.records import Partition
from streamdrift.serving.assembly import make_pipeline
from streamdrift.serving.compiling import timing_compiled
from streamdrift.sinks.file import written_anew
from streamdrift.sources import SourceSettings, TopicSettings, start_time
from streamdrift.sources.file import EVENTS_PER_DAY, FileSource, open_file
from streamdrift.sources.kafka import KafkaSource
from streamdrift.sources.layout import Layout
from streamdrift.state.journal import Journaled, read_journal
from streamdrift.state.kafka import KafkaLog
from streamdrift.times import rfc3339

_FAR = 1 << 60
"""A time (us) after any record."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class History:
    """What the command line says of the history."""

    source: str
    """A file, `-` for JSON Lines on stdin, or kafka://TOPIC[?from=TIME&to=TIME]."""
    model: str | None = None
    events_per_day: float | None = None
    journal: bool = False


class MakePipeline(Protocol):
    """Makes the pipeline; `timed` is False where event times are made up."""

    def __call__(self, settings: Settings, /, *, timed: bool = True) -> Pipeline:
        """Return a pipeline without state."""


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


class Replayed(NamedTuple):
    """What came of a history."""

    tally: Tally
    monitor: Shards
    remarks: tuple[str, ...]
    """What else the summary must say."""
    seconds: float
    """How long it took, without the compiling of kernels, which is once on a machine."""

    def summary(self, settings: Settings, *, timed: bool = True) -> list[str]:
        """Return the lines for stderr; where they are not `timed`, the same for the same input."""
        seconds = self.seconds if timed else None
        return [*summarize(self.tally, self.monitor, settings.model, seconds), *self.remarks]


def put_through(
    given: History, settings: Settings, publish: Publish, make: MakePipeline = make_pipeline
) -> Replayed:
    """Put a history through the pipeline of `make`; raise InputError where it cannot be read."""
    of_topic = given.source.startswith("kafka://")
    put = _replay_topic if of_topic else _replay_file
    start = time.perf_counter()
    with saying_compiled(), timing_compiled() as compiled:
        tally, monitor, remarks = put(given, settings, publish, make)
        seconds = time.perf_counter() - start - compiled()
    return Replayed(tally, monitor, tuple(remarks), seconds)


@contextmanager
def result_file(path: Path, option: str, inputs: Mapping[Path, str]) -> Iterator[BinaryIO]:
    """Open the file of a result, written anew where the block succeeds.

    Raises InputError where it is one of the `inputs`, given with what each is, and OutputError
    where it cannot be written.
    """
    for other, what in inputs.items():
        if path.resolve() == other.resolve() or (
            other.exists() and path.exists() and other.samefile(path)
        ):
            raise InputError(
                f"{option} {path} is {what}",
                hint="name another file: the result would take its place",
            )
    with written_anew(path) as stream:
        yield stream


_Put = tuple[Tally, Shards, list[str]]


def _replay_file(
    options: History, settings: Settings, publish: Publish, make: MakePipeline
) -> _Put:
    if options.journal:
        raise InputError("--journal is for topics: a file has one partition and no verdicts")
    spacing = options.events_per_day or EVENTS_PER_DAY
    given = settings.source.mapping
    file = open_file(options.source, model=options.model, events_per_day=spacing, mapping=given)
    decoder = _decoder_of_rows(options, settings, file)
    pipeline = make(settings, timed=file.layout.time is not None)
    # A table may be anyhow; a stream is taken as it came, as the service would.
    pipeline.ordering.assign([file.partition], believed=file.table)
    parts = (plausible(messages, decoder.decode(messages)) for messages in file)
    sorting = Sorting()
    decoded = in_time_order(parts, sorting) if file.table else parts
    with _progress(options.source, lambda: (file.progress.done, file.progress.total)) as show:
        tally = replay(decoded, pipeline, publish, show)
    if not tally.events:
        raise _unusable(options.source, tally, _ADVICE)
    remarks = _remarks_on_time(file.layout, spacing)
    if sorting.late:
        remarks.append(
            f"{sorting.late:,} of {sorting.events:,} rows are older than one before them: all were "
            "sorted by time, and offsets count them as sorted"
        )
    hint = "sort the file by time, and replay it again"
    remarks += clock_lines(pipeline.ordering.counts(), hint)
    return tally, pipeline.monitor, remarks


def _decoder_of_rows(options: History, settings: Settings, file: FileSource) -> Decoder:
    """Return what reads a file's rows: in the format of the settings, where rows can have it."""
    source = settings.source
    if file.table or source.format not in _FORMATS_OF_ROWS:
        return make_decoder("json", file.layout.mapping)
    named = {} if options.model is None else {"model": {"constant": options.model}}
    return make_decoder(source.format, {**named, **source.mapping})


_FORMATS_OF_ROWS = frozenset({"flat", "mlflow", "v2", "debezium"})
"""Formats, beside the default, whose messages are JSON and need no headers."""
_ADVICE = {
    "invalid_json": "write one JSON object a line; a table must end in .csv or .parquet",
    "invalid_time": "write times as 2026-01-31T12:00:00Z or as seconds since 1970, or do without "
    "them with --set source.mapping.time=null",
    "too_large": "write one event a line, and features instead of documents",
}
"""What to do where no event of a file could be used, by the commonest reason."""


def _unusable(source: str, tally: Tally, advice: Mapping[str, str]) -> InputError:
    message = f"{source} has no event that can be used"
    if not tally.dead_letters:
        return InputError(message, hint="its rows are empty arrays: check what wrote them")
    ((reason, _),) = tally.dead_letters.most_common(1)
    first = "".join(f"\nthe first {line}" for line in tally.first_of_each())
    otherwise = "say where an event's parts stand, as with --set source.mapping.features=/inputs"
    return InputError(f"{message}: {tally.reasons()}{first}", hint=advice.get(reason, otherwise))


def _remarks_on_time(layout: Layout, spacing: float) -> list[str]:
    remarks = [
        f"the column {name} is not taken as the time, as it holds none (RFC 3339, or a number "
        "since the epoch, from 2000 on)"
        for name in layout.passed_over
    ]
    if layout.time is not None:
        return [*remarks, f"the time of the events is {layout.time}"]
    made_up = (
        f"the rows have no time: they are taken as {spacing:,.0f} events a day "
        "(--events-per-day), and neither silence nor the event rate is watched"
    )
    return [*remarks, made_up]


def _replay_topic(
    options: History, settings: Settings, publish: Publish, make: MakePipeline
) -> _Put:
    for option, value in (("--model", options.model), ("--events-per-day", options.events_per_day)):
        if value is not None:
            raise InputError(
                f"{option} is for files: the events of a topic have their own",
                hint="give them a constant model with --set source.mapping.model={constant: NAME}",
            )
    wanted = parse_topic(options.source)
    entry = settings.source.settings_of(wanted.topic)
    named = TopicSettings(
        name=wanted.topic,
        format=entry.format if entry else None,
        mapping=entry.mapping if entry else None,
    )
    changed = {"predictions": (named,), "start": wanted.start}
    source_settings = settings.source.model_copy(update=changed)
    settings = settings.model_copy(update={"source": source_settings})
    pipeline = make(settings)
    if options.journal:
        known = _journaled(settings)
        floors = [each for each in known.floors if each.partition.topic == wanted.topic]
        pipeline.ordering.foresee(floors)
        pipeline.foresee(known.commands)
    source = KafkaSource(settings.kafka, source_settings)
    try:
        if not source.partitions():
            raise InputError(
                f"the topic {wanted.topic} does not exist at {settings.kafka.bootstrap_servers}",
                hint="`streamdrift check` lists the topics of the settings",
            )
        given = history(source, pipeline, settings.ordering.max_pending, wanted.until)
        with _progress(options.source, _read_of(source)) as show:
            tally = replay(given, pipeline, publish, show)
        tally.notices += source.notices()
        if not (tally.events or tally.dead_letters or tally.tombstones) and (
            wanted.start != "earliest" or wanted.until is not None
        ):
            raise _nothing_between(options.source, settings, source)
        if not tally.events and tally.dead_letters:
            raise _unusable(options.source, tally, {})
        hint = "their producers' clocks differ, or they were held up"
        remarks = clock_lines(pipeline.ordering.counts(), hint)
        return tally, pipeline.monitor, remarks
    finally:
        source.close()


def _nothing_between(name: str, settings: Settings, source: KafkaSource) -> InputError:
    """Return what to say where no record lies in the range that was asked for."""
    ends = {key: max(0, end - 1) for key, end in source.offsets_at(_FAR).items()}
    earliest = settings.source.model_copy(update={"start": "earliest"})
    times = [*_first_times(settings, earliest, {}), *_first_times(settings, earliest, ends)]
    if not times:
        return InputError(f"{name}: the topic holds no records", hint="check that it is the one")
    return InputError(
        f"{name}: no record lies in this range: the topic's records are of {rfc3339(min(times))} "
        f"to {rfc3339(max(times))}",
        hint="from and to are times of the Kafka records, not of the events in them",
    )


def _first_times(
    settings: Settings, source_settings: SourceSettings, positions: Mapping[Partition, int]
) -> list[int]:
    """Return the time of each partition's first record from `positions` on."""
    source = KafkaSource(settings.kafka, source_settings, positions)
    times: list[int] = []
    try:
        unread = set(source.partitions())
        while unread:
            for messages in source.poll(_POLL_SECONDS):
                if len(messages) and messages.partition in unread:
                    unread.remove(messages.partition)
                    times.append(int(messages.time[0]))
            unread -= source.at_end()
    finally:
        source.close()
    return times


def _journaled(settings: Settings) -> Journaled:
    """Return what the deployment journaled: the order of events, and what was asked."""
    with closing(KafkaLog(settings.kafka)) as log:
        return read_journal(log, settings.name, settings.state.journal)


Measure = Callable[[], tuple[int, int | None]]
"""Says how much is done, and of how much where that is known."""


def _read_of(source: KafkaSource) -> Measure:
    """Return what measures reading by the lag there was most of."""
    most = 0

    def measure() -> tuple[int, int | None]:
        nonlocal most
        lag = sum(source.lag().values())
        most = max(most, lag)
        return most - lag, most or None

    return measure


@contextmanager
def _progress(name: str, measure: Measure) -> Iterator[Callable[[Tally], None]]:
    """Show a bar, events and alerts on stderr while the block runs, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[alerts]} alerts"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None, events=0, alerts=0)

        def show(tally: Tally) -> None:
            done, total = measure()
            events, alerts = tally.events, tally.alerts.total()
            progress.update(task, completed=done, total=total, events=events, alerts=alerts)

        yield show
