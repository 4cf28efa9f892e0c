"""`streamdrift tune`: history under several alert budgets, read once; the trade-off drawn."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import typer
from rich.console import Console

from streamdrift.commands.history import History, put_through, result_file
from streamdrift.config import Settings
from streamdrift.errors import InputError, OutputError
from streamdrift.history.extents import Extents, Seen
from streamdrift.history.incident_log import Incident, IncidentLog
from streamdrift.incidents.budget import Budget
from streamdrift.incidents.realised import Span
from streamdrift.monitoring.sharded import Shards
from streamdrift.pipeline import Pipeline
from streamdrift.plain import plain
from streamdrift.serving.assembly import make_pipeline
from streamdrift.tuning.document import document
from streamdrift.tuning.known import Known, read_known
from streamdrift.tuning.picture import print_results
from streamdrift.tuning.results import ModelResult, by_model, make_result
from streamdrift.tuning.runs import LADDER, Run, make_runs, parse_budgets, run_lengths


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What the command line asks for."""

    history: History
    budgets: str | None = None
    """Separated by commas; without any, those of `LADDER`."""
    known: Path | None = None
    json: Path | None = None


def run_tune(options: TuneOptions, settings: Settings) -> None:
    """Replay the history under all budgets, and print what each would have told.

    Raises SettingsError, InputError and OutputError for what cannot be understood, read or
    written.
    """
    budgets = LADDER if options.budgets is None else parse_budgets(options.budgets)
    known = () if options.known is None else _read_known(options.known)
    extents, log = Extents(), IncidentLog()
    runs: list[Run] = []

    def make(given: Settings, *, timed: bool = True) -> Pipeline:
        runs.extend(make_runs(given, budgets, timed=timed))
        return make_pipeline(given, timed=timed, beside=[extents, *runs])

    with _output(options) as stream:
        replayed = put_through(options.history, settings, log.add, make)
        own = _Told(None, by_model(log.incidents()), run_lengths(replayed.monitor))
        others = [
            _Told(run.budget, by_model(run.log.incidents()), run_lengths(run.monitor))
            for run in runs
        ]
        seen = extents.models
        results = [
            _result(model, watched, [own, *others], settings, seen[model], known)
            for model, watched in _watched(replayed.monitor)
        ]
        remarks = [*replayed.summary(settings), *_outside(known, results)]
        if stream is not None:
            _write(stream, document(options.history.source, results, remarks), options.json)
    for line in remarks:
        typer.echo(plain(line), err=True)
    _print(results)


class _Told(NamedTuple):
    """What a run told: that of the settings has no budget of its own."""

    budget: Budget | None
    incidents: Mapping[str, Sequence[Incident]]
    run_lengths: Mapping[str, float]


def _watched(monitor: Shards) -> list[tuple[str, Span]]:
    """Return the models whose reference was complete, by name, and since when."""
    return sorted(pair for each in monitor.monitors for pair in each.watched.items())


def _result(
    model: str,
    watched: Span,
    told: Sequence[_Told],
    settings: Settings,
    seen: Seen,
    known: Sequence[Known],
) -> ModelResult:
    chosen = settings.model(model).alert_budget
    runs = [
        (each.budget or chosen, each.budget is None, each)
        for each in told
        if each.budget is None or each.budget.period != chosen.period
    ]
    runs.sort(key=lambda run: -run[0].period)
    return make_result(
        model,
        seen,
        watched,
        [
            (budget, own, each.incidents.get(model, ()), each.run_lengths.get(model))
            for budget, own, each in runs
        ],
        known,
    )


def _outside(known: Sequence[Known], results: Sequence[ModelResult]) -> list[str]:
    """Return what to say of known changes that nothing was watched at."""
    outside = len(known) - sum(len(result.known) for result in results)
    if not outside:
        return []
    changes = "1 known change is" if outside == 1 else f"{outside:,} known changes are"
    return [f"{changes} of no model that was watched then, and not counted"]


def _read_known(path: Path) -> tuple[Known, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"--known {path} cannot be read: {error.strerror}", hint="check its name and rights"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"--known {path} is not UTF-8 text: {error}") from error
    return read_known(text, str(path))


@contextmanager
def _output(options: TuneOptions) -> Iterator[BinaryIO | None]:
    """Open where the document goes, if anywhere: written anew where all succeeds."""
    if options.json is None:
        yield None
        return
    inputs = {Path(options.history.source): "the file that is replayed"}
    if options.known is not None:
        inputs[options.known] = "the file of known changes"
    with result_file(options.json, "--json", inputs) as stream:
        yield stream


def _write(stream: BinaryIO, content: bytes, path: Path | None) -> None:
    try:
        stream.write(content)
    except OSError as error:
        raise _failure(f"{path} cannot be written", error) from error


def _print(results: Sequence[ModelResult]) -> None:
    """Print the picture at once; raise OutputError where nobody reads it any more."""
    console = Console()
    try:
        with console.capture() as capture:
            print_results(console, results)
        drawn = capture.get()
        if not console.is_terminal:
            # Blanks that fill a table's last column are noise in a file.
            drawn = "".join(f"{line.rstrip()}\n" for line in drawn.splitlines())
        # Names and categories may have letters that the output cannot show.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(drawn.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        raise _failure("the result cannot be written to the output", error) from error


def _failure(what: str, error: OSError) -> OutputError:
    return OutputError(
        f"{what}: {error.strerror or error}",
        hint="check that the place exists, is writable and has space",
    )
