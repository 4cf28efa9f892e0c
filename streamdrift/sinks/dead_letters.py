"""What could not be decoded, to a topic of its own, as it came."""

from collections.abc import Sequence

from streamdrift.kafka.outbox import Outbox
from streamdrift.records import DeadLetter

LARGEST_VALUE = 900_000
"""Bytes of a value that are kept: with key and headers it stays below brokers' 1 MiB."""
_LARGEST_DETAIL = 4_000


class DeadLetters:
    """Writes dead letters to `topic`: the original value, and the circumstances as headers.

    The headers are `reason`, `detail`, `topic`, `partition`, `offset`, `index`, `time`
    (microseconds since the epoch), and `original_length` where the value was cut. The key
    is the topic and partition the message came from.
    """

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self._outbox = outbox
        self._topic = topic

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Hand `letters` to the producer; raise ConnectionsError where one is refused."""
        for letter in letters:
            value = None if letter.value is None else letter.value[:LARGEST_VALUE]
            key = f"{letter.partition.topic}/{letter.partition.number}".encode()
            self._outbox.send(self._topic, value, key=key, headers=headers_of(letter))

    def flush(self) -> None:
        """Return when all letters are durable; raise ConnectionsError else."""
        self._outbox.flush()


def headers_of(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Return a letter's circumstances as record headers."""
    facts = {
        "reason": letter.reason,
        "detail": letter.detail[:_LARGEST_DETAIL],
        "topic": letter.partition.topic,
        "partition": letter.partition.number,
        "offset": letter.offset,
        "index": letter.index,
        "time": letter.time,
    }
    if letter.value is not None and len(letter.value) > LARGEST_VALUE:
        facts["original_length"] = len(letter.value)
    return [(name, str(fact).encode()) for name, fact in facts.items()]
