"""From messages to alerts: decoders, ordering and monitor in a row, the same for every driver."""

from collections.abc import Callable

from streamdrift.decoders import Decoder
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering
from streamdrift.records import Decoded, Messages, Notice, Observation, Partition, Released, State
from streamdrift.trees import integer, tree

NO_TIME = -(2**63)
"""Before any time: nothing was observed yet."""


class Pipeline:
    """What the service and a replay both drive.

    `decoder_of` gives the decoder of a topic. Nothing here asks the machine for the time:
    idle verdicts and ticks come from whoever drives it.
    """

    def __init__(
        self, decoder_of: Callable[[str], Decoder], ordering: Ordering, monitor: Monitor
    ) -> None:
        self._decoder_of = decoder_of
        self._decoders: dict[str, Decoder] = {}
        self.ordering = ordering
        self.monitor = monitor
        self.watermark = NO_TIME
        """Event time up to which everything is observed."""
        self.last_event_at = NO_TIME
        """Time of the last event observed."""

    def feed(self, messages: Messages) -> Decoded:
        """Take the next messages of a partition; return what they held (for counting)."""
        topic = messages.partition.topic
        decoder = self._decoders.get(topic)
        if decoder is None:
            decoder = self._decoders[topic] = self._decoder_of(topic)
        return self.feed_decoded(decoder.decode(messages))

    def feed_decoded(self, decoded: Decoded) -> Decoded:
        """Take events that a source decoded itself (columnar files)."""
        self.ordering.push(decoded)
        return decoded

    def idle(self, partition: Partition) -> None:
        """Let a partition that has no events stop holding the others back."""
        self.ordering.idle(partition)

    def tick_after(self, elapsed: int) -> None:
        """Say that all partitions are idle, since `elapsed` microseconds after the last event.

        So silence is noticed without an event. It is measured from the last event's own
        time: a history that ends in the past makes no pause of years.
        """
        if self.last_event_at > NO_TIME:
            self.ordering.tick(self.last_event_at + elapsed)

    def release(self) -> Observation:
        """Observe what is in order by now."""
        return self._observe(self.ordering.release(), self.monitor.observe)

    def _observe(
        self, released: Released, observe: Callable[[Released], Observation]
    ) -> Observation:
        self.watermark = released.watermark
        for batch in released.batches:
            self.last_event_at = max(self.last_event_at, int(batch.time[-1]))
        return observe(released)

    def drain(self) -> Observation:
        """Observe all that is left, at the end of all input."""
        return self._observe(self.ordering.drain(), self.monitor.drain)

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "ordering": self.ordering.snapshot(),
            "monitor": self.monitor.snapshot(),
            "last_event_at": self.last_event_at,
        }

    def restore(self, state: State) -> list[Notice]:
        """Take over what `snapshot` returned, before anything was fed.

        Return what is to be told where the settings are others than those of the snapshot.
        """
        self.ordering.restore(tree(state, "ordering"))
        self.last_event_at = integer(state, "last_event_at")
        return self.monitor.restore(tree(state, "monitor"))
