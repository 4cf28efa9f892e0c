"""The table of incidents, kept up with its topic."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from random import SystemRandom

import structlog

from streamdrift.backoff import Backoff
from streamdrift.errors import InputError, StreamdriftError
from streamdrift.incident_table import IncidentTable
from streamdrift.kafka import KafkaSettings
from streamdrift.metrics import Metrics
from streamdrift.outbox import Outbox
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.log import Log
from streamdrift.topics import check_exists

LOOK_SECONDS = 0.5
"""Between two looks at what is new."""
_TIDY_SECONDS = 60.0
"""Between two looks at what is no longer kept."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_STOP_SECONDS = 5.0
_log = structlog.get_logger("streamdrift")


class TopicReader:
    """Reads a topic of incidents into a table, from where it was at the last call on."""

    def __init__(self, topic: str, table: IncidentTable) -> None:
        self._topic = topic
        self._table = table
        self._position = 0
        self._told = False
        self.complete = False
        """Whether the topic was read to its end, and nothing unforeseen keeps it from being so."""

    def read(self, log: Log) -> None:
        """Take what is new; raise ConnectionsError where brokers do not answer."""
        if log.end(self._topic) < self._position:
            # It was made anew, and what was in it before is nobody's.
            self._position = 0
            self._table.clear()
        for entry in log.read(self._topic, self._position):
            self._position = entry.offset + 1
            try:
                # A record without a time was written at an unknown one: not long ago.
                at = time.time_ns() // 1_000 if entry.time is None else entry.time
                self._table.take(entry.key, entry.value, at)
            except InputError as error:
                if not self._told:
                    self._told = True
                    place = f"{self._topic}/{entry.offset}"
                    _log.warning("record passed over", place=place, error=str(error))
        self.complete = True


@contextmanager
def following_incidents(
    connection: KafkaSettings, topic: str, table: IncidentTable, metrics: Metrics
) -> Iterator[TopicReader]:
    """Keep `table` up with `topic` until the block ends, and delete there what is not kept.

    Brokers that are away, and a topic that is not there yet, are waited for; after what was not
    foreseen it begins anew.
    """
    reader, stopped = TopicReader(topic, table), threading.Event()

    def serve() -> None:
        check_exists(connection, topic)
        with closing(KafkaLog(connection)) as log:
            tidied = float("-inf")
            while not stopped.is_set():
                reader.read(log)
                metrics.incidents_kept(table.count, table.evicted)
                if time.monotonic() >= tidied + _TIDY_SECONDS:
                    tidied = time.monotonic()
                    _tidy(connection, log, topic, table)
                stopped.wait(LOOK_SECONDS)

    def run() -> None:
        backoff = Backoff(SystemRandom().random, _FIRST_WAIT, _LONGEST_WAIT)
        while not stopped.is_set():
            began = time.monotonic()
            try:
                serve()
            except StreamdriftError as error:
                # The service itself says that brokers are away.
                _log.debug("incidents cannot be read, trying again", error=str(error))
            except Exception:
                reader.complete = False
                _log.exception("reading incidents failed in a way that was not foreseen")
            if time.monotonic() - began > _LONGEST_WAIT:
                backoff.worked()
            stopped.wait(backoff.failed())

    thread = threading.Thread(target=run, name="incidents", daemon=True)
    thread.start()
    try:
        yield reader
    finally:
        stopped.set()
        thread.join(_STOP_SECONDS)


def _tidy(connection: KafkaSettings, log: KafkaLog, topic: str, table: IncidentTable) -> None:
    """Delete from the topic what the table does not keep; another worker may do the same."""
    surplus = table.surplus(time.time_ns() // 1_000)
    if surplus:
        with closing(Outbox(connection)) as outbox:
            log.write_to(outbox)
            for incident in surplus:
                log.append(topic, incident, None)
            log.flush()
        _log.info("incidents forgotten that are long over", topic=topic, incidents=len(surplus))


def forget_incidents(log: Log, topic: str) -> None:
    """Delete all incidents from their topic, once `log` is flushed."""
    known = {entry.key: entry.value is not None for entry in log.read(topic, 0)}
    for incident, there in known.items():
        if there:
            log.append(topic, incident, None)
