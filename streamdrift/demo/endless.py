"""The demo's traffic without an end: its injections come again and again, in cycles."""

from dataclasses import dataclass

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection, schedule
from streamdrift.demo.traffic import Traffic
from streamdrift.durations import SECOND

MODELS = (FRAUD, DELIVERY)


@dataclass(frozen=True, slots=True)
class Cycles:
    """How the traffic goes on: `rate` is each model's mean in events per second.

    Every cycle of `length` seconds begins calm, has each injection once, and has the volume's
    rhythm. Calm is longer than the demo's own share of it only in the first one.
    """

    seed: int
    rate: float
    length: float

    def begun(self, seconds: float) -> int:
        """Return in which cycle that moment is, from 0 on."""
        return int(seconds // self.length)

    def injected(self, since: float, until: float) -> list[tuple[str, Injection]]:
        """Return what begins and ends (`begin`, `end`) in [since, until), in order."""
        found = [
            (start + moment, what, injection)
            for cycle in range(self.begun(since), self.begun(until) + 1)
            for start in [cycle * self.length]
            for injection in schedule(self.length)
            for what, moment in (("begin", injection.begin), ("end", injection.end))
            if since <= start + moment < until
        ]
        return [(what, injection) for _, what, injection in sorted(found, key=lambda each: each[0])]


class EndlessTraffic:
    """One model's events, cycle after cycle."""

    def __init__(self, model: str, cycles: Cycles) -> None:
        self._model = model
        self._cycles = cycles
        self._number = 0
        self._traffic = self._cycle()

    def _cycle(self) -> Traffic:
        plan = self._cycles
        return Traffic(
            self._model,
            plan.seed + self._number,
            plan.rate,
            plan.length,
            schedule(plan.length),
            first=self._number * int(plan.rate * plan.length),
        )

    def until(self, seconds: float, epoch: int) -> list[bytes]:
        """Return the events from the last call to a moment; `epoch` is the start's time (us)."""
        events = []
        length = self._cycles.length
        while seconds >= (self._number + 1) * length:
            events += self._traffic.until(length, self._epoch(epoch))
            self._number += 1
            self._traffic = self._cycle()
        return events + self._traffic.until(seconds - self._number * length, self._epoch(epoch))

    def _epoch(self, epoch: int) -> int:
        return epoch + int(self._number * self._cycles.length * SECOND)
