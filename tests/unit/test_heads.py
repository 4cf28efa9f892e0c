"""A divided model's shards: however they run apart, its head tells what one process would."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from streamdrift.changes import Heard, Step
from streamdrift.columns import cut, take
from streamdrift.incidents import Incidents, IncidentSettings
from streamdrift.incidents.realised import RealisedRate
from streamdrift.models.groups import divide
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.heads import Heads, Home
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.shards import shard_of
from streamdrift.monitoring.standing import standing
from streamdrift.records import Alert, Batch, ColumnKey, Group, Released
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings
from streamdrift.sinks.cloudevents import encode as as_cloudevent
from streamdrift.state.codec import decode, encode
from tests.alerts import NOON, SECOND, changed, left, make_signal
from tests.batches import batch, column, feature

SHARDS, GROUPS = 4, 5
END = 1 << 60
Frame = Released | Heard


def settings(*, deduplicate: bool = False) -> ModelSettings:
    return ModelSettings(
        reference=ReferenceSettings(events=300),
        silence=SilenceSettings(events=100),
        feature_groups=GROUPS,
        deduplicate=deduplicate,
        retire_after=5_000 * SECOND,
    )


def stream(seed: int, model: str) -> list[Batch]:
    """Two versions that drift, one of which ends: repeats, lists, columns that are not always."""
    draw = np.random.default_rng(seed)
    size = 2_400
    shift = np.where((np.arange(size) >= 1_000) & (np.arange(size) < 1_500), 2.0, 0.0)
    columns = {
        feature(f"f{i}"): column((draw.normal(size=size) + shift * (i % 2)).tolist())
        for i in range(7)
    }
    lists = [[] if draw.random() < 0.8 else [1.0, 2.0 + s] for s in shift]
    columns[feature("list")] = column(lists)
    seldom = [float(draw.normal() + s) if draw.random() < 0.3 else ... for s in shift]
    columns[feature("seldom")] = column(seldom)
    columns[feature("late")] = column([...] * 1_200 + [1.0] * 1_200)
    score = column((draw.random(size) / (1 + shift)).tolist())
    columns[ColumnKey(Group.OUTPUT, "score")] = score
    ids = np.arange(1, size + 1)
    ids[2::40] = ids[1::40]
    ids[1_700:1_900:2] = ids[1_699:1_899:2]
    times = NOON + np.arange(size) * SECOND
    times[2_100:] += 20_000 * SECOND
    whole = batch(columns, model=model, times=times.tolist(), ids=ids.tolist())
    second = (np.arange(size) % 3 == 0) & (np.arange(size) < 1_900)
    return [
        replace(take(whole, np.flatnonzero(rows)), version=version)
        for version, rows in (("1", ~second), ("2", second))
    ]


def releases(random: Random, batches: Sequence[Batch]) -> list[Released]:
    """Cut events anywhere, each piece up to a watermark no later one falls below."""
    times = np.unique(np.concatenate([each.time for each in batches]))
    ends = [int(time) for time in sorted(random.choices(times.tolist(), k=20))]
    found, begin = [], 0
    for end in [*ends, int(times[-1]) + 1]:
        pieces = []
        for each in batches:
            first, stop = np.searchsorted(each.time, [begin, end])
            if stop > first:
                pieces.append(cut(each, int(first), int(stop)))
        found.append(Released(tuple(pieces), end))
        begin = end
    return [*found, Released((), END)]


def expected(
    batches: Sequence[Batch], chosen: ModelSettings
) -> tuple[list[object], Sequence[RealisedRate]]:
    monitor = Monitor(lambda _: chosen)
    alerts: list[Alert] = []
    for released in releases(Random(0), batches):
        alerts += monitor.observe(released).alerts
    return told(alerts), standing([monitor]).realised


def told(alerts: Iterable[Alert]) -> list[object]:
    found = sorted(alerts, key=lambda alert: (alert.model, alert.number))
    return [as_cloudevent(alert, "d") for alert in found]


class Shards:
    """Every shard reads its log as chance has it, and is restored from a snapshot at times."""

    def __init__(self, random: Random, batches: Sequence[Batch], chosen: ModelSettings) -> None:
        self._random = random
        self._settings = chosen
        self._logs: list[list[Frame]] = [[] for _ in range(SHARDS)]
        self._left = []
        for shard in range(SHARDS):
            mine = [
                part
                for each in batches
                for part in divide(each, GROUPS)
                if shard_of(part.model, part.group, SHARDS) == shard
            ]
            self._left.append(releases(random, mine) if mine else [])
        self._monitors = [self._new(shard) for shard in range(SHARDS)]
        self._read = [0] * SHARDS
        self._saved = [(0, encode(each.snapshot())) for each in self._monitors]
        self.alerts: dict[str, Alert] = {}

    def _new(self, shard: int) -> Monitor:
        return Monitor(lambda _: self._settings, home=Home(shard, SHARDS))

    def run(self) -> list[object]:
        while any(self._left) or any(map(len, self._behind())):
            shard = self._random.randrange(SHARDS)
            if self._left[shard] and self._random.random() < 0.5:
                self._logs[shard].append(self._left[shard].pop(0))
            elif self._behind()[shard]:
                self._take(shard)
        return told(self.alerts.values())

    def realised(self) -> Sequence[RealisedRate]:
        return standing(self._monitors).realised

    def _behind(self) -> list[list[Frame]]:
        return [log[read:] for log, read in zip(self._logs, self._read, strict=True)]

    def _take(self, shard: int) -> None:
        monitor, frame = self._monitors[shard], self._logs[shard][self._read[shard]]
        self._read[shard] += 1
        watermark = self._watermark(shard)
        if isinstance(frame, Heard):
            monitor.hear(frame)
        alerts = monitor.observe(
            frame if isinstance(frame, Released) else Released((), watermark)
        ).alerts
        for alert in alerts:
            known = self.alerts.setdefault(alert.id, alert)
            assert as_cloudevent(known, "d") == as_cloudevent(alert, "d")
            assert known.number == alert.number
        if isinstance(frame, Released):
            for head, heard in monitor.tell(watermark).items():
                self._logs[head].append(heard)
        if self._random.random() < 0.2:
            self._saved[shard] = self._read[shard], encode(monitor.snapshot())
        if self._random.random() < 0.1:
            self._read[shard], state = self._saved[shard]
            self._monitors[shard] = self._new(shard)
            self._monitors[shard].restore(decode(state))

    def _watermark(self, shard: int) -> int:
        seen = self._logs[shard][: self._read[shard]]
        return max((each.watermark for each in seen if isinstance(each, Released)), default=-END)


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_alerts_are_those_of_one_monitor(seed: int, deduplicate: bool) -> None:
    chosen = settings(deduplicate=deduplicate)
    batches = [*stream(seed, "wide"), *stream(seed + 50, "other")]
    wanted, realised = expected(batches, chosen)
    assert len(wanted) > 6
    shards = Shards(Random(seed), batches, chosen)
    assert shards.run() == wanted
    assert shards.realised() == realised
    assert all(each.opened and each.watched > 1_000 * SECOND for each in realised)


# Heads by example


def home_of(model: str) -> tuple[int, int]:
    """Return the shard of a model's head, and another that has a group of it."""
    places = [shard_of(model, group, SHARDS) for group in range(GROUPS)]
    return places[0], next(each for each in places if each != places[0])


def heads(shard: int) -> Heads:
    found = Heads(Home(shard, SHARDS), lambda _: GROUPS)
    found.meet("fraud")
    return found


def test_steps_go_to_the_head_once_no_more_can_come_at_their_time() -> None:
    head, other = home_of("fraud")
    sender = heads(other)
    assert sender.take([changed(NOON), left(NOON + 5)]) == []
    assert sender.tell(NOON) == {head: Heard(other, NOON, ())}
    assert sender.tell(NOON + 5) == {head: Heard(other, NOON + 5, (changed(NOON),))}
    assert sender.tell(NOON + 6) == {head: Heard(other, NOON + 6, (left(NOON + 5),))}
    assert sender.behind(END) == {}


def test_a_head_waits_for_all_that_have_groups_of_the_model() -> None:
    head, other = home_of("fraud")
    receiver = heads(head)
    others = Home(head, SHARDS).others_of("fraud", GROUPS)
    assert other in others
    for place, shard in enumerate(sorted(others)):
        assert receiver.behind(NOON).keys() == {"fraud"}
        receiver.hear(Heard(shard, NOON + place, (changed(NOON - 1),)))
    assert receiver.behind(NOON) == {}
    assert receiver.behind(NOON + 1) == {"fraud": NOON}
    assert receiver.take([]) == [changed(NOON - 1)] * len(others)
    assert receiver.take([]) == []


def test_what_is_told_again_in_other_pieces_is_heard_once() -> None:
    head, other = home_of("fraud")
    receiver = heads(head)
    steps = [changed(NOON + i, make_signal(i)) for i in range(6)]
    found: list[Step] = []
    for begin, end in ((0, 2), (2, 3), (0, 1), (0, 5), (0, 5), (4, 6)):
        receiver.hear(Heard(other, NOON + end, tuple(steps[begin:end])))
        found += receiver.take([])
        again = Heads(Home(head, SHARDS), lambda _: GROUPS)
        again.restore(decode(encode(receiver.snapshot())))
        receiver = again
    assert found == steps
    assert receiver.behind(NOON + 7)["fraud"] <= NOON + 6


def test_models_with_all_groups_here_wait_for_nobody() -> None:
    alone = Heads(Home(0, 1), lambda _: GROUPS)
    alone.meet("fraud")
    assert alone.take([changed(NOON)]) == [changed(NOON)]
    assert (alone.behind(END), alone.tell(END)) == ({}, {})


def test_untold_steps_survive_a_restore() -> None:
    head, other = home_of("fraud")
    sender = heads(other)
    sender.take([changed(NOON)])
    again = Heads(Home(other, SHARDS), lambda _: GROUPS)
    again.restore(decode(encode(sender.snapshot())))
    assert again.tell(NOON + 1) == {head: Heard(other, NOON + 1, (changed(NOON),))}


def test_incidents_of_models_that_are_behind_wait() -> None:
    def make() -> Incidents:
        return Incidents(lambda _: IncidentSettings(gather=10), lambda _: {})

    steps = [changed(NOON, model="a"), changed(NOON, model="b"), left(NOON + 30, model="a")]
    at_once = make().observe(steps, NOON + 40)
    incidents = make()
    first = incidents.observe(steps, NOON + 40, {"a": NOON + 10})
    assert [alert.model for alert in first] == ["b"]
    assert incidents.observe([], NOON + 40, {"a": NOON + 11})[0].type == "opened"
    assert incidents.observe([], NOON + 40, {"a": NOON + 30}) == ()
    again = make()
    again.restore(decode(encode(incidents.snapshot())))
    (resolved,) = again.observe([], NOON + 40)
    assert (resolved.type, resolved.number) == ("resolved", 2)
    assert resolved == at_once[-1]
