"""From settings to the pipeline that the service and a replay both drive."""

from streamdrift.config import Settings
from streamdrift.decoders import Decoder, make_decoder
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering
from streamdrift.pipeline import Pipeline


def make_pipeline(settings: Settings, *, timed: bool = True) -> Pipeline:
    """Return a pipeline without state; `timed` is False where event times are made up."""

    def decoder_of(topic: str) -> Decoder:
        entry = settings.source.settings_of(topic)
        format_ = (entry and entry.format) or settings.source.format
        mapping = entry.mapping if entry and entry.mapping is not None else settings.source.mapping
        return make_decoder(format_, mapping)

    monitor = Monitor(settings.model, timed=timed)
    return Pipeline(decoder_of, Ordering(settings.ordering), monitor)
