"""From messages to alerts: decoders, ordering and monitor in a row, the same for every driver."""

from collections.abc import Callable, Mapping

from streamdrift.decoders import Decoder
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering
from streamdrift.records import Decoded, Messages, Observation, Partition, State


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

    def tick(self, time: int) -> None:
        """Say that no event older than `time` will come, as all partitions are idle."""
        self.ordering.tick(time)

    def release(self) -> Observation:
        """Observe what is in order by now."""
        return self.monitor.observe(self.ordering.release())

    def drain(self) -> Observation:
        """Observe all that is left, at the end of all input."""
        return self.monitor.drain(self.ordering.drain())

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {"ordering": self.ordering.snapshot(), "monitor": self.monitor.snapshot()}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned, before anything was fed."""
        ordering, monitor = state["ordering"], state["monitor"]
        assert isinstance(ordering, Mapping)
        assert isinstance(monitor, Mapping)
        self.ordering.restore(ordering)
        self.monitor.restore(monitor)
