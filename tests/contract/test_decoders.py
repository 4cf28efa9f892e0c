"""What every decoder promises, over the registry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.columns import canonical, join, to_state
from streamdrift.decoders import DECODERS, make_decoder
from streamdrift.records import Decoded
from tests.messages import event, messages

every_format = pytest.mark.parametrize("name", sorted(DECODERS))
_VALUES = st.lists(
    st.none()
    | st.binary(max_size=30)
    | st.builds(
        event,
        model=st.sampled_from(["fraud", "churn"]),
        features=st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(max_size=3)),
    ),
    max_size=6,
)


@every_format
def test_nothing_to_decode_is_no_fault(name: str) -> None:
    decoded = make_decoder(name, {}).decode(messages([]))
    assert (decoded.batches, decoded.dead_letters, decoded.next_offset) == ((), (), 0)


@every_format
@settings(max_examples=100, deadline=None)
@given(_VALUES)
def test_no_message_raises_and_offsets_stay(name: str, values: list[bytes | None]) -> None:
    decoded = make_decoder(name, {}).decode(messages(values, first=70))
    offsets = [int(o) for batch in decoded.batches for o in batch.offset]
    offsets += [letter.offset for letter in decoded.dead_letters]
    assert all(70 <= offset < 70 + len(values) for offset in offsets)
    assert decoded.next_offset == 70 + len(values)
    for batch in decoded.batches:
        assert (np.diff(batch.offset) >= 0).all()
        assert {len(column.kinds) for column in batch.columns.values()} <= {len(batch)}


@every_format
@settings(max_examples=60, deadline=None)
@given(_VALUES, st.integers(0, 6))
def test_cuts_change_no_event(name: str, values: list[bytes | None], at: int) -> None:
    decoder = make_decoder(name, {})
    whole = decoder.decode(messages(values))
    at = min(at, len(values))
    parts = [
        decoder.decode(messages(values[:at])),
        decoder.decode(messages(values[at:], first=at)),
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
