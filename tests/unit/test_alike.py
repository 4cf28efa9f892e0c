"""The fast path of JSON gives bit for bit what the general reader gives."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.columns import canonical, to_state
from streamdrift.decoders import MappingSettings, alike, parsing
from streamdrift.decoders.fields import NULL
from streamdrift.decoders.json import JsonDecoder
from streamdrift.records import Decoded, Group, Kind
from tests.messages import event, messages


@pytest.fixture(autouse=True)
def _templates_for_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "FEWEST", 1)


def _both(values: Sequence[bytes | None], **mapping: Any) -> tuple[Decoded, Decoded, int]:
    """Return what both readers give, and how many messages the fast one left over."""
    made = messages(values, time=77)
    fast, general = JsonDecoder(MappingSettings(**mapping)), JsonDecoder(MappingSettings(**mapping))
    general._alike._usable = False
    _, left = fast._alike.read(made)
    return fast.decode(made), general.decode(made), len(left)


def _assert_equal(fast: Decoded, general: Decoded) -> None:
    assert fast.dead_letters == general.dead_letters
    assert fast.dropped_fields == general.dropped_fields
    assert fast.tombstones == general.tombstones
    assert [(b.model, b.version) for b in fast.batches] == [
        (b.model, b.version) for b in general.batches
    ]
    for one, other in zip(fast.batches, general.batches, strict=True):
        mine, theirs = to_state(canonical(one)), to_state(canonical(other))
        np.testing.assert_equal(mine, theirs)
        for a, b in zip(mine["columns"], theirs["columns"], strict=True):  # type: ignore[arg-type]
            assert a["numbers"].tobytes() == b["numbers"].tobytes()


def test_like_events_are_all_read_fast() -> None:
    values = [event(features={"x": i / 7, "c": f"k{i % 3}"}, latency_ms=i) for i in range(50)]
    fast, general, left = _both(values)
    _assert_equal(fast, general)
    assert left == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"model":"m","features":{"x":%s}}',
        '{ "model" : "m" , "features" : { "x" : %s } } ',
        '{"model":"m","features":{"y":1},"prediction":%s}',
        '{"model":"m","features":{"y":1},"prediction":{"score":%s}}',
        '{"model":"m","features":{"y":1},"latency_ms":%s}',
        '{"model":"m","features":{"y":1},"error":%s}',
        '{"model":"m","features":{"y":1},"timestamp":%s}',
        '{"model":"m","features":%s}',
        '{"model":"m","features":{"y":1},"event_id":%s}',
        '{"model":"m","prediction":1,"features":{"a":{"b":{"c":{"d":%s}}}}}',
        '{"model":"m","version":%s,"features":{"x":1}}',
        '{"model":%s,"features":{"x":1}}',
    ],
)
def test_every_value_at_every_place_is_read_alike(text: str) -> None:
    values = [
        "0",
        "-0",
        "-0.0",
        "1",
        "-17",
        "1.5",
        "1e3",
        "1E+3",
        "1.25e-7",
        "0.1",
        "123456789012345678",
        "1234567890123456789012",
        "1e400",
        "5e-324",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "true",
        "false",
        "null",
        "tru",
        "nulll",
        '""',
        '"a"',
        '"é"',
        '"a\\n"',
        '"1.5"',
        '"2026-01-01T00:00:00Z"',
        '"2026-13-01T00:00:00Z"',
        "1767225600",
        "1767225600123",
        "[]",
        "[1,2]",
        "{}",
        '{"z":1}',
        '{"code":"a"}',
        '"\x01"',
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "17.0",
        '"17"',
        '"a text of more than eight bytes"',
        "0.30000000000000004",
    ]
    made = [(text % value).encode() for value in values]
    for shift in range(0, len(made), 7):
        _assert_equal(*_both(made[shift:] + made[:shift])[:2])
    for value in made:
        _assert_equal(*_both([value, value])[:2])


@pytest.mark.parametrize(
    "values",
    [
        [b"", b" ", None, b"\xff", b"[1]", b"{}", b"[]", b"7", event()],
        [event(), event() + b" x", event()[:-1], event() + b"\n", b" " + event()],
        [b'{"model":"m","features":{"x":1,"x":2}}', b'{"model":"m","features":{"x":1,"x":3}}'],
        [b'{"model":"m","features":{"a.b":1,"a":{"b":2}}}'],
        [b'{"model":"m","features":{"a\\"b":1}}'],
        [b'{"model":"m","features":[1,2]}', b'{"model":"m"}'],
        [event(model="m"), event(model="n"), event(version="4"), event(version=4)],
        [event(model="m" * 201), event(version="v" * 201), event(model="")],
        [b"[" + event() + b"," + event() + b"]", event()],
    ],
)
def test_odd_messages_are_left_to_the_general_reader(values: list[bytes | None]) -> None:
    _assert_equal(*_both(values)[:2])
    _assert_equal(*_both(values[::-1] + [event()] * 3)[:2])


@pytest.mark.parametrize(
    "mapping",
    [
        {"features": "", "prediction": None},
        {"features": "", "prediction": "/prediction", "score": "/features/amount"},
        {"features": "/features", "prediction": None, "label": "/prediction/label"},
        {"features": None},
        {"model": {"topic": True}, "version": None, "time": None},
        {"model": {"constant": "m"}, "version": {"constant": "1"}},
        {"model": {"key": True}},
        {"time": {"header": "at"}},
        {"metrics": {"amount": "/features/amount", "user": "/features/user"}},
        {"failed": "/features"},
        {"time": "/features/amount"},
        {"version": "/prediction/version"},
        {"version": "/prediction/version", "features": None},
        {"version": "/prediction/version", "prediction": ""},
        {"version": "/prediction/version", "features": "", "failed": "/prediction"},
        {"version": "/prediction/version", "score": "/prediction/version"},
        {"version": "/prediction/version", "metrics": {"odd": "/prediction/version/odd"}},
        {"version": "/prediction/a/b/c/d/e"},
        {"version": "/features/a/b/c/d/e"},
        {"version": "/prediction"},
        {"model": "/features/user/name", "version": "/prediction/label"},
        {"score": "/prediction/version", "label": "/prediction/score"},
        {"metrics": {"version": "/prediction/version"}, "latency_ms": "/prediction/score"},
        {"failed": "/version", "time": "/version"},
        {"id": "/model"},
        {"id": "/version"},
        {"id": "/features/amount"},
        {"id": "/prediction"},
        {"id": "/timestamp"},
        {"id": ""},
        {"id": None},
        {"id": {"key": True}},
        {"id": {"header": "id"}},
        {"id": {"constant": "c"}},
        {"id": {"topic": True}},
    ],
)
def test_every_mapping_is_followed_alike(mapping: dict[str, Any]) -> None:
    deep = {"a": {"b": {"c": {"d": {"e": "9"}}}}}
    predictions: list[object] = [
        {"version": "3", "score": None},
        {"version": "3", "label": "ok", "score": 0.5},
        {"version": "3"},
        {"version": {"odd": 1}},
        deep,
        "ok",
        0.5,
        None,
    ]
    values = [
        event(features={"amount": 1.5, "user": {"age": 3, "name": "m"}}),
        event(),
        event(latency_ms=2),
        event(features=deep),
        *(event(prediction=each) for each in predictions),
        *(event(prediction=each, features={"user": {"name": "m"}}) for each in predictions),
    ]
    _assert_equal(*_both(values, **mapping)[:2])
    for value in values:
        _assert_equal(*_both([value], **mapping)[:2])


def test_version_within_the_prediction_is_no_output() -> None:
    value = event(prediction={"version": "3", "score": None})
    for decoded in _both([value] * 3, version="/prediction/version")[:2]:
        (batch,) = decoded.batches
        outputs = {k.name: c.kinds[0] for k, c in batch.columns.items() if k.group is Group.OUTPUT}
        assert (batch.version, outputs) == ("3", {"score": Kind.NULL, "null": Kind.BOOLEAN})
        assert batch.columns[NULL].numbers.tolist() == [1, 1, 1]


def test_too_large_is_too_large_also_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "MAX_MESSAGE_BYTES", 500)
    monkeypatch.setattr(parsing, "MAX_MESSAGE_BYTES", 500)
    large = event(features={"amount": "a" * 500})
    fast, slow, left = _both([event(), large, event()])
    _assert_equal(fast, slow)
    assert (left, [letter.reason for letter in fast.dead_letters]) == (1, ["too_large"])


def test_few_like_events_are_left_to_the_general_reader() -> None:
    odd = [event(features={f"x{i}": i}) for i in range(100)]
    _, _, left = _both(odd)
    assert left == 100
    same = [event()] * 100
    for values in (odd[:10] + same, same + odd[:10], [None] * 50 + same, [b"?"] * 9 + same):
        fast, slow, left = _both(values)
        _assert_equal(fast, slow)
        assert left <= len(values) - 100


def test_names_beyond_the_limit_are_the_same_for_both() -> None:
    odd = [event(features={f"{i}-{j}": j for j in range(600)}) for i in range(9)]
    fast, slow, _ = _both([event()] * 60 + odd)
    assert fast.dropped_fields == slow.dropped_fields == 401
    _assert_equal(fast, slow)


_LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["2026-01-01T00:00:00Z", "a", "b"])
)
_NAMES = st.sampled_from(["a", "b", "c.d", "é"])
_FIELDS = st.dictionaries(_NAMES, _LEAF | st.dictionaries(_NAMES, _LEAF, max_size=2), max_size=3)
_DOCUMENTS = st.fixed_dictionaries(
    {"model": st.sampled_from(["m", "n"])},
    optional={
        "version": st.sampled_from(["1", "2"]) | _LEAF,
        "timestamp": _LEAF,
        "event_id": _LEAF,
        "features": _FIELDS,
        "prediction": _LEAF | _FIELDS,
        "latency_ms": _LEAF,
        "error": _LEAF,
    },
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(_DOCUMENTS, st.integers(1, 3), st.sampled_from([None, 1])), max_size=5))
def test_any_events_are_read_alike(shapes: list[tuple[dict[str, Any], int, int | None]]) -> None:
    alike.FEWEST = 1
    values: list[bytes | None] = [
        json.dumps(document, indent=indent).encode()
        for document, times, indent in shapes
        for _ in range(times)
    ]
    _assert_equal(*_both(values)[:2])
