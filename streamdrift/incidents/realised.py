"""The realised rate of alerts, to be held against the budget."""

from typing import NamedTuple

from streamdrift.incidents.budget import Budget

_WEEKLY = Budget(1, "week")


class RealisedRate(NamedTuple):
    """What came of a model's budget since its first reference was complete, in event time."""

    model: str
    budget: Budget
    opened: int
    """Incidents that tests opened. Real changes are among them: what is false only people know."""
    joined: int
    """Changes that joined one later: no opening, but an alert."""
    silences: int
    """Incidents that silence opened, which is no test: they need no budget."""
    watched: int
    """Microseconds of event time from the end of the reference to the last event watched."""

    @property
    def per_week(self) -> float | None:
        """Incidents opened per week of event time, None where no time has passed.

        Less than a week counts as one: the first incident after an hour is no rate of 168.
        """
        return (
            _WEEKLY.in_unit(self.opened, max(self.watched, _WEEKLY.span)) if self.watched else None
        )


class Span(NamedTuple):
    """Event time in which a model was watched, in microseconds."""

    since: int
    until: int

    def joined(self, other: "Span") -> "Span":
        """Return the span from the earlier beginning to the later end."""
        return Span(min(self.since, other.since), max(self.until, other.until))
