"""What the watch of a model version needs to know of the model's settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.detectors import DetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.candidates import Together
from streamdrift.durations import DAY, Duration
from streamdrift.incidents.budget import Budget, e_bh, patience, shares
from streamdrift.records import Floats, Signal
from streamdrift.signals.naming import signal_setting_names


class HoldSettings(BaseModel):
    """When what a signal became is its new normal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept_after: Duration = Field(
        DAY, description="Event time after which a lasting change is accepted as the new normal."
    )
    accept_events: int = Field(
        1_000, ge=100, description="Values of the signal since its change needed to accept it."
    )


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What `Watching` needs to know of the model's settings."""

    detectors_of: Callable[[Sequence[str]], tuple[DetectorSettings, ...]]
    """The detectors of a signal by its names; the first one that is set decides."""
    weight_of: Callable[[Signal], float]
    budget: Budget
    groups: int
    hold: HoldSettings
    minimum_effect: float
    zone: ZoneInfo
    span: int
    """Event time over which a signal's rhythm is learnt; 0 where event times are made up."""
    room: int
    """Values kept of a changed signal, for its next reference."""
    private: frozenset[str]
    besides: Sequence[float] = ()
    """Weights of signals of the version that are watched apart."""

    @property
    def together(self) -> Together | None:
        """What weighs the candidates: None where others are weighed with them elsewhere."""
        return e_bh if self.groups == 1 and not self.besides else None

    def detectors(self, signal: Signal) -> tuple[DetectorSettings, ...]:
        """Return the detectors that a signal is to have."""
        assert signal.column is not None
        names = (signal.name, *signal_setting_names(signal.column, signal.kind))
        return self.detectors_of(names)

    def lengths(self, signals: Sequence[Signal], rates: Floats) -> Lengths:
        """Return after how many values signals may raise a false alarm.

        `rates` float64[s] are how many values each has in a microsecond of event time.
        """
        weights = [self.weight_of(signal) for signal in signals]
        parts = np.array(shares([*weights, *self.besides], self.groups)[: len(weights)])
        together = np.array([patience(self.budget, rate) for rate in rates.tolist()])
        return Lengths(together / parts, together)
