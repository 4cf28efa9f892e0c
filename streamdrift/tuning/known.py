"""Known changes: what a history is said to hold, and what each budget made of it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import orjson

from streamdrift.decoders.times import INVALID, read_times
from streamdrift.errors import InputError
from streamdrift.history.incident_log import Incident, Member
from streamdrift.tuning.matching import Told, changes_told

_FIELDS = ("model", "from", "until", "signal")
_HINT = (
    "write JSON Lines, or CSV with a first line of names: model, from, until and, where wanted, "
    "signal; times as 2026-01-31T12:00:00Z or as seconds since 1970"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A change that is known: an alert of the model from `since` to `until` is about it.

    With a `signal`, the name of one or of its column, only one that tells of that.
    """

    model: str
    since: int
    until: int
    signal: str | None = None

    def is_told_by(self, told_at: int, members: Sequence[Member]) -> bool:
        """Tell whether what was told of the model is about this change."""
        if not self.since <= told_at <= self.until:
            return False
        return self.signal is None or any(
            self.signal in (member.signal, member.column) for member in members
        )


@dataclass(frozen=True, slots=True)
class Score:
    """What a budget made of the known changes of a model."""

    delays: tuple[int | None, ...]
    """By change: from its begin to its first alert (microseconds), None where it was missed."""
    false: int
    """Incidents that tests opened and no known change explains."""

    @property
    def found(self) -> int:
        """How many were found."""
        return sum(delay is not None for delay in self.delays)

    @property
    def missed(self) -> int:
        """How many were not."""
        return len(self.delays) - self.found

    @property
    def median_delay(self) -> float | None:
        """The median delay of those that were found, in microseconds."""
        found = [delay for delay in self.delays if delay is not None]
        return median(found) if found else None


def score(known: Sequence[Known], incidents: Sequence[Incident]) -> Score:
    """Return what incidents of one model and budget make of the model's known changes."""
    told = [change for incident in incidents for change in changes_told(incident)]
    delays: list[int | None] = []
    for each in known:
        times = [change.told_at for change in told if each.is_told_by(*_of(change))]
        delays.append(min(times) - each.since if times else None)
    false = sum(
        change.opens
        and not change.incident.silence
        and not any(each.is_told_by(*_of(change)) for each in known)
        for change in told
    )
    return Score(tuple(delays), false)


def _of(change: Told) -> tuple[int, Sequence[Member]]:
    return change.told_at, change.members


def read_known(text: str, name: str) -> tuple[Known, ...]:
    """Return the known changes of a file's text, JSON Lines or CSV.

    Raises InputError that names the file, the line and what is wrong with it.
    """
    rows = _json_rows(text, name) if text.lstrip().startswith("{") else _csv_rows(text, name)
    known = tuple(_known(row, f"{name}: line {line}") for line, row in rows)
    if not known:
        raise InputError(f"{name} names no known change", hint=_HINT)
    return known


def _json_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            row = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{name}: line {line} is no JSON: {error}", hint=_HINT) from error
        if not isinstance(row, dict):
            raise InputError(f"{name}: line {line} is no JSON object", hint=_HINT)
        yield line, row


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                message = (
                    f"{name}: line {reader.line_num} has not as many values as there are names"
                )
                raise InputError(message, hint=_HINT)
            yield reader.line_num, row
    except csv.Error as error:
        message = f"{name}: line {reader.line_num} is no CSV: {error}"
        raise InputError(message, hint=_HINT) from error


def _known(row: Mapping[str, object], where: str) -> Known:
    if unknown := sorted(set(row) - set(_FIELDS)):
        raise InputError(f"{where} has {', '.join(unknown)}, which is unknown", hint=_HINT)
    since, until = _time(row, "from", where), _time(row, "until", where)
    if since > until:
        raise InputError(f"{where} ends before it begins", hint=_HINT)
    signal = row.get("signal")
    return Known(
        _text(row.get("model"), "model", where),
        since,
        until,
        None if signal is None or signal == "" else _text(signal, "signal", where),
    )


def _text(value: object, field: str, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{where} has no {field}: {value!r} is no text", hint=_HINT)
    return value


def _time(row: Mapping[str, object], field: str, where: str) -> int:
    time = int(read_times([row.get(field)])[0])
    if time == INVALID:
        raise InputError(f"{where}: {row.get(field)!r} is no time for {field!r}", hint=_HINT)
    return time
