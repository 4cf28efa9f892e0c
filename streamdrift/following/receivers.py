"""What all lines share: records read as alerts, and how a receiver of them stands."""

from dataclasses import dataclass
from typing import NamedTuple

import structlog

from streamdrift.alert_documents import Published, read_alert
from streamdrift.backoff import Backoff
from streamdrift.errors import InputError
from streamdrift.following.outbound import Place
from streamdrift.prometheus.metrics import Metrics
from streamdrift.sinks.answers import Answer

_log = structlog.get_logger("streamdrift")


class Record(NamedTuple):
    """A record of a topic; `time` in microseconds since the epoch."""

    place: Place
    key: str
    value: bytes | None
    time: int


@dataclass(slots=True)
class Receiver:
    """How one receiver stands: that it fails, or works again, is told once.

    `place` is what may be logged of where it is. Times are in seconds of a clock that never jumps.
    """

    sink: str
    place: str
    metrics: Metrics
    backoff: Backoff
    next_at: float = float("-inf")
    """When it is to be tried again."""
    failing_since: float | None = None
    works: bool | None = None
    """Whether it answered what it was sent last; None before anything was sent."""

    def failed(self, answer: Answer, monotonic: float) -> None:
        """Note an attempt that failed."""
        wait = self.backoff.failed(answer.wait)
        self.next_at = monotonic + wait
        self.metrics.sink_failed(self.sink)
        self.works = False
        if self.failing_since is None:
            self.failing_since = monotonic
            _log.warning(
                "sink fails, alerts wait for it",
                sink=self.sink,
                place=self.place,
                error=answer.detail,
            )

    def took(self, alerts: int, monotonic: float) -> None:
        """Note that it has taken alerts."""
        self.backoff.worked()
        self.metrics.sink_delivered(self.sink, alerts)
        self.answered(monotonic)

    def answered(self, monotonic: float) -> None:
        """Note that it answers, whatever it says."""
        self.next_at = float("-inf")
        self.works = True
        if self.failing_since is not None:
            seconds = round(monotonic - self.failing_since)
            self.failing_since = None
            _log.info("sink works again", sink=self.sink, place=self.place, seconds=seconds)

    def shown(self, *, wanted: bool) -> bool | None:
        """Return whether it works, as far as that is known.

        One that failed is tried again for as long as anything is `wanted` of it; from then on
        nobody knows.
        """
        return self.works if wanted or self.works else None


class Reading:
    """Reads records as alerts, and tells once where one is none."""

    def __init__(self, sink: str, metrics: Metrics) -> None:
        self._sink = sink
        self._metrics = metrics
        self._told = False

    def read(self, record: Record) -> Published | None:
        """Return what a record says, None where it is no alert."""
        try:
            return read_alert(record.value or b"", record.time)
        except InputError as error:
            self.tell(record, error)
            return None

    def tell(self, record: Record, error: Exception) -> None:
        """Tell of a record that is passed over, unless one was told of before."""
        if not self._told:
            self._told = True
            place = f"{record.place.partition.topic}/{record.place.partition.number}"
            place += f"/{record.place.offset}"
            _log.warning("record passed over", place=place, sink=self._sink, error=str(error))
