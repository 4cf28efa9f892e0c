"""What a follower does with what it reads: it hands alerts to one sink, as that takes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from streamdrift.alert_documents import Published
from streamdrift.backoff import Backoff
from streamdrift.following.firing import Firing, Peer
from streamdrift.following.outbound import Outbound
from streamdrift.following.receivers import Reading, Receiver, Record
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Partition
from streamdrift.sinks.alertmanager import encode_alerts
from streamdrift.sinks.answers import Answer, Verdict

_BURST = 50
"""Alerts sent in one turn: in between the group wants to hear of this follower."""
_PATIENCE = 20.0
"""Seconds of a turn after which no other attempt is begun."""
_log = structlog.get_logger("streamdrift")


class Moment(NamedTuple):
    """What the clocks show: microseconds since the epoch, and seconds that never jump."""

    now: int
    monotonic: float


class Target(Protocol):
    """Takes alerts one by one."""

    place: str
    """What may be logged of where it is."""

    def send(self, published: Published) -> Answer:
        """Try to deliver an alert; raises nothing."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


class Poster(Protocol):
    """Takes what is posted."""

    place: str

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post `body`; raises nothing."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


class Line(Protocol):
    """One sink's alerts, from the topic to its receiver."""

    sink: str
    topic: str
    whole: bool
    """Whether the topic is read from its beginning each time, before anything is sent."""

    def begin(self, partition: Partition, offset: int, note: str) -> None:
        """Take a partition up."""
        ...

    def drop(self, partition: Partition) -> None:
        """Let a partition go."""
        ...

    def clear(self) -> None:
        """Let all partitions go."""
        ...

    def take(self, record: Record, moment: Moment) -> None:
        """Take a record."""
        ...

    def passed(self, partition: Partition, next_offset: int) -> None:
        """Note that a partition was read up to there."""
        ...

    def caught_up(self, since: float, moment: Moment) -> None:
        """Let go what was found to be history before `since`."""
        ...

    def turn(self, clock: Callable[[], Moment]) -> bool:
        """Deliver what is due; tell whether anything is dealt with that was not before."""
        ...

    @property
    def has_history(self) -> bool:
        """Whether anything waits for the service to catch up."""
        ...

    def is_full(self, moment: Moment) -> bool:
        """Tell whether no more should be read."""
        ...

    def position(self, partition: Partition) -> tuple[int, str] | None:
        """Return the offset up to which all is dealt with, and a note; None where none is kept."""
        ...

    def show(self, moment: Moment) -> None:
        """Show how it stands in the metrics."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class Deliveries:
    """Hands every alert to a target, in order: a webhook, or a notification.

    `give_up_after` is in seconds, as is `behind_after`: where an alert was not taken for that long
    other incidents go before it, each time once it was tried again. Of most services nobody can
    tell whether they are away, or will never take this one.
    """

    whole = False

    def __init__(
        self,
        sink: str,
        topic: str,
        outbound: Outbound,
        target: Target,
        give_up_after: float,
        metrics: Metrics,
        chance: Callable[[], float],
        behind_after: float = math.inf,
    ) -> None:
        self.sink = sink
        self.topic = topic
        self._outbound = outbound
        self._target = target
        self._give_up_after = give_up_after
        self._behind_after = behind_after
        self._metrics = metrics
        self._receiver = Receiver(sink, target.place, metrics, Backoff(chance))
        self._reading = Reading(sink, metrics)
        self._tried: dict[str, float] = {}
        """By alert that was tried in vain, since when."""

    def begin(self, partition: Partition, offset: int, note: str) -> None:
        self._outbound.begin(partition, offset, note)

    def drop(self, partition: Partition) -> None:
        self._outbound.drop(partition)

    def clear(self) -> None:
        self._outbound.clear()
        self._metrics.sink_gone(self.sink)

    def take(self, record: Record, moment: Moment) -> None:
        published = self._reading.read(record)
        if published is None:
            self._outbound.skip(record.place, "unreadable")
        else:
            self._outbound.take(record.place, published, moment.now, moment.monotonic)

    def passed(self, partition: Partition, next_offset: int) -> None:
        self._outbound.passed(partition, next_offset)

    def caught_up(self, since: float, moment: Moment) -> None:
        self._outbound.caught_up(since)

    def turn(self, clock: Callable[[], Moment]) -> bool:
        began, dealt = clock().monotonic, False
        for _ in range(_BURST):
            moment = clock()
            due = self._receiver.next_at <= moment.monotonic <= began + _PATIENCE
            published = self._outbound.head(moment.now) if due else None
            if published is None:
                break
            if not self._deliver(published, moment, clock):
                break
            self._outbound.done(moment.now)
            dealt = True
        return dealt

    def _deliver(self, published: Published, moment: Moment, clock: Callable[[], Moment]) -> bool:
        """Try to deliver an alert; tell whether it is dealt with."""
        since = self._tried.pop(published.id, moment.monotonic)
        answer = self._send(published)
        monotonic = clock().monotonic
        if answer.verdict is Verdict.TAKEN:
            self._receiver.took(1, monotonic)
            return True
        if answer.verdict is Verdict.REFUSED:
            self._receiver.answered(monotonic)
        if answer.verdict in (Verdict.REFUSED, Verdict.UNREADABLE):
            self._pass_over(answer.verdict.value, published, answer)
            return True
        self._receiver.failed(answer, monotonic)
        if monotonic >= since + self._give_up_after:
            self._pass_over("given_up", published, answer)
            return True
        # What was replaced, or is another worker's, is never tried again.
        oldest = monotonic - 2 * self._give_up_after
        self._tried = {alert: at for alert, at in self._tried.items() if at > oldest}
        self._tried[published.id] = since
        if monotonic >= since + self._behind_after:
            self._outbound.put_behind(moment.now)
        return False

    def _send(self, published: Published) -> Answer:
        try:
            return self._target.send(published)
        except Exception as error:
            # The alerts behind it must not depend on what was not foreseen.
            _log.exception("a sink failed in a way that was not foreseen", sink=self.sink)
            return Answer(Verdict.FAILED, type(error).__name__)

    def _pass_over(self, reason: str, published: Published, answer: Answer) -> None:
        self._metrics.sink_passed_over(self.sink, reason)
        _log.error(
            "alert passed over by a sink",
            sink=self.sink,
            reason=reason,
            alert=published.id,
            summary=published.summary,
            error=answer.detail,
        )

    @property
    def has_history(self) -> bool:
        return self._outbound.has_history

    def is_full(self, moment: Moment) -> bool:
        return self._outbound.is_full(moment.now)

    def position(self, partition: Partition) -> tuple[int, str] | None:
        return self._outbound.position(partition)

    def show(self, moment: Moment) -> None:
        if not self._outbound.holds_any:  # Another worker shows how it stands.
            self._metrics.sink_gone(self.sink)
            return
        behind, held = self._outbound.counts(moment.now)
        self._metrics.sink_behind(self.sink, behind, held)
        self._metrics.sink_working(self.sink, self._receiver.shown(wanted=behind > 0))

    def close(self) -> None:
        self._target.close()
        self._metrics.sink_gone(self.sink)


@dataclass(slots=True)
class _Alertmanager:
    endpoint: Poster
    receiver: Receiver
    peer: Peer = field(default_factory=Peer)
    tried_at: float = float("-inf")


class Alertmanagers:
    """Sends the incidents that last to each Alertmanager of a cluster, for as long as they do.

    The sink works while one of them does: they tell one another.
    """

    sink = "alertmanager"
    whole = True

    def __init__(
        self,
        topic: str,
        firing: Firing,
        endpoints: Sequence[Poster],
        metrics: Metrics,
        chance: Callable[[], float],
    ) -> None:
        self.topic = topic
        self._firing = firing
        self._metrics = metrics
        self._all = [
            _Alertmanager(each, Receiver(self.sink, each.place, metrics, Backoff(chance)))
            for each in endpoints
        ]
        self._reading = Reading(self.sink, metrics)
        self._held: set[Partition] = set()

    def begin(self, partition: Partition, offset: int, note: str) -> None:
        """Note that a partition is read: that tells all."""
        self._held.add(partition)

    def drop(self, partition: Partition) -> None:
        self._firing.clear()
        self._held.discard(partition)

    def clear(self) -> None:
        self._firing.clear()
        self._held.clear()
        self._hide()

    def take(self, record: Record, moment: Moment) -> None:
        published = None if record.value is None else self._reading.read(record)
        if record.value is None or published is not None:
            try:
                self._firing.take(record.key, published, moment.now, moment.monotonic)
            except Exception as error:  # What others write may be anything.
                self._reading.tell(record, error)
            else:
                return
        self._metrics.sink_passed_over(self.sink, "unreadable")

    def passed(self, partition: Partition, next_offset: int) -> None:
        """Do nothing: no position is kept."""

    def caught_up(self, since: float, moment: Moment) -> None:
        self._firing.caught_up(since, moment.now)

    def turn(self, clock: Callable[[], Moment]) -> bool:
        began = clock().monotonic
        # One that does not answer in time must not come before the others each time.
        for each in sorted(self._all, key=lambda each: each.tried_at):
            moment = clock()
            if each.receiver.next_at <= moment.monotonic <= began + _PATIENCE:
                self._send(each, moment, clock)
        return False

    def _send(self, to: _Alertmanager, moment: Moment, clock: Callable[[], Moment]) -> None:
        due = self._firing.due(to.peer, moment.now, moment.monotonic)
        if not due:
            return
        to.tried_at = moment.monotonic
        body = encode_alerts([each.alert for each in due])
        answer = to.endpoint.post(body, {"content-type": "application/json"})
        monotonic = clock().monotonic
        if answer.verdict is Verdict.FAILED:
            to.receiver.failed(answer, monotonic)
            return
        new = self._firing.sent(to.peer, due, monotonic)
        if answer.verdict is Verdict.TAKEN:
            to.receiver.took(new, monotonic)
            return
        to.receiver.answered(monotonic)
        if new:
            self._metrics.sink_passed_over(self.sink, "refused", new)
            _log.error(
                "alerts refused",
                sink=self.sink,
                place=to.endpoint.place,
                alerts=len(due),
                error=answer.detail,
            )

    @property
    def has_history(self) -> bool:
        return self._firing.has_history

    def is_full(self, moment: Moment) -> bool:
        return False

    def position(self, partition: Partition) -> None:
        return None

    def show(self, moment: Moment) -> None:
        if not self._held:  # Another worker shows how they stand.
            self._hide()
            return
        peers = [each.peer for each in self._all]
        self._metrics.sink_behind(self.sink, *self._firing.counts(peers))
        wanted = not self._firing.is_quiet
        stand = [(each.endpoint.place, each.receiver.shown(wanted=wanted)) for each in self._all]
        # Of two at one address the worse comes last, and shows.
        for place, works in sorted(stand, key=lambda each: each[1] is False):
            self._metrics.alertmanager_working(place, works)
        known = [works for _, works in stand if works is not None]
        self._metrics.sink_working(self.sink, any(known) if known else None)

    def _hide(self) -> None:
        self._metrics.sink_gone(self.sink)
        for each in self._all:
            self._metrics.alertmanager_working(each.endpoint.place, None)

    def close(self) -> None:
        for each in self._all:
            each.endpoint.close()
        self._hide()
