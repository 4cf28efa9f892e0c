"""The runs of a history under several budgets, which are shown the same events."""

from collections.abc import Callable, Sequence
from statistics import median

from streamdrift.config import Settings
from streamdrift.config.settings import EVERY_MODEL
from streamdrift.errors import SettingsError
from streamdrift.history.incident_log import IncidentLog
from streamdrift.incidents.budget import Budget
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering.lane import Frontier
from streamdrift.records import Released

LADDER = tuple(map(Budget.parse, ("1/month", "1/week", "2/week", "1/day", "5/day")))
"""The budgets tried where none are given."""


def parse_budgets(text: str) -> tuple[Budget, ...]:
    """Return the budgets of a list such as `1/week,1/day`, the smallest first.

    Raises SettingsError where one is none.
    """
    try:
        return in_order([Budget.parse(part.strip()) for part in text.split(",")])
    except ValueError as error:
        raise SettingsError(
            f"--budgets {text}: {error}", hint="separate budgets by commas: --budgets 1/week,1/day"
        ) from error


def in_order(budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """Return budgets by size, of those that allow as much (`7/week`, `1/day`) only the first."""
    different = {budget.period: budget for budget in reversed(budgets)}
    return tuple(sorted(different.values(), key=lambda budget: -budget.period))


def settings_under(settings: Settings, budget: Budget) -> Callable[[str], ModelSettings]:
    """Return what gives a model's settings, with this budget for every model."""
    changed: dict[int, ModelSettings] = {}

    def settings_of(model: str) -> ModelSettings:
        given = settings.model(model)
        # Settings keep what they return: the same for all models that match the same entries.
        found = changed.get(id(given))
        if found is None:
            found = changed[id(given)] = given.model_copy(update={"alert_budget": budget})
        return found

    return settings_of


def budgets_set(settings: Settings) -> tuple[Budget, ...]:
    """Return the different budgets that models may have by the settings."""
    names = (EVERY_MODEL, *settings.models)
    return in_order([settings.model(name).alert_budget for name in names])


class Run:
    """The monitors of one budget, for every model, beside those of the settings."""

    def __init__(self, budget: Budget, settings: Settings, *, timed: bool) -> None:
        self.budget = budget
        self.log = IncidentLog()
        self.monitor = Shards(settings_under(settings, budget), settings.shards, timed=timed)

    def observe(self, released: Released, frontier: Frontier) -> None:
        """Take the next events, all those below `frontier`."""
        self.log.add(self.monitor.observe(released, frontier).alerts)

    def drain(self, released: Released, frontier: Frontier) -> None:
        """Take the last events of all."""
        self.log.add(self.monitor.drain(released, frontier).alerts)


def make_runs(settings: Settings, budgets: Sequence[Budget], *, timed: bool) -> list[Run]:
    """Return the runs that are needed beside that of the settings.

    A budget that all models have by the settings needs none of its own.
    """
    own = budgets_set(settings)
    done = own[0].period if len(own) == 1 else None
    return [Run(budget, settings, timed=timed) for budget in budgets if budget.period != done]


def run_lengths(monitor: Shards) -> dict[str, float]:
    """Return the median run length of the signals of each model that is watched.

    It is in values of a signal's own, between two false alarms that it may raise alone.
    """
    lengths: dict[str, list[float]] = {}
    for version in monitor.versions():
        lengths.setdefault(version.model, []).extend(version.run_lengths)
    return {model: median(each) for model, each in lengths.items() if each}
