"""What operators are told of one loop's work: the log, and the metrics that go with it."""

from collections.abc import Sequence

import structlog

from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.standing import warm_ups
from streamdrift.prometheus.metrics import Metrics, Read
from streamdrift.records import Alert, Decoded, Messages, Notice
from streamdrift.state.commands import Received

_GOOD_NEWS = frozenset({"broker back", "partition found"})
_SKIPPING = {"offsets lost": "lost", "damaged batch skipped": "damaged"}
"""What tells of offsets that were passed over, and why they were."""
_SKIPPED = ("topic", "from_offset", "to_offset")
_log = structlog.get_logger("streamdrift")


_DOUBTFUL = frozenset(
    {
        "too many model versions",
        "role does not fit",
        "roles without a column",
        "private without a column",
    }
)
"""What somebody has to mend."""


def tell(notice: Notice) -> None:
    """Log what a monitor found."""
    say = _log.warning if notice.event in _DOUBTFUL else _log.info
    say(notice.event, model=notice.model, version=notice.version, **notice.fields)


class Telling:
    """Tells each thing once, of a loop that reads `what`."""

    def __init__(self, metrics: Metrics, what: Read) -> None:
        self._metrics = metrics
        self._what = what
        self._dropping: set[str] = set()
        """Topics of which it was said that fields are dropped."""
        self._lettered: set[tuple[str, str]] = set()
        """Topics, and the reasons for which dead letters were made of them."""
        self._quarters: dict[tuple[str, str], int] = {}
        self._connected: bool | None = None

    def source(self, notices: Sequence[Notice], *, connected: bool) -> None:
        """Tell what happened to a source."""
        for notice in notices:
            say = _log.info if notice.event in _GOOD_NEWS else _log.warning
            say(notice.event, **notice.fields)
            if notice.event in _SKIPPING:
                topic, first, after = (notice.fields[name] for name in _SKIPPED)
                assert isinstance(first, int)
                assert isinstance(after, int)
                self._metrics.skipped(str(topic), _SKIPPING[notice.event], after - first)
        if connected != self._connected:
            self._connected = connected
            self._metrics.connected(self._what, answering=connected)

    def decoded(self, messages: Messages, decoded: Decoded) -> int:
        """Tell what messages held; return how many events."""
        topic = messages.partition.topic
        events = sum(len(batch) for batch in decoded.batches)
        self._metrics.read(topic, len(messages), events, decoded.dropped_fields)
        for letter in decoded.dead_letters:
            self._metrics.dead_letter(letter.reason)
            if (topic, letter.reason) not in self._lettered:
                self._lettered.add((topic, letter.reason))
                _log.warning(
                    "dead letters",
                    topic=topic,
                    reason=letter.reason,
                    first=f"{letter.partition.number}/{letter.offset}",
                    detail=letter.detail,
                )
        if decoded.dropped_fields and topic not in self._dropping:
            self._dropping.add(topic)
            _log.warning("events with too many fields: some are not watched", topic=topic)
        return events

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Tell of alerts."""
        for alert in alerts:
            _log.info(
                f"incident {alert.type}",
                model=alert.model,
                version=alert.version,
                alert=alert.id,
                summary=alert.data.get("summary"),
            )

    def commanded(self, received: Received) -> None:
        """Tell of what an operator asked."""
        command = received.command
        self._metrics.commanded("refused" if command is None else command.kind.value)
        if command is None:
            _log.warning("command refused", place=received.place, why=received.fault)

    def progress(self, monitors: Sequence[Monitor]) -> None:
        """Log each quarter of a reference; its completion is a notice of the monitor."""
        for each in warm_ups(monitors):
            key = (each.model, each.version)
            quarter = 4 * each.events // max(1, each.wanted)
            if each.complete:
                self._quarters.pop(key, None)
            elif self._quarters.get(key, 0) < quarter < 4:
                self._quarters[key] = quarter
                _log.info(
                    "learning the reference",
                    model=each.model,
                    version=each.version,
                    events=each.events,
                    wanted=each.wanted,
                )
