"""Frames: what workers send each other is what the others get, to the bit; rubbish is told."""

import json
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamdrift.changes import Heard, Onset, Step, StepKind, Summary
from streamdrift.columns import canonical
from streamdrift.errors import StateError
from streamdrift.exchange.frames import Events, Frame, Progress, Reach, decode, encode
from streamdrift.incidents.steps import step_state
from streamdrift.records import (
    AlertKind,
    Batch,
    Column,
    ColumnKey,
    Extent,
    Group,
    Kind,
    Partition,
    Signal,
    SignalKind,
    Vectors,
)
from tests.alerts import NOON, changed, left, make_change, make_signal
from tests.batches import batch, column

FIXTURE = Path(__file__).parent / "fixtures" / "frame-2.bin"
SMALLEST, GREATEST = -(2**63), 2**63 - 1
NUMBERS = np.array(
    [0.0, -0.0, 1.5, np.inf, -np.inf, 5e-324, 1.7e308, np.nan], dtype=np.float64
).view(np.uint64)
NUMBERS = np.append(NUMBERS, np.array([0x7FF8_0000_0000_BEEF, 0xFFF0_0000_0000_0001], np.uint64))
"""Odd numbers by their bits, NaNs with a payload among them."""
NAMES = ("", "a", "größe", "価格 💶", "a.b", "$array", "x" * 300, "\0")


def read(data: bytes) -> Frame:
    return decode(memoryview(data))


def random_column(random: Random, size: int) -> Column:
    some: list[list[Kind]] = [list(Kind), *([kind] for kind in Kind), [Kind.NUMBER, Kind.BOOLEAN]]
    chosen = random.choice(some)
    kinds = np.array([random.choice(chosen) for _ in range(size)], dtype=np.uint8)
    numbers = np.full(size, np.nan)
    for row in np.flatnonzero(kinds == Kind.NUMBER):
        numbers.view(np.uint64)[row] = random.choice(NUMBERS.tolist())
    numbers[kinds == Kind.BOOLEAN] = random.choice((0.0, 1.0))
    strings = tuple(random.sample(NAMES, 4))  # Some of them in no cell.
    codes = np.array([random.randrange(4) if kind == Kind.STRING else -1 for kind in kinds])
    lengths = np.array([random.randrange(3) if kind == Kind.VECTOR else 0 for kind in kinds])
    lengths = lengths.astype(np.int64)
    flat = np.array([random.choice(NUMBERS.tolist()) for _ in range(lengths.sum())], np.uint64)
    return Column(
        kinds,
        numbers,
        codes.astype(np.int32) if (kinds == Kind.STRING).any() else None,
        strings if (kinds == Kind.STRING).any() else (),
        Vectors(flat.view(np.float64), np.cumsum(lengths) - lengths, lengths),
    )


def random_batch(random: Random, partition: Partition) -> Batch:
    size = random.choice((1, 2, 7, 300))

    def whole(least: int, greatest: int) -> int:
        return random.choice((least, greatest, 0, -1, random.randrange(least, greatest)))

    spread = random.choice((1, 1 << 7, 1 << 20, 1 << 40))
    first = whole(SMALLEST, GREATEST - spread * size)
    names = random.sample(NAMES, 3)
    return Batch(
        model=random.choice(NAMES),
        version=random.choice(NAMES),
        partitions=(partition,),
        partition=np.zeros(size, dtype=np.int32),
        offset=np.array([first + spread * i for i in range(size)], dtype=np.int64),
        index=np.array([random.choice((0, 2**31 - 1)) for _ in range(size)], dtype=np.int32),
        ids=np.array([random.choice((0, 2**64 - 1, 2**63)) for _ in range(size)], np.uint64),
        time=np.array([whole(SMALLEST, GREATEST) for _ in range(size)], dtype=np.int64),
        columns={
            ColumnKey(group, name): random_column(random, size) for group in Group for name in names
        },
        group=random.choice((0, 1, 255)),
    )


def bits(values: Batch | Column | Vectors | None) -> object:
    """Return all that there is, arrays as their type and bytes."""
    if isinstance(values, Batch):
        columns = {key: bits(each) for key, each in values.columns.items()}
        plain = (values.model, values.version, values.partitions, values.group)
        arrays = (values.partition, values.offset, values.index, values.ids, values.time)
        return plain, [(each.dtype, each.tobytes()) for each in arrays], columns
    if isinstance(values, Column):
        codes = None if values.codes is None else (values.codes.dtype, values.codes.tobytes())
        rest = (values.kinds.tobytes(), values.numbers.tobytes(), values.strings)
        return rest, codes, bits(values.vectors)
    if isinstance(values, Vectors):
        parts = (values.flat, values.start, values.length)
        return [(each.dtype, each.tobytes()) for each in parts]
    return None


def arrays_of(given: Batch) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = [given.partition, given.offset, given.index, given.ids, given.time]
    for each in given.columns.values():
        found += [each.kinds, each.numbers]
        found += [] if each.codes is None else [each.codes]
        if each.vectors is not None:
            found += [each.vectors.flat, each.vectors.start, each.vectors.length]
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_events_arrive_as_they_were_sent(seed: int) -> None:
    random = Random(seed)
    partition = Partition(random.choice(NAMES), random.choice((0, 2**31 - 1)))
    sent = tuple(random_batch(random, partition) for _ in range(random.randrange(4)))
    found = read(encode(Events(partition, sent)))
    assert isinstance(found, Events)
    assert found.partition == partition
    assert [bits(each) for each in found.batches] == [bits(canonical(each)) for each in sent]
    for each in found.batches:
        assert len(each) == len(each.offset)
        for array in arrays_of(each):
            assert array.flags.writeable
            assert array.flags.aligned
            assert array.flags.c_contiguous
            assert array.dtype.isnative


def test_rows_of_other_batches_are_not_sent() -> None:
    whole = batch({"x": ["a", "b", "c", [1.0, 2.0], [3.0]], "y": [1, 2, 3, 4, 5]})
    part = replace(
        whole,
        **{name: getattr(whole, name)[3:] for name in ("partition", "offset", "index", "ids")},
        time=whole.time[3:],
        columns={
            key: Column(
                each.kinds[3:],
                each.numbers[3:],
                None if each.codes is None else each.codes[3:],
                each.strings,
                each.vectors
                and Vectors(each.vectors.flat, each.vectors.start[3:], each.vectors.length[3:]),
            )
            for key, each in whole.columns.items()
        },
    )
    found = read(encode(Events(part.partitions[0], (part,))))
    assert isinstance(found, Events)
    x = found.batches[0].columns[ColumnKey(Group.FEATURE, "x")]
    assert x.codes is None
    assert x.vectors is not None
    assert x.vectors.flat.tolist() == [1.0, 2.0, 3.0]
    assert b'"a"' not in encode(Events(part.partitions[0], (part,)))


def test_empty_vectors_stay_vectors() -> None:
    """Whether a frame has others beside them must not change what is measured of them."""
    kinds = np.array([Kind.VECTOR, Kind.ABSENT], dtype=np.uint8)
    nothing = np.zeros(2, dtype=np.int64)
    empty = Column(kinds, np.full(2, np.nan), None, (), Vectors(np.zeros(0), nothing, nothing))
    given = batch({ColumnKey(Group.FEATURE, "x"): empty})
    found = read(encode(Events(given.partitions[0], (given,))))
    assert isinstance(found, Events)
    (there,) = found.batches[0].columns.values()
    assert there.vectors is not None
    assert there.vectors.length.tolist() == [0, 0]


def test_a_column_that_no_event_has_is_left_out() -> None:
    given = batch({"x": [..., ...], "y": [..., None]})
    found = read(encode(Events(given.partitions[0], (given,))))
    assert isinstance(found, Events)
    assert [key.name for key in found.batches[0].columns] == ["y"]


def test_progress_arrives_as_it_was_sent() -> None:
    reaches = (
        Reach(Partition("größe", 0), 0, 5, None, None, False),
        Reach(Partition("b", 2**31 - 1), SMALLEST, GREATEST, SMALLEST, GREATEST, True),
    )
    for sent in (
        Progress(reaches, {"größe": Extent(0, 1), "b": Extent(3, 0), "": Extent(0, 9)}),
        Progress((), {}),
    ):
        assert read(encode(sent)) == sent


def every_step() -> tuple[Step, ...]:
    onset = Onset(NOON - 5, NOON, {"größe": {0: (1, 2), 7: (GREATEST, GREATEST)}, "b": {1: (0, 0)}})
    full = make_change(
        -0.0, Summary(np.inf, {"0.5": -np.inf}, {"größe": 0.5, "": 0.25}), onset=onset
    )
    metric = ColumnKey(Group.METRIC, "é")
    odd = Signal(
        3_000_001, "é (missing)", metric, SignalKind.MISSING, AlertKind.LATENCY, "country=DE"
    )
    silence = make_signal(-1, "silence", SignalKind.SILENCE, AlertKind.VOLUME)
    return (
        changed(NOON, odd, full, model="größe", version=""),
        changed(SMALLEST, silence),
        left(GREATEST, odd, StepKind.ACCEPTED),
        left(0, silence, StepKind.RETURNED),
    )


def test_steps_arrive_with_every_field() -> None:
    sent = Heard(255, SMALLEST, every_step())
    assert read(encode(sent)) == sent
    assert read(encode(Heard(0, GREATEST, ()))) == Heard(0, GREATEST, ())
    nan = make_change(float("nan"), Summary(float("nan")))
    found = read(encode(Heard(1, 0, (changed(NOON, change=nan),))))
    assert isinstance(found, Heard)
    np.testing.assert_equal(step_state(found.steps[0]), step_state(changed(NOON, change=nan)))


# Rubbish


def samples() -> list[bytes]:
    cells: list[object] = [1, True, None, "größe", [1.0, 2.0], [], 2.5, "b"]
    events = batch({"x": cells, "y": [*range(8)]}, ids=range(8), times=[*range(8)])
    reaches = (Reach(Partition("a", 0), 0, 5, 1, 2, False),)
    return [
        encode(Events(events.partitions[0], (events, replace(events, group=1)))),
        encode(Progress(reaches, {"a": Extent(0, 1)})),
        encode(Heard(2, 7, every_step())),
    ]


def shorter(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data))]


def flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 5))):
        changed[random.randrange(len(data))] = random.randrange(256)
    return bytes(changed)


def garbage(random: Random, data: bytes) -> bytes:
    return b"\x02" * random.randrange(2) + random.randbytes(random.randrange(60))


def other_values(random: Random, data: bytes) -> bytes:
    """Put something else in the place of one value of the JSON."""
    length = struct.unpack_from(">I", data, 1)[0]
    document = json.loads(data[5 : 5 + length])
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = random.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or random.random() < 0.2:
            break
        place = place[key]
    spoilt: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        3,
        10**18,
        2**64,
        1.5,
        "",
        "|O",
        "<f8",
        [],
        [1],
        [0, 9**17],
        {},
    )
    place[key] = random.choice(spoilt)
    if random.random() < 0.2 and isinstance(place, dict):
        del place[key]
    text = json.dumps(document).encode()
    return struct.pack(">BI", 1, len(text)) + text + data[5 + length :]


@pytest.mark.parametrize("spoil", [shorter, flipped, garbage, other_values])
def test_rubbish_is_a_state_error_or_a_frame(spoil: Callable[[Random, bytes], bytes]) -> None:
    random = Random(7)
    given = samples()
    refused = []
    for _ in range(2_500):
        try:
            read(spoil(random, random.choice(given)))
        except StateError as error:
            refused.append(error)
    assert len(refused) > 500
    assert all("frame of the exchange" in str(error) and error.hint for error in refused)


def test_every_cut_of_a_frame_is_refused() -> None:
    for data in samples():
        for length in range(len(data)):
            with pytest.raises(StateError):
                read(data[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\x02\0\0", "has 3 bytes"),
        (b"\x01\0\0\0\0{}", "has format 1, this version reads 2"),
        (b"\x02\0\0\0\x02{}", "cannot be read"),
        (b"\x02\0\0\0\x012", "cannot be read"),
        (b"\x02\xff\xff\xff\xff{}", "cannot be read"),
        (b'{"event_id": "e"}', "has format 123"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(StateError, match=message) as caught:
        read(data)
    assert caught.value.hint is not None
    assert "nobody else write to the exchange" in caught.value.hint


def fixture_frames() -> list[Frame]:
    """What the fixture holds: `python -m tests.unit.test_frames` wrote it."""
    events = batch(
        {
            "x": column([1, True, None, "größe", [1.0, -2.0], [], 2.5, ...]),
            "y": column([*range(8)]),
        },
        ids=[2**64 - 1, *range(7)],
        times=[NOON, *range(7)],
        first=2**40,
    )
    reaches = (Reach(Partition("a", 1), 3, 5, 1, None, True),)
    return [
        Events(events.partitions[0], (canonical(events), canonical(replace(events, group=1)))),
        Progress(reaches, {"a": Extent(1, 2)}),
        Heard(2, 7, every_step()),
    ]


def test_frames_of_format_2_can_be_read_for_ever() -> None:
    data = FIXTURE.read_bytes()
    for wanted in fixture_frames():
        (size,) = struct.unpack_from(">I", data)
        found, data = read(data[4 : 4 + size]), data[4 + size :]
        if isinstance(wanted, Events):
            assert isinstance(found, Events)
            assert found.partition == wanted.partition
            assert list(map(bits, found.batches)) == list(map(bits, wanted.batches))
        else:
            assert found == wanted
    assert not data


if __name__ == "__main__":
    pieces = [encode(frame) for frame in fixture_frames()]
    Path(sys.argv[1]).write_bytes(
        b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)
    )
