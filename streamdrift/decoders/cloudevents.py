"""CloudEvents on Kafka, binary or structured: their data is an event as a mapping describes it.

https://github.com/cloudevents/spec (Kafka protocol binding, JSON event format).
"""

from streamdrift.decoders.beside import Beside
from streamdrift.decoders.envelopes import to_binary, with_originals
from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.mapping import HeaderPlace, MappingSettings
from streamdrift.records import Decoded, Messages

BESIDE = Beside(time=HeaderPlace(header="ce_time"), id=HeaderPlace(header="ce_id"))
"""The attributes that say what the data does not."""


class CloudEventsDecoder:
    """Decodes CloudEvents; in both modes a mapping finds an attribute as the header `ce_NAME`."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._json = JsonDecoder(mapping, BESIDE)

    def decode(self, messages: Messages) -> Decoded:
        opened, letters = to_binary(messages)
        return with_originals(self._json.decode(opened), messages, letters)
