"""Models whose groups are in several shards: what their signals did comes together in one.

The shard of a model's group 0 is its *head*: it has the model's traffic and its incidents.
The other shards tell it what their signals of the model did, and how far they are; the head
goes on with the model's incidents as far as all of them are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamdrift.changes import Heard, Step
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.monitoring.shards import shard_of
from streamdrift.records import State
from streamdrift.trees import integer, trees, values

_NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Home:
    """Which shard a monitor is, of how many."""

    shard: int
    shards: int

    def head_of(self, model: str) -> int:
        """Return the shard that has the model's incidents."""
        return shard_of(model, 0, self.shards)

    def others_of(self, model: str, groups: int) -> frozenset[int]:
        """Return the shards beside this one that have groups of the model."""
        found = {shard_of(model, group, self.shards) for group in range(groups)}
        return frozenset(found - {self.shard})


class Heads:
    """What one shard tells the heads of its models, and hears as the head of others.

    `groups_of` gives the number of a model's groups.
    """

    def __init__(self, home: Home, groups_of: Callable[[str], int]) -> None:
        self._home = home
        self._groups_of = groups_of
        self._untold: dict[int, list[Step]] = {}
        """By the head they are for; also the heads that have been told of nothing yet."""
        self._heard: dict[int, int] = {}
        """The watermarks of other shards."""
        self._arrived: list[Step] = []
        """Steps of other shards, not given to the incidents yet."""
        self._divided: dict[str, frozenset[int]] = {}
        """Models with their head here, and the other shards that have groups of them."""

    def is_head_of(self, model: str) -> bool:
        """Tell whether the model's incidents are here."""
        return self._home.head_of(model) == self._home.shard

    def meet(self, model: str) -> None:
        """Learn that there are events of a model here."""
        groups, head = self._groups_of(model), self._home.head_of(model)
        if head != self._home.shard:
            self._untold.setdefault(head, [])
        elif others := self._home.others_of(model, groups):
            self._divided[model] = others

    def take(self, steps: Sequence[Step]) -> list[Step]:
        """Keep the steps that are for other heads; return the rest, and what has arrived."""
        mine, self._arrived = self._arrived, []
        for step in steps:
            head = self._home.head_of(step.model)
            (mine if head == self._home.shard else self._untold[head]).append(step)
        return mine

    def behind(self, watermark: int) -> Mapping[str, int]:
        """Return the models that are not as far as `watermark` in all their shards."""
        found = {}
        for model, shards in self._divided.items():
            least = min(self._heard.get(shard, _NEVER) for shard in shards)
            if least < watermark:
                found[model] = least
        return found

    def hear(self, heard: Heard) -> None:
        """Take what another shard tells; what it has told before is left out."""
        known = self._heard.get(heard.shard, _NEVER)
        if heard.watermark > known:
            self._arrived += [step for step in heard.steps if step.time >= known]
            self._heard[heard.shard] = heard.watermark

    def tell(self, watermark: int) -> Mapping[int, Heard]:
        """Return, by head, all that was not told yet and has a time below `watermark`.

        No step that comes later may have one.
        """
        told = {}
        for head, steps in self._untold.items():
            now = tuple(step for step in steps if step.time < watermark)
            told[head] = Heard(self._home.shard, watermark, now)
            self._untold[head] = [step for step in steps if step.time >= watermark]
        return told

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "untold": [
                {"head": head, "steps": [step_state(step) for step in steps]}
                for head, steps in sorted(self._untold.items())
            ],
            "heard": [
                {"shard": shard, "watermark": watermark}
                for shard, watermark in sorted(self._heard.items())
            ],
            "arrived": [step_state(step) for step in self._arrived],
            "divided": sorted(self._divided),
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self._untold = {
            integer(each, "head"): [read_step(step) for step in trees(each, "steps")]
            for each in trees(state, "untold")
        }
        self._heard = {
            integer(each, "shard"): integer(each, "watermark") for each in trees(state, "heard")
        }
        self._arrived = [read_step(step) for step in trees(state, "arrived")]
        for model in values(state, "divided"):
            self.meet(str(model))
