"""What counts as an event's id, and which ids are the same."""

import json
from typing import Any

import numpy as np
import pytest

from streamdrift.columns import cut, join, take
from streamdrift.decoders import MappingSettings
from streamdrift.decoders.ids import hash_cells
from streamdrift.decoders.json import JsonDecoder
from streamdrift.records import Messages
from tests.messages import event, messages


def _ids(made: Messages, **mapping: Any) -> list[int]:
    (batch,) = JsonDecoder(MappingSettings(**mapping)).decode(made).batches
    assert batch.ids.dtype == np.uint64
    return [int(each) for each in batch.ids]


@pytest.mark.parametrize("often", [1, 100])
@pytest.mark.parametrize("none", [None, True, "", {}, [1], {"a": "b"}])
def test_no_id_is_zero(none: object, often: int) -> None:
    assert _ids(messages([event(event_id=none)] * often)) == [0] * often


@pytest.mark.parametrize("often", [1, 100])
def test_an_absent_id_is_zero(often: int) -> None:
    value = b'{"model":"m","features":{"x":1},"timestamp":1767225600}'
    assert _ids(messages([value] * often)) == [0] * often


def test_ids_are_told_apart() -> None:
    ids = [*(f"e-{i}" for i in range(5_000)), "é", "e", "e\0", "\0", *range(-500, 5_000)]
    ids += [2**53, 2**53 + 1, 2**64 - 1, -(2**63), 0.5, 17.5, 1e300]
    found = _ids(messages([event(event_id=each) for each in ids]))
    assert 0 not in found
    assert len(set(found)) == len(ids)


def test_digits_are_one_id_as_a_number_and_as_a_text() -> None:
    assert len(set(_ids(messages([event(event_id=17), event(event_id="17")])))) == 1


def test_zeros_and_equal_fractions_are_one_id_each() -> None:
    texts = [b"0", b"-0", b'"0"', b"2.50", b"25e-1", b"2.5"]
    values = [b'{"model":"m","features":{"x":1},"timestamp":1,"event_id":%s}' % t for t in texts]
    for often in (1, 50):
        found = _ids(messages(values * often))
        assert (len(set(found[:3])), len(set(found[3:6]))) == (1, 1)
        assert len(set(found)) == 2


def test_hashes_never_change() -> None:
    """Windows of ids are kept in the state: another hash would see no repeat after an update."""
    cells = ["e-1", "é", "0123456789abcdef-0123", 17, 0.5, None]
    assert [f"{int(each):016x}" for each in hash_cells(cells)] == _GOLDEN


_GOLDEN = [
    "808c4e31f012959e",
    "e2b2d2809be4263b",
    "47f211170b9e3ed4",
    "caa8731759e55489",
    "4bac1b626c052149",
    "0000000000000000",
]


def test_ids_beside_the_document() -> None:
    keys = [b"a", b"b", None, b"", b"a"]
    found = _ids(messages([event()] * 5, keys=keys), id={"key": True})
    assert found[0] == found[4] != found[1] != 0
    assert found[2:4] == [0, 0]
    headed = messages([event()] * 2, headers=[("id", b"a"), ("null", None)])
    assert _ids(headed, id={"header": "id"}) == [found[0]] * 2
    assert _ids(headed, id={"header": "null"}) == [0, 0]
    assert _ids(headed, id=None) == [0, 0]


def test_events_of_one_message_have_ids_of_their_own() -> None:
    array = b"[" + event() + b"," + event() + b"]"
    found = _ids(messages([array, event()], keys=[b"a", b"a"]), id={"key": True})
    assert found[0] == found[2] != found[1] != 0


def test_ids_follow_their_events() -> None:
    values = [event(event_id=i, features={"x": i}) for i in range(6)]
    (batch,) = JsonDecoder(MappingSettings()).decode(messages(values)).batches
    ids = batch.ids.tolist()
    assert cut(batch, 2, 4).ids.tolist() == ids[2:4]
    assert take(batch, np.array([5, 0])).ids.tolist() == [ids[5], ids[0]]
    assert join([cut(batch, 3, 6), cut(batch, 0, 3)]).ids.tolist() == ids[3:] + ids[:3]


def test_numbers_beyond_64_bits_are_floats_in_any_company() -> None:
    big = -(2**63) - 1
    plain = {"model": "m", "features": {"x": 1}, "timestamp": 1, "event_id": big}
    with_nan = {**plain, "features": {"x": float("nan")}}
    found = _ids(messages([json.dumps(each).encode() for each in (plain, with_nan)]))
    assert found[0] == found[1] != 0
