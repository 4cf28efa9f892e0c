from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamdrift.errors import StateError
from streamdrift.state import decode, encode

_FIXTURE = Path(__file__).parent / "data" / "state-format-1.bin"
_TREE: dict[str, Any] = {
    "text": "naïve \ud800 \N{SNOWMAN}",
    "numbers": [0, -(2**63), 2**63 - 1, 0.1, float("inf"), float("nan")],
    "nothing": None,
    "flags": {"yes": True, "no": False},
    "array": np.arange(6, dtype=np.float64).reshape(2, 3),
    "small": [np.array([], dtype=np.int32), np.array([1, 255], dtype=np.uint8)],
    "truths": np.array([True, False]),
}

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | arrays.arrays(
        st.sampled_from([np.float64, np.int64, np.int32, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text().filter(lambda key: key != "$array"), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key != "$array"), _VALUES, max_size=4))
def test_what_is_encoded_is_decoded(tree: dict[str, Any]) -> None:
    np.testing.assert_equal(decode(encode(tree)), tree)
    assert encode(decode(encode(tree))) == encode(tree)


def test_arrays_come_back_with_type_and_shape_and_may_be_written_to() -> None:
    found = decode(encode(_TREE))["array"]
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    assert found.shape == (2, 3)
    found[0, 0] = 5


def test_format_1_is_still_read() -> None:
    np.testing.assert_equal(decode(_FIXTURE.read_bytes()), _TREE)


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_any_flipped_bit_is_noticed(place: int) -> None:
    data = bytearray(encode(_TREE))
    data[place % len(data)] ^= 4
    with pytest.raises(StateError) as caught:
        decode(bytes(data))
    assert "--reset-state" in str(caught.value.hint)


@pytest.mark.parametrize("size", [0, 3, 16, 17, 60, -1])
def test_what_is_cut_short_is_noticed(size: int) -> None:
    with pytest.raises(StateError):
        decode(encode(_TREE)[:size])


def test_what_a_snapshot_lacks_is_an_error_that_says_what_to_do() -> None:
    state: Any = decode(encode({"inner": {"a": 1}}))
    with pytest.raises(StateError, match="has no 'b'") as caught:
        state["inner"]["b"]
    assert "--reset-state" in str(caught.value.hint)
    assert state["inner"].get("b") is None


def test_another_format_is_named() -> None:
    data = bytearray(encode(_TREE))
    data[4] = 9
    with pytest.raises(StateError, match="format 9"):
        decode(bytes(data))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        np.float64(1.5),
        {"a": {1: 2}},
        {"$array": 0},
        np.array(["a"]),
        np.array([object()]),
    ],
)
def test_what_is_no_state_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode({"value": value})
