"""State that is divided anew goes on as if it had not been."""

import itertools
import json
from collections.abc import Mapping

import numpy as np
import pytest

from streamdrift.config import Settings
from streamdrift.errors import StateError
from streamdrift.monitoring.shards import shard_of
from streamdrift.monitoring.standing import standing
from streamdrift.operators import Asked, Command
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, State
from streamdrift.serving.assembly import make_pipeline
from streamdrift.serving.resharding import reshard
from streamdrift.state import encode
from streamdrift.trees import flag, text, tree, trees
from tests.messages import messages
from tests.readings import comparable

_EVENTS = 16_000
_HALF = 7_000
_MODELS = 8


def _pipeline(shards: int) -> Pipeline:
    every = {
        "reference": {"events": 500},
        "silence": {"events": 300},
        "deduplicate": True,
        "feature_groups": 2,
    }
    return make_pipeline(Settings.model_validate({"models": {"*": every}, "shards": shards}))


def _values() -> list[bytes]:
    """Return events of eight models, half of which drift, some repeated; one falls silent."""
    random = np.random.default_rng(4)
    numbers = random.normal(size=(_EVENTS, 2))
    values = []
    for i in range(_EVENTS):
        model = i % _MODELS
        if model == 5 and i > 8_000:
            continue
        shift = 2 * (model % 2) * (6_000 <= i < 7_600)
        features = {"x": numbers[i, 0] + shift, "y": numbers[i, 1]}
        values.append(
            json.dumps(
                {
                    "event_id": f"e{i - 8 if i % 97 == 0 else i}",
                    "model": f"m{model}",
                    "timestamp": 1_767_225_600 + i,
                    "features": features,
                }
            ).encode()
        )
    return values


_VALUES = _values()


def _feed(pipeline: Pipeline, start: int, stop: int) -> list[Alert]:
    alerts: list[Alert] = []
    for first in range(start, stop, 500):
        pipeline.feed(messages(_VALUES[first : min(first + 500, stop)], first=first))
        alerts += pipeline.release().alerts
    return alerts


def _states(pipeline: Pipeline) -> dict[int, State]:
    return {
        shard: {"settings": {}, **pipeline.snapshot(shard)}
        for shard in range(pipeline.monitor.count)
    }


def _encoded(states: Mapping[int, State]) -> dict[int, bytes]:
    return {shard: encode(state) for shard, state in states.items()}


def _command(pipeline: Pipeline) -> None:
    """Plan changes of all models, and say of each open incident that somebody looks after it."""
    place = itertools.count()
    for model in range(_MODELS):
        plan = Command(
            id="0" * 32, kind=Asked.EXPECT, model=f"m{model}", since=0, until=10 - model, at=0
        )
        pipeline.command(next(place), plan)
    opened = [
        each
        for state in _states(pipeline).values()
        for each in trees(tree(tree(state, "monitor"), "incidents"), "incidents")
    ]
    for each in opened:
        names = {name: text(each, name) for name in ("model", "version")}
        of_model = flag(each, "of_model")
        said = Command(
            id="1" * 32,
            kind=Asked.ACKNOWLEDGE,
            incident=text(each, "id"),
            of_model=of_model,
            at=0,
            **names,
        )
        pipeline.command(next(place), said)


@pytest.fixture(scope="module")
def half() -> tuple[dict[int, State], list[Alert]]:
    """The state of 16 shards amid the stream, and the alerts that follow from there on."""
    pipeline = _pipeline(16)
    _feed(pipeline, 0, _HALF)
    _command(pipeline)
    states = _states(pipeline)
    alerts = _feed(pipeline, _HALF, len(_VALUES)) + list(pipeline.drain().alerts)
    assert {alert.type for alert in alerts} >= {"opened", "resolved"}
    assert any(alert.data["acknowledged"] for alert in alerts)
    assert any(trees(tree(tree(s, "monitor"), "incidents"), "incidents") for s in states.values())
    return states, alerts


@pytest.mark.parametrize("shards", [1, 3, 40])
def test_the_alerts_are_those_without(
    half: tuple[dict[int, State], list[Alert]], shards: int
) -> None:
    states, alerts = half
    pipeline = _pipeline(shards)
    assert pipeline.restore(reshard(states, shards)) == []
    told = _feed(pipeline, _HALF, len(_VALUES)) + list(pipeline.drain().alerts)
    assert told == alerts


@pytest.mark.parametrize("shards", [1, 3, 40])
def test_there_and_back_is_bit_for_bit_the_same(
    half: tuple[dict[int, State], list[Alert]], shards: int
) -> None:
    states, _ = half
    assert _encoded(reshard(reshard(states, shards), 16)) == _encoded(states)


@pytest.mark.parametrize("shards", [1, 3])
def test_everything_is_in_the_order_in_which_it_is_written(
    half: tuple[dict[int, State], list[Alert]], shards: int
) -> None:
    divided = reshard(half[0], shards)
    pipeline = _pipeline(shards)
    pipeline.restore(divided)
    written = {shard: tree(state, "monitor") for shard, state in _states(pipeline).items()}
    wanted = {shard: tree(state, "monitor") for shard, state in divided.items()}
    assert _encoded(written) == _encoded(wanted)


def test_everything_is_where_it_is_looked_for(
    half: tuple[dict[int, State], list[Alert]],
) -> None:
    divided = reshard(half[0], 3)
    assert sorted(divided) == [0, 1, 2]
    for shard, state in divided.items():
        assert state["shards"] == 3
        monitor = tree(state, "monitor")
        assert monitor.keys() == tree(half[0][0], "monitor").keys()
        named = [each["model"] for each in trees(monitor, "versions")]
        assert {shard_of(str(model), 0, 3) for model in named} <= {shard}
    pipeline = _pipeline(3)
    pipeline.restore(divided)
    before = _pipeline(16)
    before.restore(half[0])
    stood = standing(before.monitor.monitors)
    assert comparable(standing(pipeline.monitor.monitors)) == comparable(stood)
    assert sum(stood.dropped.values()) > 50


def test_shards_of_different_moments_are_refused(
    half: tuple[dict[int, State], list[Alert]],
) -> None:
    pipeline = _pipeline(16)
    _feed(pipeline, 0, 500)
    states = {**half[0], 3: _states(pipeline)[3]}
    with pytest.raises(StateError, match="not all of the same moment") as caught:
        reshard(states, 3)
    assert "stop it with SIGTERM" in str(caught.value.hint)
