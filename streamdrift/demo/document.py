"""The demo's result as a JSON document."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import orjson

from streamdrift.demo.scorer import Published, Score, Verdict
from streamdrift.durations import SECOND
from streamdrift.errors import OutputError
from streamdrift.times import rfc3339


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open the document's file, written anew; raise OutputError where that cannot be."""
    try:
        stream = path.open("wb", buffering=0)
    except OSError as error:
        raise _refused(path, error) from error
    with stream:
        yield stream


def save(stream: FileIO, content: bytes) -> None:
    """Write the document; raise OutputError where there is no room for it."""
    try:
        while content:
            content = content[stream.write(content) :]
    except OSError as error:
        raise _refused(str(stream.name), error) from error


def _refused(path: Path | str, error: OSError) -> OutputError:
    return OutputError(
        f"the result cannot be written to {path}: {error.strerror}",
        hint="give --json a file in an existing folder that you may write to, with room in it",
    )


def document(
    score: Score, delays: Sequence[int | None], alerts: Sequence[Published], epoch: int
) -> bytes:
    """Return the JSON of a demo that began at `epoch` (microseconds).

    `delays` are in events, of each verdict of the score; `alerts` are all there were. All
    times are RFC 3339 in UTC, as in the alerts.
    """
    told = {
        "started_at": rfc3339(epoch),
        "injections": [
            _injection(verdict, delay, epoch)
            for verdict, delay in zip(score.verdicts, delays, strict=True)
        ],
        "false_alarms": [alert.event for alert in score.false_alarms],
        "alerts": [alert.event for alert in alerts],
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _injection(verdict: Verdict, delay: int | None, epoch: int) -> dict[str, object]:
    injection = verdict.injection
    return {
        "name": injection.name,
        "model": injection.model,
        "signals": [
            {"column": touched.column, "kind": touched.kind.value} for touched in injection.touched
        ],
        "injected_at": rfc3339(epoch + int(injection.begin * SECOND)),
        "found": verdict.found,
        "delay_events": delay,
        "delay_seconds": verdict.delay_seconds,
        "alert_id": verdict.alert.event["id"] if verdict.alert else None,
    }
