"""JSON events, in any shape that a mapping describes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamdrift.decoders.alike import AlikeReader
from streamdrift.decoders.beside import NOTHING, Beside
from streamdrift.decoders.fields import MAX_NAMES, Fields, gather
from streamdrift.decoders.ids import hash_cells, hash_places
from streamdrift.decoders.letters import brief_names, letter
from streamdrift.decoders.mapping import MISSING, MappingSettings, parse_pointer
from streamdrift.decoders.merging import batch_of, decoded, merged
from streamdrift.decoders.names import group_names, read_names
from streamdrift.decoders.parsing import Events, Unwrap, parse_messages
from streamdrift.decoders.places import read_place
from streamdrift.decoders.times import INVALID, read_times
from streamdrift.records import Batch, ColumnKey, Decoded, Ids, Ints, Messages


class JsonDecoder:
    """Decodes one JSON object per message, or an array of them.

    What an event says of its id and time goes before what is `beside` it. `unwrap` takes the
    events out of documents that fit no template of the mapping's.
    """

    def __init__(
        self, mapping: MappingSettings, beside: Beside = NOTHING, unwrap: Unwrap | None = None
    ) -> None:
        self._mapping = mapping
        self._beside = beside
        self._unwrap = unwrap
        self._fields = Fields(mapping)
        self._alike = AlikeReader(mapping, beside)

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
        return replace(rest, batches=tuple(merged(batches)))

    def _decode_each(self, messages: Messages) -> Decoded:
        """Return what `decode` does, by parsing every message."""
        return self.decode_events(messages, parse_messages(messages, self._unwrap))

    def decode_events(self, messages: Messages, events: Events) -> Decoded:
        """Return what `decode` does, of documents that were read by other means."""
        names = self._names(messages, events)
        batches = []
        dropped = 0
        for (model, version), places in names.items():
            batch, lost = self._batch(model, version, messages, events, places)
            dropped += lost
            if batch is not None:
                batches.append(batch)
        return decoded(messages, batches, events.letters, dropped)

    def _names(
        self, messages: Messages, events: Events
    ) -> dict[tuple[str, str], Sequence[int] | None]:
        """Return the places of each model version's events (None: all there are)."""
        if not events.documents:
            return {}
        models, versions = read_names(self._mapping, messages, events.documents, events.rows)
        groups, faults = group_names(models, versions)
        for place, reason in faults.items():
            shown = brief_names(models[place], versions[place])
            _reject(events, messages, place, reason, shown)
        return groups

    def _ids(self, messages: Messages, events: Events, rows: Ints) -> Ids:
        place = self._mapping.id
        indices = np.array(events.indices, dtype=np.int32)
        if isinstance(place, str):
            ids = hash_cells(gather(events.documents, parse_pointer(place)))
            return self._beside.ids(ids, messages, rows, indices)
        return hash_places(place, messages, rows, indices)

    def _batch(
        self,
        model: str,
        version: str,
        messages: Messages,
        events: Events,
        places: Sequence[int] | None,
    ) -> tuple[Batch | None, int]:
        chosen = _choose(events, places)
        rows = np.array(chosen.rows, dtype=np.int64)
        times = self._beside.times(messages, rows)
        cells: Sequence[object] = [None] * len(rows)
        if self._mapping.time is not None:
            cells = read_place(self._mapping.time, messages, chosen.documents, chosen.rows)
            given = [p for p, cell in enumerate(cells) if cell is not MISSING and cell is not None]
            if len(given) == len(cells):
                times = read_times(cells)
            elif given:
                times[given] = read_times([cells[place] for place in given])
        usable = times != INVALID
        for place in np.flatnonzero(~usable).tolist():
            reason, shown = self._beside.time_fault(cells[place], messages, int(rows[place]))
            _reject(chosen, messages, place, reason, shown)
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
            batch_of(
                messages,
                rows,
                model=model,
                version=version,
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


def _choose(events: Events, places: Sequence[int] | None) -> Events:
    if places is None:
        return events
    return Events(
        [events.documents[place] for place in places],
        [events.rows[place] for place in places],
        [int(events.indices[place]) for place in places],
        events.letters,
    )


def _reject(events: Events, messages: Messages, place: int, reason: str, detail: str) -> None:
    row, index = events.rows[place], int(events.indices[place])
    events.letters.append(letter(messages, row, reason, detail, index))
