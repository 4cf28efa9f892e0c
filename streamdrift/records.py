"""The value types that cross a stage border.

Times are whole microseconds since the Unix epoch (int64, UTC) wherever they occur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Ids = NDArray[np.uint64]

StateValue = (
    None
    | bool
    | int
    | float
    | str
    | NDArray[np.generic]
    | Sequence["StateValue"]
    | Mapping[str, "StateValue"]
)
"""What a snapshot is made of: plain values, arrays, and lists and string-keyed maps of them."""

State = Mapping[str, StateValue]


class Partition(NamedTuple):
    """One partition of a topic (a file counts as a topic with the one partition 0)."""

    topic: str
    number: int


class Reached(NamedTuple):
    """How far a partition is taken, all that follows from it published, and where it ends."""

    offset: int
    end: int


class Extent(NamedTuple):
    """Which topic of the input is meant by its name, and with how many partitions.

    As far as somebody knows: of two words on one name the greater counts. A topic that is
    deleted, or made anew, is in its next life, and what is said of the life before is older,
    whenever it comes. One without partitions is deleted, or read no more.
    """

    life: int
    """How often it was another than before."""
    partitions: int
    identity: int = 0
    """What tells it from others that had, or will have, its name; 0 where there is none."""

    def is_same(self, other: "Extent") -> bool:
        """Tell whether both are of one life of one topic."""
        return (self.life, self.identity) == (other.life, other.identity)


@dataclass(frozen=True, slots=True)
class Messages:
    """Consecutive messages of one partition, as a source hands them to a decoder.

    `data` holds all bytes; message i's value is `data[start[i]:start[i] + length[i]]`, and
    a length of -1 is a null value (a tombstone). Keys and headers are spans of the same
    buffer, with -1 as length where there is none; a header span is the record's header
    section in Kafka's v2 wire form, read only by mappings that name a header.
    """

    partition: Partition
    data: Bytes
    start: Ints
    length: Ints
    offset: Ints
    time: Ints
    key_start: Ints
    key_length: Ints
    header_start: Ints
    header_length: Ints
    next_offset: int
    """Where the partition's reading goes on (past the last message, markers included)."""

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: Ints | Bools) -> "Messages":
        """Return some of the messages, by their places or a mask; the bytes are shared."""
        return replace(
            self,
            start=self.start[rows],
            length=self.length[rows],
            offset=self.offset[rows],
            time=self.time[rows],
            key_start=self.key_start[rows],
            key_length=self.key_length[rows],
            header_start=self.header_start[rows],
            header_length=self.header_length[rows],
        )

    def value(self, i: int) -> bytes | None:
        """Return message i's value, None for a tombstone."""
        if self.length[i] < 0:
            return None
        return self.data[self.start[i] : self.start[i] + self.length[i]].tobytes()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be used, or in part: what goes to the dead-letter topic."""

    reason: str
    """A label from a small fixed set, such as `invalid_json`."""
    detail: str
    """A sentence for the operator: what was wrong, and what to do."""
    partition: Partition
    offset: int
    index: int
    """The event's place in its message; 0 unless the message holds several."""
    time: int
    value: bytes | None


class Kind(IntEnum):
    """What stood in a cell of a column, in JSON's terms."""

    ABSENT = 0
    NULL = 1
    NUMBER = 2
    BOOLEAN = 3
    STRING = 4
    VECTOR = 5
    """A list of numbers."""
    OTHER = 6
    """Anything else: a mixed list, or an object nested too deep."""


class Group(StrEnum):
    """Which part of an event a column belongs to."""

    FEATURE = "feature"
    OUTPUT = "output"
    METRIC = "metric"
    TRAFFIC = "traffic"
    """What an event is among those before it."""


class ColumnKey(NamedTuple):
    """A column's name within its group.

    Outputs have fixed names: `score`, `label`, `value` (a prediction that is a number) and
    `null` (BOOLEAN: the prediction was absent or null). Metrics are `latency_ms`, `failed`
    (BOOLEAN) and whatever else the mapping names. Traffic is `duplicates` (BOOLEAN),
    which no decoder gives: it follows from the ids of the events before.
    """

    group: Group
    name: str


@dataclass(frozen=True, slots=True)
class Vectors:
    """The lists of numbers of a column: row i is `flat[start[i]:start[i] + length[i]]`."""

    flat: Floats
    start: Ints
    length: Ints


@dataclass(frozen=True, slots=True)
class Column:
    """One field of n events.

    `kinds` uint8[n] holds `Kind`s. `numbers` float64[n]: the value of a NUMBER, 0 or 1 for
    a BOOLEAN, NaN elsewhere. `codes` int32[n]: place in `strings` for a STRING, -1
    elsewhere; None where the batch has no strings in this column. `strings` is the batch's
    own dictionary. `vectors` is None where the batch has no lists in this column.
    """

    kinds: NDArray[np.uint8]
    numbers: Floats
    codes: Codes | None = None
    strings: tuple[str, ...] = ()
    vectors: Vectors | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one model version as columns.

    `partition` int32[n] is a place in `partitions`. `offset` int64[n] and `index` int32[n]
    say which event of which message. `ids` uint64[n] are hashes of the events' ids, 0 where
    an event has none. `time` int64[n]: from the decoder the mapped time, or
    the record's; behind the ordering the order key, which never falls. A column that an
    event lacks is ABSENT there; a column no event of the batch has is not in `columns`.
    `group`: which part of the events' columns these are, where a model is divided.
    """

    model: str
    version: str
    partitions: tuple[Partition, ...]
    partition: Codes
    offset: Ints
    index: Codes
    ids: Ids
    time: Ints
    columns: Mapping[ColumnKey, Column]
    group: int = 0

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder made of one `Messages`."""

    partition: Partition
    batches: tuple[Batch, ...]
    dead_letters: tuple[DeadLetter, ...]
    next_offset: int
    tombstones: int = 0
    """Messages with a null value: no events, and no faults."""
    dropped_fields: int = 0
    """Fields beyond the limits for one event and for one batch, which nobody sees."""


class Floor(NamedTuple):
    """A journaled fact: from `offset` on, the partition's order keys are at least `key`.

    Written when a partition that was called idle wakes with older events, or when a tick
    moved the watermark past them: with it, a replay merges the partitions in the same order.
    """

    partition: Partition
    offset: int
    key: int


@dataclass(frozen=True, slots=True)
class Released:
    """Events in order, up to a watermark no later event falls below."""

    batches: tuple[Batch, ...]
    watermark: int


class AlertKind(StrEnum):
    """What kind of trouble an incident or a signal stands for."""

    DATA_DRIFT = "data_drift"
    PREDICTION_DRIFT = "prediction_drift"
    CONCEPT_DRIFT = "concept_drift"
    DATA_QUALITY = "data_quality"
    VOLUME = "volume"
    LATENCY = "latency"
    DISAGREEMENT = "disagreement"


class SignalKind(StrEnum):
    """Which numeric stream is derived from a column (or from the model's traffic)."""

    VALUE = "value"
    MISSING = "missing"
    TYPE_BREAK = "type_break"
    CATEGORY = "category"
    UNSEEN = "unseen"
    LENGTH = "length"
    EMPTY = "empty"
    NORM = "norm"
    DISTANCE = "distance"
    RATE = "rate"
    NULL_OUTPUT = "null_output"
    FAILED = "failed"
    DUPLICATES = "duplicates"
    SILENCE = "silence"
    EVENT_RATE = "event_rate"


class Stream(StrEnum):
    """What a signal's values are."""

    NUMERIC = "numeric"
    """Numbers. Detectors see their ranks under the reference, uniform on [0, 1] while nothing
    changes."""
    RATE = "rate"
    """0 or 1."""
    CATEGORY = "category"
    """Levels, counted from 0 on from the commonest; from the number of known levels on they
    are new. Detectors that want numbers see ranks of the surprisal, uniform, too."""


class Sample(NamedTuple):
    """What a signal's reference is learned from, float64.

    `values` of numbers are these in their order, NaN where there was none; of a rate how often
    0 and 1 were seen; of a category how often each level was, commonest first: `closed` where
    none is ever new, as the last one stands for all others. `order` are the 0s and 1s of a rate, or
    the places of levels, as they came, NaN where there was none, where that is known.
    """

    stream: Stream
    values: Floats
    closed: bool = False
    order: Floats | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One numeric stream of a model version that can drift."""

    ordinal: int
    """Place among the model version's signals; with the model and version its identity."""
    name: str
    """What people see: `amount`, `amount (missing)`, `age (missing)`, `score`."""
    column: ColumnKey | None
    kind: SignalKind
    alert_kind: AlertKind
    segment: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """The published record of an incident's step; `data` is JSON-ready."""

    id: str
    type: str
    """`opened`, `updated` or `resolved`."""
    model: str
    version: str
    time: int
    due: int
    """When it is published, in event time: alerts leave in the order of this."""
    data: Mapping[str, object]
    number: int = 0
    """Among the alerts of its model, from 1 on in the order in which they leave."""


class FoundIn(NamedTuple):
    """What was found in the references of signals of a model version.

    `codes` are pairs: a signal's name, and the code of a kind of finding.
    """

    model: str
    version: str
    codes: tuple[tuple[str, str], ...]


class WarmUp(NamedTuple):
    """How far a model version's reference is: events seen of those it waits for."""

    model: str
    version: str
    events: int
    wanted: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """What the monitor made of one release."""

    alerts: tuple[Alert, ...]
    notices: tuple["Notice", ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact an operator can act on, for the log: `event` and its fields."""

    event: str
    model: str
    version: str
    fields: Mapping[str, object]
