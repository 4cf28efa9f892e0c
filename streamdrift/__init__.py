"""streamdrift: a streaming drift detector for prediction events on Kafka."""

__version__ = "0.1.0"
