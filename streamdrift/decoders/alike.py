"""The fast path of JSON: batches of events that look alike, without parsing each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from streamdrift.decoders.beside import NOTHING, Beside
from streamdrift.decoders.cells import MAX_DEPTH
from streamdrift.decoders.fields import (
    FAILED,
    MAX_FEATURES,
    NULL,
    flags,
    is_part,
    named_columns,
    parts_within,
)
from streamdrift.decoders.ids import hash_places, hash_values
from streamdrift.decoders.limits import MAX_MESSAGE_BYTES, MAX_NAME
from streamdrift.decoders.mapping import (
    MISSING,
    ConstantPlace,
    MappingSettings,
    Place,
    Steps,
    TopicPlace,
    find,
    parse_pointer,
)
from streamdrift.decoders.merging import batch_of
from streamdrift.decoders.template import (
    Path,
    Template,
    Values,
    encode_strings,
    make_template,
    read_alike,
)
from streamdrift.decoders.times import INVALID, parse_texts, read_numbers
from streamdrift.records import Batch, Bools, Column, ColumnKey, Group, Ids, Ints, Kind, Messages

FEWEST = 64
"""Messages for which making a template is worth it."""
_MOST_TEMPLATES = 16
_MOST_MISSES = 4
"""Templates in a row that fit few messages: then the shapes are too many for this reader."""
_SAMPLE = 64
"""Messages that tell whether a template fits enough of them."""
_ENOUGH = 16
"""One of so many fits a template that is worth it."""


@dataclass(slots=True)
class _Plan:
    """What the values at a template's places become."""

    model: str
    version: str
    columns: dict[ColumnKey, int] = field(default_factory=dict)
    prediction: int | None = None
    time: int | None = None
    failed: int | None = None
    id: int | None = None


class AlikeReader:
    """Reads runs of like events; what it gives is what the general reader would give."""

    def __init__(self, mapping: MappingSettings, beside: Beside = NOTHING) -> None:
        self._mapping = mapping
        self._beside = beside
        self._usable = _fixed_place(mapping.model) and (
            mapping.version is None or _fixed_place(mapping.version)
        )
        self._usable &= mapping.time is None or isinstance(mapping.time, str)
        places = (mapping.model, mapping.version)
        self._fixed = frozenset(parse_pointer(each) for each in places if isinstance(each, str))
        self._features = _steps(mapping.features)
        self._beside_features = parts_within(mapping, "features")
        self._beside_outputs = parts_within(mapping, "prediction")
        self._prediction = _steps(mapping.prediction)
        self._time = _steps(mapping.time if isinstance(mapping.time, str) else None)
        self._failed = _steps(mapping.failed)
        self._id = _steps(mapping.id if isinstance(mapping.id, str) else None)
        self._named = named_columns(mapping)
        self._usable &= not any(map(self._is_hidden, self._fixed))

    def _is_hidden(self, fixed: Steps) -> bool:
        """Tell whether a fixed value, which templates hide, counts also as something else."""
        if fixed == self._id:
            return True
        if any(_clash(fixed, each) for each in (*self._named.values(), self._time, self._failed)):
            return True
        for root in (self._features, self._prediction):
            if root is None or not _clash(fixed, root):
                continue
            if not _within(fixed, root) or len(fixed) - len(root) > MAX_DEPTH:
                return True
        return False

    def read(self, messages: Messages) -> tuple[list[Batch], Ints]:
        """Return batches of like events, and the places of the messages left over."""
        likely = (messages.length > 0) & (messages.length <= MAX_MESSAGE_BYTES)
        rows, left = np.flatnonzero(likely), [np.flatnonzero(~likely)]
        batches: list[Batch] = []
        misses = 0
        for _ in range(_MOST_TEMPLATES if self._usable else 0):
            if len(rows) < FEWEST or misses == _MOST_MISSES:
                break
            # After a miss another stretch is looked at: odd events often come together.
            at = misses * len(rows) // _MOST_MISSES
            value = messages.value(int(rows[at]))
            made = None if value is None else self._template(value, messages.partition.topic)
            if made is None or not _is_common(made[0], messages, rows):
                left.append(rows[at : at + 1])
                rows = np.delete(rows, at)
                misses += 1
                continue
            batch, rows = self._read_with(*made, messages, rows)
            misses = 0
            if batch is not None:
                batches.append(batch)
        return batches, np.sort(np.concatenate([rows, *left]))

    def _template(self, value: bytes, topic: str) -> tuple[Template, _Plan] | None:
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(document, dict):
            return None
        model = self._name(self._mapping.model, document, topic)
        version = self._name(self._mapping.version, document, topic)
        template = make_template(value, self._fixed)
        if template is None or not model or version is None:
            return None
        plan = self._plan(template.paths, model, version)
        return None if plan is None else (template, plan)

    def _name(self, place: Place | None, document: object, topic: str) -> str | None:
        """Return a model's or version's name, None where the general reader must decide."""
        if isinstance(place, TopicPlace):
            return topic
        if isinstance(place, ConstantPlace):
            return place.constant if len(place.constant) <= MAX_NAME else None
        if place is None:
            return ""
        assert isinstance(place, str)
        name = find(document, parse_pointer(place))
        if name is MISSING:
            return ""
        return name if isinstance(name, str) and len(name) <= MAX_NAME else None

    def _plan(self, paths: Sequence[Path], model: str, version: str) -> _Plan | None:
        """Return what each place is for, None where the general reader must decide."""
        plan = _Plan(model, version)
        content = False
        for place, path in enumerate(paths):
            whole = [*self._named.values(), self._time, self._failed]
            if any(each is not None and _within(path, each) for each in whole):
                return None
            if path == self._time:
                plan.time = place
            if path == self._failed:
                plan.failed = place
            if path == self._id:
                plan.id = place
            keys = [key for key, steps in self._named.items() if path == steps]
            if path == self._prediction:
                plan.prediction = place
                content = True
            elif self._prediction is not None and _within(path, self._prediction):
                content = True
                name = ".".join(path[len(self._prediction) :])
                if not is_part(name, self._beside_outputs):
                    keys.append(ColumnKey(Group.OUTPUT, name))
                if len(path) - len(self._prediction) > MAX_DEPTH:
                    return None
            if self._features is not None and path == self._features:
                return None
            if self._features is not None and _within(path, self._features):
                content = True
                name = ".".join(path[len(self._features) :])
                if len(path) - len(self._features) > MAX_DEPTH:
                    return None
                if not is_part(name, self._beside_features):
                    keys.append(ColumnKey(Group.FEATURE, name))
            for key in keys:
                content |= key.group is Group.OUTPUT
                if key in plan.columns:
                    return None
                plan.columns[key] = place
        derived = [key for key in plan.columns if key in self._named and key.group is Group.OUTPUT]
        if not content or len(plan.columns) > MAX_FEATURES:
            return None
        return None if derived and plan.prediction is not None else plan

    def _read_with(
        self, template: Template, plan: _Plan, messages: Messages, rows: Ints
    ) -> tuple[Batch | None, Ints]:
        """Return the events among `rows` that fit the template, and the rows that do not."""
        values, fits = read_alike(template, messages.data, messages.start, messages.length, rows)
        fitting = rows[fits]
        times = _times(values, plan.time, messages, self._beside.times(messages, fitting))
        good = times != INVALID
        left = np.concatenate([rows[~fits], fitting[~good]])
        if not good.all():
            values = _choose(values, good)
            fitting, times = fitting[good], times[good]
        if not len(fitting):
            return None, np.sort(left)
        batch = batch_of(
            messages,
            fitting,
            model=plan.model,
            version=plan.version,
            index=np.zeros(len(fitting), dtype=np.int32),
            ids=self._ids(values, plan.id, messages, fitting),
            time=times,
            columns=self._columns(values, plan, messages),
        )
        return batch, np.sort(left)

    def _ids(self, values: Values, place: int | None, messages: Messages, rows: Ints) -> Ids:
        indices = np.zeros(len(rows), dtype=np.int32)
        if not isinstance(self._mapping.id, str):
            return hash_places(self._mapping.id, messages, rows, indices)
        ids = np.zeros(len(rows), dtype=np.uint64)
        if place is not None:
            bits = values.numbers[place].view(np.uint64)
            start, length = values.start[place], values.length[place]
            ids = hash_values(messages.data, values.kinds[place], bits, start, length)
        return self._beside.ids(ids, messages, rows, indices)

    def _columns(self, values: Values, plan: _Plan, messages: Messages) -> dict[ColumnKey, Column]:
        columns: dict[ColumnKey, Column] = {}
        for key, place in plan.columns.items():
            codes, strings = encode_strings(messages.data, values, place)
            columns[key] = Column(values.kinds[place], values.numbers[place], codes, strings)
        size = values.kinds.shape[1]
        if plan.prediction is not None:
            columns |= _prediction_columns(values, plan.prediction, messages)
        if self._prediction is not None or any(key.group is Group.OUTPUT for key in self._named):
            present = np.zeros(size, dtype=np.bool_)
            for key, column in columns.items():
                if key.group is Group.OUTPUT:
                    present |= column.kinds > Kind.NULL
            columns[NULL] = flags(~present)
        if self._failed is not None:
            failed = np.zeros(size, dtype=np.bool_)
            if plan.failed is not None:
                kinds, numbers = values.kinds[plan.failed], values.numbers[plan.failed]
                text = (kinds == Kind.STRING) & (values.length[plan.failed] > 0)
                failed = text | ((kinds != Kind.NULL) & (kinds != Kind.STRING) & (numbers != 0))
            columns[FAILED] = flags(failed)
        return columns


def _fixed_place(place: Place) -> bool:
    return isinstance(place, str | TopicPlace | ConstantPlace)


def _steps(pointer: str | None) -> Steps | None:
    return None if pointer is None else parse_pointer(pointer)


def _within(path: Path, root: Steps) -> bool:
    """Tell whether a path lies strictly below another."""
    return len(path) > len(root) and path[: len(root)] == root


def _is_common(template: Template, messages: Messages, rows: Ints) -> bool:
    """Tell whether a template fits enough of the rows, by a sample of them."""
    sample = rows[:: -(-len(rows) // _SAMPLE)]
    _, fits = read_alike(template, messages.data, messages.start, messages.length, sample)
    return int(fits.sum()) * _ENOUGH >= len(sample)


def _clash(fixed: Steps, other: Steps | None) -> bool:
    """Tell whether one of two parts is, or holds, the other."""
    return other is not None and (fixed == other or _within(fixed, other) or _within(other, fixed))


def _choose(values: Values, good: Bools) -> Values:
    return Values(
        values.kinds[:, good],
        values.numbers[:, good],
        values.start[:, good],
        values.length[:, good],
    )


def _times(values: Values, place: int | None, messages: Messages, times: Ints) -> Ints:
    """Return event times over the `times` beside them, INVALID for the general reader to decide."""
    if place is None:
        return times
    kinds = values.kinds[place]
    texts, numbers = kinds == Kind.STRING, kinds == Kind.NUMBER
    if texts.any():
        start, length = values.start[place][texts], values.length[place][texts]
        times[texts] = parse_texts(messages.data, start, length)
    if numbers.any():
        times[numbers] = read_numbers(values.numbers[place][numbers])
    times[kinds == Kind.BOOLEAN] = INVALID
    return times


def _prediction_columns(values: Values, place: int, messages: Messages) -> dict[ColumnKey, Column]:
    """Return a prediction that is no object as a value (a number) or a label."""
    kinds, numbers = values.kinds[place], values.numbers[place]
    columns: dict[ColumnKey, Column] = {}
    is_value = kinds == Kind.NUMBER
    is_label = (kinds == Kind.STRING) | (kinds == Kind.BOOLEAN)
    if is_value.any():
        shown = np.where(is_value, kinds, Kind.ABSENT).astype(np.uint8)
        columns[ColumnKey(Group.OUTPUT, "value")] = Column(
            shown, np.where(is_value, numbers, np.nan)
        )
    if is_label.any():
        codes, strings = encode_strings(messages.data, values, place)
        shown = np.where(is_label, kinds, Kind.ABSENT).astype(np.uint8)
        label = Column(shown, np.where(is_label, numbers, np.nan), codes, strings)
        columns[ColumnKey(Group.OUTPUT, "label")] = label
    return columns
