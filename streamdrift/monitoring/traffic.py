"""The traffic of one model, over all its versions: its silence and its event rate."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdrift.changes import Step, StepKind
from streamdrift.models.settings import ModelSettings
from streamdrift.readings import Readings
from streamdrift.records import FoundIn, Ints, State
from streamdrift.references.findings import Finding, codes_of
from streamdrift.signals.silence import Silence
from streamdrift.signals.volume import EVENT_RATE
from streamdrift.trees import tree
from streamdrift.volume.event_rate import Volume


class Traffic:
    """What belongs to a model, not to a version: whether it sends events, and how many.

    A pause that silence tells is silence's business: no event rate is counted in it.
    """

    def __init__(self, model: str, settings: ModelSettings) -> None:
        self.silence = Silence(model, settings.silence)
        self.volume = Volume(model, settings.of_volume()) if settings.volume.enabled else None

    def observe(self, times: Ints) -> list[Step]:
        """Take the times int64[n] of the model's next events, ascending."""
        steps = self.silence.observe(times)
        if self.volume is None:
            return steps
        found: list[Step] = []
        begin = 0
        for step in steps:
            if step.kind is StepKind.CHANGED:
                stop = int(np.searchsorted(times, step.time, side="right"))
                found += self.volume.observe(times[begin:stop])
                found += self.volume.pause(step.time)
                begin = stop
        return [*steps, *found, *self.volume.observe(times[begin:])]

    def advance(self, watermark: int) -> list[Step]:
        """Learn that no event of any model is older than `watermark`."""
        steps = self.silence.advance(watermark)
        if self.volume is None:
            return steps
        if steps:
            return [*steps, *self.volume.pause(steps[0].time)]
        return self.volume.advance(watermark)

    def accept(self, time: int) -> list[Step]:
        """Take what changed for normal, as an operator asks: the rate at the end of its bin."""
        if self.volume is not None:
            self.volume.accept(time)
        return self.silence.leave(StepKind.ACCEPTED, time)

    def resolve(self, time: int) -> list[Step]:
        """Watch what changed as before, as an operator asks."""
        found = self.silence.leave(StepKind.RESOLVED, time)
        return found if self.volume is None else [*found, *self.volume.resolve(time)]

    def readings(self) -> Sequence[Readings]:
        """Return the statistic and the threshold of each detector of the event rate."""
        return () if self.volume is None else self.volume.readings()

    @property
    def findings(self) -> Sequence[tuple[str, Sequence[Finding]]]:
        """What people should know of the reference of the event rate, beside its name."""
        if self.volume is None or not self.volume.findings:
            return ()
        return [(EVENT_RATE.name, self.volume.findings)]

    def found_in(self, model: str) -> FoundIn:
        """Return the kinds of what was found, each once."""
        return FoundIn(model, "", codes_of(self.findings))

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        volume = None if self.volume is None else self.volume.snapshot()
        return {"silence": self.silence.snapshot(), "volume": volume}

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned.

        An event rate that was not watched then begins to be, and the other way round.
        """
        self.silence.restore(tree(state, "silence"))
        if self.volume is not None and isinstance(state["volume"], Mapping):
            self.volume.restore(tree(state, "volume"))
