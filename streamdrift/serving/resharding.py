"""The state of one number of shards as that of another: what is remembered moves, unchanged."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar, cast

from streamdrift.errors import StateError
from streamdrift.monitoring.monitor import FORMAT, check_format, traffic_of
from streamdrift.monitoring.shards import shard_of
from streamdrift.operators import decode
from streamdrift.ordering.lane import Frontier
from streamdrift.records import State, StateValue
from streamdrift.state import encode
from streamdrift.trees import flag, integer, text, tree, trees, values

Item = TypeVar("Item")


def reshard(states: Mapping[int, State], shards: int) -> dict[int, State]:
    """Return the snapshots of so many shards that hold what `states`, of all there are, hold.

    Raises StateError where these are not all of the same moment: what one has observed, and
    another has not, could not be told apart any more.
    """
    first = _of_one_moment(states, ("frontier", "ordering", "last_event_at"))
    monitors = [tree(state, "monitor") for state in states.values()]
    return {
        shard: {**first, "shards": shards, "monitor": monitor}
        for shard, monitor in enumerate(_divided(monitors, shards, lambda _: 0))
    }


def reshard_apart(
    states: Mapping[int, State], shards: int, positions: Mapping[int, int]
) -> dict[int, State]:
    """Return the same where the shards are several workers', and groups of models apart.

    `positions` are those in the exchange from which the new shards go on.
    """
    first = _of_one_moment(states, ("frontier", "paths", "topics"))
    monitors = [tree(state, "monitor") for state in states.values()]
    heads = _divided_heads([tree(monitor, "heads") for monitor in monitors], shards)
    watermark = Frontier.restore(tree(first, "frontier")).watermark
    heard = [{"shard": shard, "watermark": watermark} for shard in range(shards)]
    divided = _divided(monitors, shards, lambda group: group)
    return {
        shard: {
            **first,
            "position": positions[shard],
            "taken": positions[shard],
            "lifts": [],
            "monitor": {**monitor, "heads": {**heads[shard], "heard": heard}},
        }
        for shard, monitor in enumerate(divided)
    }


def _of_one_moment(states: Mapping[int, State], names: Sequence[str]) -> State:
    moments = {encode({name: state[name] for name in names}) for state in states.values()}
    if len(moments) > 1:
        raise StateError(
            "the shards are not all of the same moment, as they are after a stop in order",
            "start the deployment once with its settings of before, let it catch up, and stop it "
            "with SIGTERM; then do this again",
        )
    return states[0]


def _divided_heads(heads: Sequence[State], shards: int) -> list[State]:
    """Return what is on its way between shards as what has arrived at the new ones."""
    steps = [step for each in heads for step in trees(each, "arrived")]
    steps += [
        step
        for each in heads
        for for_one in trees(each, "untold")
        for step in trees(for_one, "steps")
    ]
    models = sorted({str(model) for each in heads for model in values(each, "divided")})
    arrived = _by_shard(steps, _model, shards)
    divided = _by_shard(models, str, shards)
    return [
        {"untold": [], "arrived": arrived[shard], "divided": divided[shard]}
        for shard in range(shards)
    ]


def _divided(
    monitors: Sequence[State], shards: int, group_of: Callable[[int], int]
) -> Iterable[State]:
    """Yield the tree of each shard's monitor, everything in the order a monitor has it.

    `group_of` says which group of a model decides on the shard of one.
    """
    for monitor in monitors:
        check_format(monitor)
    versions = [each for monitor in monitors for each in trees(monitor, "versions")]
    versions.sort(key=lambda each: (*_name(each), integer(each, "group")))
    parts: list[list[State]] = [[] for _ in range(shards)]
    for version in versions:
        group = group_of(integer(version, "group"))
        parts[shard_of(_model(version), group, shards)].append(version)
    paces: list[list[Sequence[StateValue]]] = [[] for _ in range(shards)]
    for pace in sorted(_pairs(monitors, "paces"), key=lambda pace: (str(pace[0]), _whole(pace[1]))):
        paces[shard_of(str(pace[0]), group_of(_whole(pace[1])), shards)].append(pace)
    traffic = sorted((pair for each in monitors for pair in traffic_of(each)), key=itemgetter(0))
    traffics = _by_shard(traffic, itemgetter(0), shards)
    dropped: Counter[str] = Counter()
    for model, events in _pairs(monitors, "dropped"):
        dropped[str(model)] += cast(int, events)
    drops = _by_shard(sorted(dropped.items()), lambda pair: pair[0], shards)
    spans = _pairs(monitors, "watched")
    watched = _by_shard(spans, lambda span: str(span[0]), shards)
    incidents = _divided_incidents([tree(monitor, "incidents") for monitor in monitors], shards)
    unwatched = sum(integer(monitor, "unwatched") for monitor in monitors)
    # With several workers each shard has them: here the one that has the model's incidents.
    known = {
        (_whole(place), str(each), str(model)) for place, each, model in _pairs(monitors, "obeyed")
    }
    obeyed = _by_shard(sorted(known), itemgetter(2), shards)
    # What one has not taken yet is taken by all: twice the same does no harm.
    commanded = min(integer(monitor, "commanded") for monitor in monitors)
    for shard in range(shards):
        yield {
            "format": FORMAT,
            "versions": parts[shard],
            "traffic": [list(pair) for pair in traffics[shard]],
            "paces": [list(pace) for pace in paces[shard]],
            "incidents": incidents[shard],
            # Of no model: that it is counted at all is what counts.
            "unwatched": unwatched if shard == 0 else 0,
            "dropped": [list(pair) for pair in drops[shard]],
            "watched": [list(span) for span in watched[shard]],
            "heads": None,
            "commanded": commanded,
            "obeyed": [list(each) for each in obeyed[shard]],
        }


def _divided_incidents(incidents: Sequence[State], shards: int) -> list[State]:
    waiting = [step for each in incidents for step in trees(each, "waiting")]
    waiting.sort(
        key=lambda step: (
            integer(step, "time"),
            *_name(step),
            integer(tree(step, "signal"), "ordinal"),
        )
    )
    opened = [incident for each in incidents for incident in trees(each, "incidents")]
    opened.sort(key=lambda incident: (*_name(incident), flag(incident, "of_model")))
    told = sorted((one for each in incidents for one in trees(each, "told")), key=_model)
    evidence = [one for each in incidents for one in trees(each, "evidence")]
    evidence.sort(key=lambda one: (*_name(one), flag(one, "of_model")))
    plans = [plan for each in incidents for plan in trees(each, "plans")]
    plans.sort(key=lambda plan: integer(plan, "until"))
    words = [word for each in incidents for word in trees(each, "words")]
    words.sort(key=lambda word: integer(word, "time"))
    parts = [
        *(_by_shard(items, _model, shards) for items in (waiting, opened, told, evidence, plans)),
        _by_shard(words, lambda word: decode(text(word, "command").encode()).model, shards),
    ]
    names = ("waiting", "incidents", "told", "evidence", "plans", "words")
    return [
        {name: part[shard] for name, part in zip(names, parts, strict=True)}
        for shard in range(shards)
    ]


def _by_shard(
    items: Iterable[Item], model_of: Callable[[Item], str], shards: int
) -> list[list[Item]]:
    """Return each shard's items, in the order in which they are given."""
    parts: list[list[Item]] = [[] for _ in range(shards)]
    for item in items:
        parts[shard_of(model_of(item), 0, shards)].append(item)
    return parts


def _pairs(monitors: Sequence[State], name: str) -> list[Sequence[StateValue]]:
    """Return what lists a model and what belongs to it, by the model."""
    pairs = [
        cast(Sequence[StateValue], pair) for monitor in monitors for pair in values(monitor, name)
    ]
    return sorted(pairs, key=lambda pair: str(pair[0]))


def _whole(value: StateValue) -> int:
    assert isinstance(value, int)
    return value


def _model(state: State) -> str:
    return text(state, "model")


def _name(state: State) -> tuple[str, str]:
    return text(state, "model"), text(state, "version")
