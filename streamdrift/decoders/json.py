"""JSON events, in any shape that a mapping describes."""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import orjson

from streamdrift.columns import join, take
from streamdrift.decoders.alike import MAX_MESSAGE_BYTES, MAX_NAME, AlikeReader
from streamdrift.decoders.fields import MAX_NAMES, Fields, gather
from streamdrift.decoders.ids import hash_cells, hash_places
from streamdrift.decoders.mapping import (
    MISSING,
    ConstantPlace,
    HeaderPlace,
    KeyPlace,
    MappingSettings,
    Place,
    TopicPlace,
    parse_pointer,
)
from streamdrift.decoders.times import INVALID, read_times, record_times
from streamdrift.documents import HalfPairError, parse
from streamdrift.headers import header_value
from streamdrift.records import Batch, Codes, ColumnKey, DeadLetter, Decoded, Ids, Ints, Messages

_HINTS = {
    "empty": "the message has no bytes; a producer that means `deleted` sends a null value",
    "too_large": f"the message is longer than {MAX_MESSAGE_BYTES:,} bytes",
    "invalid_json": "the message is no JSON in UTF-8; if it has another format, set source.format",
    "invalid_text": "a text has half of a surrogate pair (\\ud800 to \\udfff), which UTF-8 cannot "
    "hold: the producer has to write whole characters",
    "not_an_object": "the event is no JSON object; if parts of it are, set source.mapping",
    "no_content": "neither features nor a prediction are where source.mapping says",
    "invalid_features": "what source.mapping.features names is neither an object nor a list: "
    "write the features by name, or map where they are",
    "no_model": "no model's name is where source.mapping.model says",
    "invalid_name": f"a model's or version's name is no text of 1 to {MAX_NAME} characters",
    "invalid_time": "the event's time is no RFC 3339 time and no number since the epoch",
    "no_time": "neither the event nor its record has a time: map it with source.mapping.time, or "
    "let the producer set the record's timestamp",
}
"""Every reason for a dead letter, and what it says to the operator."""


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 3
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 80


@dataclass(slots=True)
class _Events:
    """Parsed documents, and the message (row) and place in it (index) of each."""

    documents: list[object]
    rows: Sequence[int]
    indices: Sequence[int] | Codes
    letters: list[DeadLetter] = field(default_factory=list)


class JsonDecoder:
    """Decodes one JSON object per message, or an array of them."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._mapping = mapping
        self._fields = Fields(mapping)
        self._alike = AlikeReader(mapping)

    def decode(self, messages: Messages) -> Decoded:
        """Return the events of `messages` by model version, and what could not be used."""
        alike, left = self._alike.read(messages)
        rest = Decoded(messages.partition, (), (), messages.next_offset)
        if len(left):
            rest = self._decode_each(
                messages if len(left) == len(messages) else messages.take(left)
            )
        batches = [*alike, *rest.batches]
        if alike and _most_names(batches) >= MAX_NAMES:
            # Which names are the commonest shows in all events together.
            return self._decode_each(messages)
        return replace(rest, batches=tuple(_merged(batches)))

    def _decode_each(self, messages: Messages) -> Decoded:
        """Return what `decode` does, by parsing every message."""
        events = _parse(messages)
        names = self._names(messages, events)
        batches = []
        dropped = 0
        for (model, version), places in names.items():
            batch, lost = self._batch(model, version, messages, events, places)
            dropped += lost
            if batch is not None:
                batches.append(batch)
        return Decoded(
            partition=messages.partition,
            batches=tuple(batches),
            dead_letters=tuple(sorted(events.letters, key=_by_place)),
            next_offset=messages.next_offset,
            tombstones=int((messages.length < 0).sum()),
            dropped_fields=dropped,
        )

    def _names(
        self, messages: Messages, events: _Events
    ) -> dict[tuple[str, str], Sequence[int] | None]:
        """Return the places of each model version's events (None: all there are)."""
        if not events.documents:
            return {}
        models = self._read(self._mapping.model, messages, events)
        versions: Sequence[object] = [""] * len(events.documents)
        if self._mapping.version is not None:
            versions = self._read(self._mapping.version, messages, events)
        if set(map(type, models)) == set(map(type, versions)) == {str}:
            pairs = set(zip(models, versions, strict=True))
            if len(pairs) == 1:
                ((model, version),) = pairs
                if _is_name(model) and len(str(version)) <= MAX_NAME:
                    return {(str(model), str(version)): None}
        groups: dict[tuple[str, str], list[int]] = {}
        for place, (model, version) in enumerate(zip(models, versions, strict=True)):
            reason = _name_fault(model, version)
            if reason is None:
                names = (_text(model), "" if version in (None, MISSING) else _text(version))
                groups.setdefault(names, []).append(place)
            else:
                shown = f"model: {_shown(model)}, version: {_shown(version)}"
                _reject(events, messages, place, reason, shown)
        return dict(groups)

    def _read(self, place: Place, messages: Messages, events: _Events) -> Sequence[object]:
        """Return a part of every event, from wherever the mapping says it stands."""
        if isinstance(place, str):
            return gather(events.documents, parse_pointer(place))
        if isinstance(place, ConstantPlace):
            return [place.constant] * len(events.documents)
        if isinstance(place, TopicPlace):
            return [messages.partition.topic] * len(events.documents)
        if isinstance(place, KeyPlace):
            return [
                _span(messages, messages.key_start, messages.key_length, row) for row in events.rows
            ]
        assert isinstance(place, HeaderPlace)
        values = (header_value(messages, row, place.header) for row in events.rows)
        return [None if value is None else value.decode(errors="replace") for value in values]

    def _ids(self, messages: Messages, events: _Events, rows: Ints) -> Ids:
        place = self._mapping.id
        if isinstance(place, str):
            return hash_cells(gather(events.documents, parse_pointer(place)))
        indices = np.array(events.indices, dtype=np.int32)
        return hash_places(place, messages, rows, indices)

    def _batch(
        self,
        model: str,
        version: str,
        messages: Messages,
        events: _Events,
        places: Sequence[int] | None,
    ) -> tuple[Batch | None, int]:
        chosen = _choose(events, places)
        rows = np.array(chosen.rows, dtype=np.int64)
        times = record_times(messages, rows)
        cells: Sequence[object] = [None] * len(rows)
        if self._mapping.time is not None:
            cells = self._read(self._mapping.time, messages, chosen)
            given = [p for p, cell in enumerate(cells) if cell is not MISSING and cell is not None]
            if len(given) == len(cells):
                times = read_times(cells)
            elif given:
                times[given] = read_times([cells[place] for place in given])
        usable = times != INVALID
        for place in np.flatnonzero(~usable).tolist():
            reason = "no_time" if cells[place] in (MISSING, None) else "invalid_time"
            _reject(chosen, messages, place, reason, f"time: {_shown(cells[place])}")
        for place, reason in self._fields.faults(chosen.documents).items():
            if usable[place]:
                usable[place] = False
                document = chosen.documents[place]
                shown = ", ".join(document) if isinstance(document, dict) else ""
                _reject(chosen, messages, place, reason, f"fields: {shown:.200}")
        if not usable.all():
            kept = np.flatnonzero(usable).tolist()
            if not kept:
                return None, 0
            chosen = _choose(chosen, kept)
            rows, times = rows[usable], times[usable]
        columns, dropped = self._fields.columns(chosen.documents)
        return (
            Batch(
                model=model,
                version=version,
                partitions=(messages.partition,),
                partition=np.zeros(len(rows), dtype=np.int32),
                offset=messages.offset[rows],
                index=np.array(chosen.indices, dtype=np.int32),
                ids=self._ids(messages, chosen, rows),
                time=times,
                columns=columns,
            ),
            dropped,
        )


def _most_names(batches: Sequence[Batch]) -> int:
    """Return how many columns the model version with the most of them has."""
    names: dict[tuple[str, str], set[ColumnKey]] = {}
    for batch in batches:
        names.setdefault((batch.model, batch.version), set()).update(batch.columns)
    return max(map(len, names.values()), default=0)


def _merged(batches: Sequence[Batch]) -> list[Batch]:
    """Return one batch per model version, by its first event, with the events in order."""
    groups: dict[tuple[str, str], list[Batch]] = {}
    for batch in batches:
        groups.setdefault((batch.model, batch.version), []).append(batch)
    merged = [_in_order(join(group)) if len(group) > 1 else group[0] for group in groups.values()]
    return sorted(merged, key=lambda batch: (int(batch.offset[0]), int(batch.index[0])))


def _in_order(batch: Batch) -> Batch:
    return take(batch, np.lexsort((batch.index, batch.offset)))


def _parse(messages: Messages) -> _Events:
    """Return the documents of all messages; what is none becomes a dead letter."""
    view = messages.data.data
    ends = messages.start + messages.length
    spans = zip(messages.start.tolist(), ends.tolist(), strict=True)
    if len(messages) and messages.length.min() > 0 and messages.length.max() <= MAX_MESSAGE_BYTES:
        try:
            documents = [orjson.loads(view[start:end]) for start, end in spans]
        except orjson.JSONDecodeError:
            pass
        else:
            if set(map(type, documents)) == {dict}:
                size = len(documents)
                return _Events(documents, range(size), np.zeros(size, dtype=np.int32))
    return _parse_one_by_one(messages)


def _parse_one_by_one(messages: Messages) -> _Events:
    documents: list[object] = []
    rows: list[int] = []
    indices: list[int] = []
    letters: list[DeadLetter] = []
    for row in range(len(messages)):
        value = messages.value(row)
        if value is None:
            continue
        parsed, reason, detail = _parse_value(value)
        if reason is not None:
            letters.append(_letter(messages, row, 0, reason, detail))
        found = parsed if isinstance(parsed, list) else [parsed]
        for index, document in enumerate(found if reason is None else []):
            if isinstance(document, dict):
                documents.append(document)
                rows.append(row)
                indices.append(index)
            else:
                shown = f"found {type(document).__name__}: {_shown(document)}"
                letters.append(_letter(messages, row, index, "not_an_object", shown))
    return _Events(documents, rows, indices, letters)


def _parse_value(value: bytes) -> tuple[object, str | None, str]:
    """Return a message's document, or the reason why there is none and what was wrong."""
    if len(value) > MAX_MESSAGE_BYTES:
        return None, "too_large", f"{len(value):,} bytes"
    if not value.strip():
        return None, "empty", ""
    try:
        return parse(value), None, ""
    except HalfPairError as error:
        return None, "invalid_text", str(error)
    except ValueError as error:
        return None, "invalid_json", str(error)


def _choose(events: _Events, places: Sequence[int] | None) -> _Events:
    if places is None:
        return events
    return _Events(
        [events.documents[place] for place in places],
        [events.rows[place] for place in places],
        [int(events.indices[place]) for place in places],
        events.letters,
    )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME


def _text(name: object) -> str:
    return str(name)


def _name_fault(model: object, version: object) -> str | None:
    """Return the reason why an event's model or version is none; None where they are fine."""
    if model is MISSING or model is None:
        return "no_model"
    if version is MISSING or version is None or version == "":
        version = "none"
    return None if _can_name(model) and _can_name(version) else "invalid_name"


def _can_name(name: object) -> bool:
    """Tell whether a value is a name, or a number that can be written as one."""
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        return False
    return _is_name(_text(name)) and (isinstance(name, str) or math.isfinite(name))


def _span(messages: Messages, starts: Ints, lengths: Ints, row: int) -> str | None:
    if lengths[row] < 0:
        return None
    data = messages.data[starts[row] : starts[row] + lengths[row]]
    return data.tobytes().decode(errors="replace")


def _reject(events: _Events, messages: Messages, place: int, reason: str, detail: str) -> None:
    row, index = events.rows[place], int(events.indices[place])
    events.letters.append(_letter(messages, row, index, reason, detail))


def _letter(messages: Messages, row: int, index: int, reason: str, detail: str) -> DeadLetter:
    hint = _HINTS[reason]
    return DeadLetter(
        reason=reason,
        detail=f"{hint} ({detail})" if detail else hint,
        partition=messages.partition,
        offset=int(messages.offset[row]),
        index=index,
        time=int(messages.time[row]),
        value=messages.value(row),
    )


def _shown(value: object) -> str:
    """Return what a dead letter says a value is: short, however long or deep the value."""
    return f"{_BRIEF.repr(value):.100}"


def _by_place(letter: DeadLetter) -> tuple[int, int]:
    return letter.offset, letter.index
