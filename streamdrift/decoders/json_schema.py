"""JSON as a schema registry's JSON Schema serialisers write it: behind the schema's id.

The schema itself is not asked for: what JSON holds shows without one. JSON that has no id before
it is read too, as some producers write only some of their messages with one.
"""

import numpy as np

from streamdrift.decoders.envelopes import with_originals
from streamdrift.decoders.framing import payload_starts, without_frames
from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.records import Decoded, Messages


class JsonSchemaDecoder:
    """Decodes framed JSON, in any shape that a mapping describes."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._json = JsonDecoder(mapping)

    def decode(self, messages: Messages) -> Decoded:
        starts, good = payload_starts(messages)
        opened = without_frames(messages, np.where(good, starts, messages.start))
        return with_originals(self._json.decode(opened), messages, ())
