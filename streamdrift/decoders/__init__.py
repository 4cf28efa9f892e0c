"""From messages to columns: one decoder per event format.

To add a format: a module with its decoder, and a line in `DECODERS`; the contract tests then
cover it. Decoders keep no state, as several workers may decode parts of one stream.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.mapping import MappingSettings, check_mapping
from streamdrift.errors import SettingsError
from streamdrift.records import Decoded, Messages

__all__ = ["DECODERS", "Decoder", "MappingSettings", "make_decoder"]


class Decoder(Protocol):
    """Turns messages into events."""

    def decode(self, messages: Messages) -> Decoded:
        """Return the events of `messages`, and a dead letter for each that is none.

        Never raises for what a message holds, and no message harms its neighbours.
        """
        ...


DECODERS: Mapping[str, Callable[[MappingSettings], Decoder]] = {
    "json": JsonDecoder,
}
"""The registry: a format's name, and what builds its decoder from a mapping."""


def make_decoder(format: str, mapping: Mapping[str, Any]) -> Decoder:  # noqa: A002
    """Return the decoder of a format; raise SettingsError where format or mapping are wrong."""
    decoder = DECODERS.get(format)
    if decoder is None:
        known = ", ".join(sorted(DECODERS))
        raise SettingsError(f"source.format: {format!r} is no format", hint=f"one of: {known}")
    return decoder(check_mapping(mapping))
