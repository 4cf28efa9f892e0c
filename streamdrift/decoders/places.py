"""Reading parts of events from wherever a mapping says they stand."""

from collections.abc import Sequence

from streamdrift.decoders.fields import gather
from streamdrift.decoders.mapping import (
    ConstantPlace,
    HeaderPlace,
    KeyPlace,
    Place,
    TopicPlace,
    parse_pointer,
)
from streamdrift.headers import header_texts
from streamdrift.records import Ints, Messages


def read_place(
    place: Place, messages: Messages, documents: Sequence[object], rows: Sequence[int]
) -> Sequence[object]:
    """Return a part of every event; `documents` and `rows` are their documents and messages."""
    if isinstance(place, str):
        return gather(documents, parse_pointer(place))
    if isinstance(place, ConstantPlace):
        return [place.constant] * len(documents)
    if isinstance(place, TopicPlace):
        return [messages.partition.topic] * len(documents)
    if isinstance(place, KeyPlace):
        return [_span(messages, messages.key_start, messages.key_length, row) for row in rows]
    assert isinstance(place, HeaderPlace)
    texts = header_texts(messages, place.header)
    return [texts[row] for row in rows]


def _span(messages: Messages, starts: Ints, lengths: Ints, row: int) -> str | None:
    if lengths[row] < 0:
        return None
    data = messages.data[starts[row] : starts[row] + lengths[row]]
    return data.tobytes().decode(errors="replace")
