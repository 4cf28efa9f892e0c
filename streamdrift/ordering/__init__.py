"""Batches of many partitions in, one event-ordered stream with a watermark out."""

from streamdrift.ordering.merge import Ordering
from streamdrift.ordering.settings import OrderingSettings

__all__ = ["Ordering", "OrderingSettings"]
