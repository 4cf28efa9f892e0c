"""Which incidents Alertmanager is sent: those that last, again and again, and their ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamdrift.alert_documents import Published
from streamdrift.sinks.alertmanager import ended, firing, labels_of

SENT_AFTER_END = 300_000_000
"""Microseconds after its end for which the end of an incident is sent again."""
LARGEST_BATCH = 64
"""Alerts in one post."""

Labels = tuple[tuple[str, str], ...]
"""What an alert is to Alertmanager."""


class Due(NamedTuple):
    """An alert that is to be sent."""

    labels: Labels
    revision: int
    alert: Mapping[str, Any]


@dataclass(slots=True)
class _Alert:
    published: Published
    revision: int
    ended_at: int | None = None
    """The time its end bears; None while it lasts."""
    known_at: int = 0
    """Since when the end is known, by the clock."""


@dataclass(slots=True)
class Peer:
    """What one Alertmanager was sent."""

    sent: dict[Labels, tuple[int, float]] = field(default_factory=dict)
    """By alert its revision, and when that was sent, in seconds of a clock that never jumps."""


class Firing:
    """The incidents that last, and those that are over since lately.

    `within` and `resend` are in microseconds, as settings have them; `note` is told of what is
    passed over, by reason. `now` is in microseconds since the epoch, `monotonic` in seconds.
    """

    def __init__(
        self, within: int, resend: int, link: str | None, note: Callable[[str], None]
    ) -> None:
        self._within = within
        self._resend = resend
        self._link = link
        self._note = note
        self._alerts: dict[Labels, _Alert] = {}
        self._of: dict[str, Labels] = {}
        """By incident, what it fires as."""
        self._history: dict[str, tuple[Published, float]] = {}
        """By incident, what waits for the service to catch up, and since when."""
        self._revision = 0

    def take(self, incident: str, published: Published | None, now: int, monotonic: float) -> None:
        """Take an incident's latest alert; None where it is forgotten.

        What of the alert is not as it should be raises here, and what fired before goes on.
        """
        waits = self._history.pop(incident, None)
        if published is None:
            self._end(incident, now, now)
        elif published.expected:
            self._note("expected")
            self._end(incident, now, now)
        elif not published.is_open:
            self._over(incident, published, now, waited=waits is not None)
        elif incident in self._of or published.published_at - published.time <= self._within:
            self._fire(incident, published, now)
        else:
            self._check(published, now)
            self._history[incident] = (published, waits[1] if waits else monotonic)

    def _over(self, incident: str, published: Published, now: int, *, waited: bool) -> None:
        if waited:
            self._note("over")
        elif incident in self._of or published.published_at + SENT_AFTER_END > now:
            if incident not in self._of:
                # Fired by another life of this process, perhaps: to others its end is no news.
                self._fire(incident, published, now)
            self._end(incident, published.time, now)

    def _check(self, published: Published, now: int) -> None:
        """Raise where an alert cannot be told: when it is due it would hold up all others."""
        firing(published, now, self._resend, self._link)

    def _fire(self, incident: str, published: Published, now: int) -> None:
        self._check(published, now)
        labels = tuple(labels_of(published).items())
        if self._of.get(incident, labels) != labels:
            self._end(incident, published.time, now)
        self._of[incident] = labels
        self._revision += 1
        self._alerts[labels] = _Alert(published, self._revision)

    def _end(self, incident: str, ended_at: int, now: int) -> None:
        labels = self._of.pop(incident, None)
        # The next incident of the model version may fire as the same already.
        alert = None if labels is None else self._alerts.get(labels)
        if alert is not None and alert.published.incident == incident:
            self._revision += 1
            alert.revision, alert.ended_at, alert.known_at = self._revision, ended_at, now

    def clear(self) -> None:
        """Forget all: another worker sends it."""
        for known in (self._alerts, self._of, self._history):
            known.clear()

    def caught_up(self, since: float, now: int) -> None:
        """Fire what was found to be history before `since`, a time as `take` has it."""
        for incident, (published, found_at) in list(self._history.items()):
            if found_at < since:
                del self._history[incident]
                self._fire(incident, published, now)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is to be sent anything."""
        return not self._alerts

    @property
    def has_history(self) -> bool:
        """Whether anything waits for the service to catch up."""
        return bool(self._history)

    def due(self, peer: Peer, now: int, monotonic: float) -> Sequence[Due]:
        """Return what is to be sent to a peer: what it was not sent yet, or not lately.

        No more than one post takes: first what it never had, then what it was sent longest ago.
        """
        self._forget(now)
        for labels in peer.sent.keys() - self._alerts.keys():
            del peer.sent[labels]
        found: list[tuple[float, Labels]] = []
        for labels, alert in self._alerts.items():
            revision, at = peer.sent.get(labels, (0, float("-inf")))
            if revision != alert.revision or monotonic >= at + self._resend / 1e6:
                found.append((at, labels))
        found.sort(key=lambda each: each[0])
        return [
            Due(labels, self._alerts[labels].revision, self._encode(self._alerts[labels], now))
            for _, labels in found[:LARGEST_BATCH]
        ]

    def _forget(self, now: int) -> None:
        for labels, alert in list(self._alerts.items()):
            if alert.ended_at is not None and alert.known_at + SENT_AFTER_END <= now:
                del self._alerts[labels]

    def _encode(self, alert: _Alert, now: int) -> Mapping[str, Any]:
        if alert.ended_at is None:
            return firing(alert.published, now, self._resend, self._link)
        return ended(alert.published, alert.ended_at, now, self._link)

    def sent(self, peer: Peer, sent: Sequence[Due], monotonic: float) -> int:
        """Note what a peer has taken; return how many of these it had not had before."""
        new = 0
        for each in sent:
            new += peer.sent.get(each.labels, (0, 0.0))[0] != each.revision
            peer.sent[each.labels] = (each.revision, monotonic)
        return new

    def counts(self, peers: Sequence[Peer]) -> tuple[int, int]:
        """Return how many alerts some peer has not had, and how many wait to be fired at all."""
        lacking = sum(
            any(peer.sent.get(labels, (0, 0.0))[0] != alert.revision for peer in peers)
            for labels, alert in self._alerts.items()
        )
        return lacking + len(self._history), len(self._history)
