"""Small Arrow messages that say they are large: a dead letter, before memory is taken."""

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.decoders.limits import MAX_CELLS, MAX_EVENTS, MAX_UNPACKED_BYTES
from streamdrift.records import Decoded
from tests.formats import arrow_stream, shown
from tests.messages import messages

_MODEL = {"constant": "m"}
_ROOM = 256 << 20
_CHILD = f"""
import resource, sys
from streamdrift.decoders import make_decoder
from tests.messages import messages
value = sys.stdin.buffer.read()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {_ROOM}, used + {_ROOM}))
decoded = make_decoder("arrow", {{"model": {_MODEL}}}).decode(messages([value]))
print([(each.reason, each.detail) for each in decoded.dead_letters])
"""


def decode(value: bytes) -> Decoded:
    return make_decoder("arrow", {"model": _MODEL}).decode(messages([value]))


def written(batches: list[Any], file: bool = False, **options: Any) -> bytes:
    sink = io.BytesIO()
    to = pa.ipc.new_file if file else pa.ipc.new_stream
    with to(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def zeros(size: int) -> Any:
    return pa.record_batch({"x": np.zeros(size)})


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS bounds memory on Linux alone")
@pytest.mark.parametrize(("rows", "columns"), [(20_000_000, 1), (MAX_EVENTS, 40)])
def test_what_decompresses_to_very_much_takes_no_memory(rows: int, columns: int) -> None:
    value = arrow_stream({f"x{n}": np.zeros(rows) for n in range(columns)}, "zstd")
    assert len(value) < 60_000
    ended = subprocess.run([sys.executable, "-c", _CHILD], input=value, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert b"'too_large_unpacked'" in ended.stdout


def _nulls_in_a_list() -> bytes:
    count = MAX_CELLS + 1
    return arrow_stream({"x": pa.ListArray.from_arrays([0, count], pa.nulls(count))})


def _texts_of_a_dictionary() -> bytes:
    text = pa.array(["x" * (1 << 20)])
    lists = pa.ListArray.from_arrays(
        pa.array([0, 100], pa.int32()),
        pa.DictionaryArray.from_arrays(np.zeros(100, dtype=np.int8), text),
    )
    return arrow_stream({"x": lists})


def _one_dictionary_many_times() -> bytes:
    run = pa.RunEndEncodedArray.from_arrays(pa.array([100], pa.int32()), ["x" * (1 << 20)])
    return arrow_stream({"x": run})


def _bytes_of_a_dictionary() -> bytes:
    codes = np.zeros(100, dtype=np.int8)
    values = pa.array([b"x" * (1 << 20)])
    return arrow_stream({"x": pa.DictionaryArray.from_arrays(codes, values)})


def _views_of_one_text() -> bytes:
    view = pa.array(["x" * (1 << 20)], pa.string_view())
    views = view.buffers()[1].to_pybytes() * 100
    buffers = [None, pa.py_buffer(views), view.buffers()[2]]
    return arrow_stream({"x": pa.Array.from_buffers(pa.string_view(), 100, buffers)})


def _views_of_one_list() -> bytes:
    inner = pa.array(np.zeros(1 << 20, dtype=np.int8))
    starts, sizes = [np.full(20, n, dtype=np.int32) for n in (0, 1 << 20)]
    return arrow_stream({"x": pa.ListViewArray.from_arrays(starts, sizes, inner)})


def _members_of_a_union() -> bytes:
    kinds, places = np.zeros(100, dtype=np.int8), np.zeros(100, dtype=np.int32)
    members = [pa.array(["x" * (1 << 20)])]
    union = pa.UnionArray.from_dense(pa.array(kinds), pa.array(places), members)
    return arrow_stream({"x": union})


def _dictionaries_that_grow() -> bytes:
    texts = ["x" * (1 << 20), *map(str, range(80))]
    batches = [
        pa.record_batch(
            {
                "x": pa.DictionaryArray.from_arrays(
                    pa.array([0], pa.int32()), pa.array(texts[: 1 + n])
                )
            }
        )
        for n in range(80)
    ]
    return written(batches, emit_dictionary_deltas=True)


def _one_dictionary_for_many_batches() -> bytes:
    """Return batches of 137 bytes, each of which says again to check a dictionary of 10 MB."""
    codes = pa.array([0], pa.int8())
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * (10 << 20)]))
    return written([pa.record_batch({"x": column})] * 500)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (arrow_stream({"x": pa.nulls(MAX_EVENTS + 1)}), "1,048,577 events"),
        (written([zeros(MAX_EVENTS), zeros(1)], compression="lz4"), "1,048,577 events"),
        (written([zeros(MAX_EVENTS), zeros(1)], True, compression="zstd"), "1,048,577 events"),
        (_nulls_in_a_list(), "cells"),
        (_texts_of_a_dictionary(), "dictionaries laid out"),
        (_one_dictionary_many_times(), "dictionaries laid out"),
        (_bytes_of_a_dictionary(), "dictionaries laid out"),
        (_views_of_one_text(), "dictionaries laid out"),
        (_members_of_a_union(), "dictionaries laid out"),
        (_views_of_one_list(), "dictionaries laid out"),
        (_dictionaries_that_grow(), "bytes without compression"),
        (_one_dictionary_for_many_batches(), "counted with each batch"),
    ],
)
def test_what_stands_for_very_much_is_a_dead_letter(value: bytes, said: str) -> None:
    decoded = decode(value)
    (letter,) = decoded.dead_letters
    assert (letter.reason, decoded.batches) == ("too_large_unpacked", ())
    assert said in letter.detail


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_as_many_events_as_are_read_are_read(compression: str | None) -> None:
    value = written([zeros(MAX_EVENTS - 1), zeros(1)], compression=compression)
    (batch,) = decode(value).batches
    assert len(batch) == MAX_EVENTS
    assert MAX_UNPACKED_BYTES >= 8 * MAX_EVENTS


@pytest.mark.parametrize("says", [-2, -(1 << 63), 1 << 40, (1 << 63) - 1, 7])
def test_a_compressed_buffer_that_lies_about_its_length_is_a_dead_letter(says: int) -> None:
    value = arrow_stream({"x": np.zeros(1_000)}, "lz4")
    true = (8_000).to_bytes(8, "little")
    assert value.count(true) == 1
    decoded = decode(value.replace(true, says.to_bytes(8, "little", signed=True)))
    (letter,) = decoded.dead_letters
    large = says > MAX_UNPACKED_BYTES
    assert letter.reason == ("too_large_unpacked" if large else "invalid_arrow")


@pytest.mark.parametrize("cut", [-1, -8, -11, 9, 8])
def test_a_file_without_its_end_is_a_dead_letter(cut: int) -> None:
    value = written([zeros(3)], True)
    (letter,) = decode(value[:cut]).dead_letters
    assert letter.reason == "invalid_arrow"


def test_dictionaries_of_ids_times_and_models_are_read_by_their_codes() -> None:
    columns = {
        "model": pa.array(["a", "b", None]),
        "event_id": pa.array(["1", None, "1"]),
        "timestamp": pa.array(["2026-01-01T00:00:00Z", None, "2026-01-02T00:00:00Z"]),
        "x": pa.array(["u", None, "v"]),
    }
    decoder = make_decoder("arrow", {})
    one, other = (
        decoder.decode(messages([arrow_stream(each)]))
        for each in (
            columns,
            {name: each.dictionary_encode() for name, each in columns.items()},
        )
    )
    assert shown(one) == shown(other)
    assert [b.ids.tolist() for b in one.batches] == [b.ids.tolist() for b in other.batches]
    assert [b.time.tolist() for b in one.batches] == [b.time.tolist() for b in other.batches]
    assert [e.reason for e in one.dead_letters] == [e.reason for e in other.dead_letters]
    assert [e.reason for e in one.dead_letters] == ["no_model"]
