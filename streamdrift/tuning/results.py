"""What comes of the budgets of a model: incidents, delays, and what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from streamdrift.history.extents import Seen
from streamdrift.history.incident_log import Incident
from streamdrift.incidents.budget import Budget
from streamdrift.incidents.realised import Span
from streamdrift.tuning.known import Known, Score, score
from streamdrift.tuning.matching import Changes, Told


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one budget told of a model."""

    budget: Budget
    chosen: bool
    """Whether it is that of the settings."""
    incidents: tuple[Incident, ...]
    """Those that tests opened, in the order of time; silence is no test, and needs no budget."""
    changes: tuple[Told, ...]
    """What they told: what opened them, and what joined them while they were open."""
    run_length: float | None
    """Values of its own between two false alarms the median signal may raise alone."""

    @property
    def openers(self) -> int:
        """How many different signals opened incidents, alone or with others."""
        return len({(each.version, name) for each in self.incidents for name in each.openers})


class Sighting(NamedTuple):
    """When a budget told a change, and by which incident."""

    told_at: int
    incident: str
    opens: bool
    """Whether the incident was opened by it; otherwise it joined an open one."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A change that the budget in the settings told, as all budgets have it."""

    change: Told
    sightings: tuple[Sighting | None, ...]
    """By budget, in the order of the outcomes; None where it told no such change."""

    @property
    def delays(self) -> tuple[int | None, ...]:
        """By how much (microseconds) each budget was later than the quickest."""
        quickest = min(each.told_at for each in self.sightings if each is not None)
        return tuple(each and each.told_at - quickest for each in self.sightings)

    @property
    def lags(self) -> tuple[int, ...] | None:
        """By how much each budget was later than the largest; None unless all found it."""
        told = [each.told_at for each in self.sightings if each is not None]
        if len(told) < len(self.sightings):
            return None
        return tuple(each - told[-1] for each in told)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What came of one model under all budgets."""

    model: str
    seen: Seen
    watched: Span
    outcomes: tuple[Outcome, ...]
    """By budget, the smallest first."""
    silences: tuple[Incident, ...]
    """Incidents by silence, the same whatever the budget."""
    shared: tuple[Shared, ...]
    """The changes that the budget in the settings told, in the order of time."""
    further: tuple[int, ...]
    """By budget, incidents opened by what the one in the settings told nothing of."""
    known: tuple[Known, ...] = ()
    """Known changes that fall into the time watched."""
    scores: tuple[Score, ...] = ()
    """By budget, where there are known changes."""

    @property
    def lags(self) -> tuple[float | None, ...]:
        """The median lag behind the largest budget, by budget, of what all found."""
        lags = [each.lags for each in self.shared if each.lags is not None]
        if not lags:
            return (None,) * len(self.outcomes)
        return tuple(median(column) for column in zip(*lags, strict=True))


def allowed(budget: Budget, watched: Span) -> float:
    """Return how many false alarms a budget allows in the time watched."""
    return (watched.until - watched.since) / budget.period


def make_result(
    model: str,
    seen: Seen,
    watched: Span,
    runs: Sequence[tuple[Budget, bool, Sequence[Incident], float | None]],
    known: Sequence[Known] = (),
) -> ModelResult:
    """Compare the incidents of a model under budgets, of which one is that of the settings.

    `runs` are each budget, whether it is that, its incidents of this model and its median run
    length, in the order of the budgets.
    """
    told = [Changes(each for each in found if not each.silence) for _, _, found, _ in runs]
    outcomes = tuple(
        Outcome(
            budget, chosen, tuple(each for each in found if not each.silence), changes.all, length
        )
        for (budget, chosen, found, length), changes in zip(runs, told, strict=True)
    )
    place = next(place for place, outcome in enumerate(outcomes) if outcome.chosen)
    mine = told[place]
    within = tuple(
        each
        for each in known
        if each.model == model and each.since <= watched.until and watched.since <= each.until
    )
    return ModelResult(
        model=model,
        seen=seen,
        watched=watched,
        outcomes=outcomes,
        silences=tuple(each for each in runs[place][2] if each.silence),
        shared=tuple(
            _shared(change, told, place)
            for change in sorted(mine.all, key=lambda change: change.told_at)
        ),
        further=tuple(
            sum(change.opens and mine.first_same(change) is None for change in changes.all)
            for changes in told
        ),
        known=within,
        scores=tuple(score(within, run[2]) for run in runs) if within else (),
    )


def _shared(change: Told, told: Sequence[Changes], place: int) -> Shared:
    found = [changes.first_same(change) for changes in told]
    found[place] = change
    return Shared(
        change,
        tuple(
            None if each is None else Sighting(each.told_at, each.incident.id, each.opens)
            for each in found
        ),
    )


def by_model(incidents: Sequence[Incident]) -> Mapping[str, Sequence[Incident]]:
    """Return incidents by their model."""
    found: dict[str, list[Incident]] = {}
    for incident in incidents:
        found.setdefault(incident.model, []).append(incident)
    return found
