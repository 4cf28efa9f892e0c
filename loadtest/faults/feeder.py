"""What feeds a deployment under faults."""

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from loadtest.faults.progress import Mark
from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import Outbox
from tests.exactly_once import CYCLE, produce

_SEND_EVERY = 0.1
_REST_EVERY = 10.0


class Feeder:
    """Writes `rate` events a second to a topic, on a thread of its own.

    With `pause` it rests for so many seconds after every tenth second.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        topic: str,
        events: Iterator[tuple[int, bytes]],
        rate: int,
        pause: float,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._events = events
        self._rate, self._pause = rate, pause
        self._fed = 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self.fed: list[Mark] = []
        """When events were acknowledged, on the clock that never jumps, and how new they are.

        Without the rest of the last cycle: its last events wait for a rest to be noticed.
        """

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write no more, in a while."""
        self._enough.set()

    def end(self, patience: float) -> None:
        """Write the cycle to its end, after which no incident is open, and no more."""
        self.stop()
        self._thread.join(patience)
        assert not self._thread.is_alive(), "the feeder reaches no broker"
        rest = list(itertools.islice(self._events, -self._fed % CYCLE))
        produce(self._connection, self._topic, rest)

    def _feed(self) -> None:
        rested, part = time.monotonic(), round(self._rate * _SEND_EVERY)
        outbox: Outbox | None = None
        while not self._enough.is_set():
            chosen = list(itertools.islice(self._events, part))
            outbox = self._send(outbox, chosen)
            self._enough.wait(_SEND_EVERY)
            if self._pause and time.monotonic() - rested > _REST_EVERY:
                self._enough.wait(self._pause)
                rested = time.monotonic()
        if outbox is not None:
            outbox.close()

    def _send(self, outbox: Outbox | None, chosen: list[tuple[int, bytes]]) -> Outbox | None:
        """Write events, however often that takes: both runs read what then is there."""
        while True:
            try:
                outbox = outbox or Outbox(self._connection)
                for partition, value in chosen:
                    outbox.send(self._topic, value, partition=partition)
                outbox.flush()
            except ConnectionsError:
                if outbox is not None:
                    outbox.close()
                outbox = None
                time.sleep(0.5)
            else:
                self._fed += len(chosen)
                self._acknowledged(chosen)
                return outbox

    def _acknowledged(self, chosen: Sequence[tuple[int, bytes]]) -> None:
        for _, value in reversed(chosen):
            with suppress(ValueError, TypeError):  # Some are rubbish.
                self.fed.append(Mark(time.monotonic(), json.loads(value)["timestamp"]))
                return
