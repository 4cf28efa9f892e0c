"""Flat JSON, as FastAPI and BentoML services log it: all fields that are nothing else are features.

https://docs.bentoml.com (model monitoring and data collection).
"""

from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.decoders.presets import over
from streamdrift.records import Decoded, Messages

PRESET = MappingSettings(features="", score="/score", label="/label")


class FlatDecoder:
    """Decodes JSON objects whose fields are those of an event, and features beside them."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._json = JsonDecoder(over(PRESET, mapping))

    def decode(self, messages: Messages) -> Decoded:
        return self._json.decode(messages)
