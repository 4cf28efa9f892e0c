"""What every decoder promises, over the registry."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamdrift.columns import canonical, join, to_state
from streamdrift.decoders import DECODERS
from streamdrift.decoders.letters import HINTS
from streamdrift.headers import Header
from streamdrift.records import Decoded, Messages, Partition
from streamdrift.sources.packing import Record, pack
from tests.formats import EXAMPLES, TIME, Example, shown
from tests.messages import event, messages

every_format = pytest.mark.parametrize("name", sorted(DECODERS))
every_example = pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{each.format}-{each.topic}" for each in EXAMPLES]
)
slowly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_Message = tuple[bytes | None, Sequence[Header]]


def examples_of(name: str) -> list[Example]:
    return [each for each in EXAMPLES if each.format == name]


def _damaged(value: bytes, at: int, byte: int, cut: int) -> bytes:
    place = at % len(value)
    return (value[:place] + bytes([byte]) + value[place + 1 :])[: len(value) - cut % len(value)]


def _sent(name: str) -> st.SearchStrategy[list[_Message]]:
    """Messages of a format, some of them damaged, among rubbish, tombstones and other formats."""
    good = st.sampled_from(
        [(each.value, each.headers) for e in examples_of(name) for each in e.sent]
    )
    other = st.sampled_from([(each.value, each.headers) for e in EXAMPLES for each in e.sent])
    byte = st.integers(0, 255)
    damaged = st.builds(
        lambda each, at, byte, cut: (_damaged(each[0], at, byte, cut), each[1]),
        *(good, st.integers(0, 10_000), byte, st.just(0) | st.integers(1, 10_000)),
    )
    plain = st.builds(
        event,
        model=st.sampled_from(["fraud", "churn"]),
        features=st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(max_size=3)),
    )
    headers = st.sampled_from([each.headers for e in examples_of(name) for each in e.sent])
    rubbish = st.tuples(st.none() | st.binary(max_size=40) | plain, headers)
    return st.lists(st.one_of(good, damaged, other, rubbish), max_size=6)


def _packed(name: str, sent: Sequence[_Message], first: int = 0) -> Messages:
    return messages(
        [value for value, _ in sent],
        partition=Partition(examples_of(name)[0].topic, 0),
        first=first,
        time=TIME,
        headers_of_each=[headers for _, headers in sent],
    )


def test_every_format_has_examples() -> None:
    assert {each.format for each in EXAMPLES} == set(DECODERS)


@every_example
def test_events_are_read_as_they_were_written(example: Example) -> None:
    decoded = example.decoder().decode(example.messages())
    assert decoded.dead_letters == ()
    assert shown(decoded) == {
        (offset, index): dict(each)
        for offset, sent in enumerate(example.sent)
        for index, each in enumerate(sent.events)
    }


@every_example
def test_many_messages_are_read_as_each_is(example: Example) -> None:
    """Where a format has a faster way for many messages, that gives what one alone gives."""
    times = 200
    many = shown(example.decoder().decode(example.messages(times)))
    size = len(example.sent)
    few = shown(example.decoder().decode(example.messages()))
    assert many == {
        (offset + size * time, index): each
        for (offset, index), each in few.items()
        for time in range(times)
    }


@every_example
def test_no_neighbour_is_harmed(example: Example) -> None:
    """Between any two messages stands one that is nothing: the others lose nothing by it."""
    for rubbish in (b"\xff\xfe rubbish", b"", b"[[[", b'"text"', b"\x00", b"null"):
        sent: list[_Message] = []
        for each in example.sent:
            sent += [(each.value, each.headers), (rubbish, each.headers)]
        packed = messages(
            [value for value, _ in sent],
            partition=Partition(example.topic, 0),
            time=TIME,
            headers_of_each=[headers for _, headers in sent],
        )
        decoded = example.decoder().decode(packed)
        assert shown(decoded) == {
            (2 * offset, index): dict(each)
            for offset, good in enumerate(example.sent)
            for index, each in enumerate(good.events)
        }
        letters = {letter.offset: letter for letter in decoded.dead_letters}
        assert sorted(letters) == [2 * place + 1 for place in range(len(example.sent))]
        assert {letter.value for letter in letters.values()} == {rubbish}
        assert {letter.reason for letter in letters.values()} <= set(HINTS)


@every_format
def test_nothing_to_decode_is_no_fault(name: str) -> None:
    decoded = examples_of(name)[0].decoder().decode(messages([]))
    assert (decoded.batches, decoded.dead_letters, decoded.next_offset) == ((), (), 0)


@every_format
def test_null_values_are_counted(name: str) -> None:
    decoder = examples_of(name)[0].decoder()
    bare = pack(Partition("predictions", 0), [Record(0, 0, None), Record(1, 0, None)], 2)
    for nulls in (messages([None, None]), bare):
        decoded = decoder.decode(nulls)
        assert (decoded.batches, decoded.dead_letters, decoded.tombstones) == ((), (), 2)


@every_format
def test_messages_without_a_byte_are_dead_letters(name: str) -> None:
    bare = pack(Partition("predictions", 0), [Record(0, 0, b""), Record(1, 0, b"")], 2)
    decoded = examples_of(name)[0].decoder().decode(bare)
    assert [letter.offset for letter in decoded.dead_letters] == [0, 1]


@every_format
@slowly
@given(st.data())
def test_no_message_raises_and_offsets_stay(name: str, data: st.DataObject) -> None:
    sent = data.draw(_sent(name))
    decoded = examples_of(name)[0].decoder().decode(_packed(name, sent, first=70))
    offsets = [int(o) for batch in decoded.batches for o in batch.offset]
    offsets += [letter.offset for letter in decoded.dead_letters]
    assert all(70 <= offset < 70 + len(sent) for offset in offsets)
    assert decoded.next_offset == 70 + len(sent)
    for letter in decoded.dead_letters:
        assert letter.value == sent[letter.offset - 70][0]
        assert letter.reason in HINTS
    for batch in decoded.batches:
        assert (np.diff(batch.offset) >= 0).all()
        assert {len(column.kinds) for column in batch.columns.values()} <= {len(batch)}


@every_format
@slowly
@given(st.data(), st.integers(0, 6))
def test_cuts_change_no_event(name: str, data: st.DataObject, at: int) -> None:
    sent = data.draw(_sent(name))
    decoder = examples_of(name)[0].decoder()
    whole = decoder.decode(_packed(name, sent))
    at = min(at, len(sent))
    parts = [
        decoder.decode(_packed(name, sent[:at])),
        decoder.decode(_packed(name, sent[at:], first=at)),
    ]
    assert _dead(parts) == _dead([whole])
    assert _events(parts) == _events([whole])


def _dead(parts: list[Decoded]) -> list[object]:
    return [letter for part in parts for letter in part.dead_letters]


def _events(parts: list[Decoded]) -> dict[tuple[str, str], str]:
    """Return each model version's events as text, however they were batched."""
    names = {(batch.model, batch.version) for part in parts for batch in part.batches}
    return {
        name: str(
            to_state(
                canonical(
                    join(
                        [
                            batch
                            for part in parts
                            for batch in part.batches
                            if (batch.model, batch.version) == name
                        ]
                    )
                )
            )
        )
        for name in names
    }
