"""The service's loop, without a broker and without waiting."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from streamdrift.decoders import make_decoder
from streamdrift.errors import ConnectionsError, FencedError, StateError
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.operators import Asked, Command
from streamdrift.operators import encode as encode_command
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Alert, DeadLetter, Messages, Partition, Reached
from streamdrift.serving.commit import MANY_BYTES
from streamdrift.serving.loop import ServiceSettings, Session
from streamdrift.serving.recovery import recover
from streamdrift.serving.service import Service
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings
from streamdrift.sources.memory import MemorySource
from streamdrift.state import Ownership, TopicStore, decode, encode
from streamdrift.state.commands import CommandLog
from streamdrift.state.log import MemoryLog
from tests.messages import messages

_START = 1_767_225_600
_ZERO, _ONE = Partition("predictions", 0), Partition("predictions", 1)


class _Clock:
    """Goes on by a twentieth of a second whenever it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 0.05
        return self.seconds

    def now(self) -> int:
        return 0


class _Sink:
    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.letters: list[DeadLetter] = []
        self.fails = 0
        self.together: list[int] = []
        """How many were written by each call."""

    def write(self, items: Sequence[Any]) -> None:
        self.together.append(len(items))
        if items and self.fails:
            self.fails -= 1
            raise ConnectionsError("the broker went away")
        for item in items:
            (self.alerts if isinstance(item, Alert) else self.letters).append(item)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _events(first: int, count: int, *, shift: float = 0.0, step: float = 1.0) -> list[bytes]:
    numbers = np.random.default_rng(first).normal(shift, 1, count).tolist()
    return [
        json.dumps(
            {"model": "m", "timestamp": _START + (first + i) * step, "features": {"x": number}}
        ).encode()
        for i, number in enumerate(numbers)
    ]


class _World:
    """Everything a service is given, and what it left."""

    def __init__(self, groups: Sequence[Messages], *, partitions: Sequence[Partition] = ()) -> None:
        self.log, self.sink, self.metrics = MemoryLog(), _Sink(), Metrics()
        self.groups, self.partitions = groups, partitions
        self.sources: list[MemorySource] = []
        self.sessions = 0
        self.fingerprint = {"source.mapping": "one"}
        self.make_pipeline: Callable[[], Pipeline] = _pipeline
        self.max_pending = 100_000
        self.per_poll = 1
        self.check_owner: Callable[[], None] = lambda: None
        self.has_committed = False
        self.step: Callable[[str], None] = lambda _: None

    def service(self, turns: int) -> Service:
        """Return a service that stops after so many polls of its last source."""

        @contextmanager
        def open_session() -> Iterator[Session]:
            self.sessions += 1
            store = TopicStore(self.log, "d", "state", "journal", 3)
            yield Session(
                store,
                [self.sink],
                self.sink,
                open_source,
                self.check_owner,
                has_committed=lambda: self.has_committed,
                open_commands=lambda after: CommandLog(self.log, "commands", after),
            )

        def open_source(positions: Mapping[Partition, int], _: object) -> MemorySource:
            source = _Stopping(
                self.groups,
                partitions=self.partitions,
                positions=positions,
                per_poll=self.per_poll,
            )
            source.stop_at, source.service = turns, service
            self.sources.append(source)
            return source

        settings = ServiceSettings(1.0, 1e9, 2_000_000, self.max_pending, self.fingerprint)
        service = Service(
            settings, open_session, self.make_pipeline, self.metrics, _Clock(), self.step
        )
        service._sessions._stopping = _Impatient()
        return service


class _Impatient(threading.Event):
    """Does not wait."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class _Stopping(MemorySource):
    """Stops its service after a number of polls."""

    stop_at = 0
    service: Service

    def poll(self, timeout: float) -> Sequence[Messages]:
        if self.polls >= self.stop_at:
            self.service.stop()
        return super().poll(timeout)


def _pipeline(**changes: Any) -> Pipeline:
    settings = ModelSettings(
        reference=ReferenceSettings(events=600), silence=SilenceSettings(events=500), **changes
    )
    decoder = make_decoder("json", {})
    return Pipeline(lambda _: decoder, Ordering(OrderingSettings()), Shards(lambda _: settings, 3))


def _drifting() -> list[Messages]:
    events = _events(0, 2_000) + _events(2_000, 500, shift=2) + _events(2_500, 2_500)
    return [messages(events[i : i + 500], first=i) for i in range(0, 5_000, 500)]


def test_drift_is_published_and_everything_is_committed_at_the_stop() -> None:
    world = _World(_drifting())
    world.service(turns=20).run()
    assert [alert.type for alert in world.sink.alerts if alert.type != "updated"] == [
        "opened",
        "resolved",
    ]
    again = _World(_drifting())
    again.log, again.sink = world.log, world.sink
    again.service(turns=20).run()
    assert len({alert.id for alert in world.sink.alerts}) == len(world.sink.alerts)
    assert again.metrics.events() == 0


def test_dead_letters_are_written_and_counted() -> None:
    world = _World([messages([b"rubbish", *_events(0, 100)])])
    world.service(turns=5).run()
    assert [letter.reason for letter in world.sink.letters] == ["invalid_json"]
    text = b"".join(world.metrics.exposition())
    assert b'dead_letters_total{reason="invalid_json"} 1.0' in text


def test_dead_letters_of_many_bytes_are_not_committed_together() -> None:
    large = b"{" * (MANY_BYTES // 2)
    world = _World([messages([large, large], first=2 * i) for i in range(4)])
    world.per_poll = 4
    world.service(turns=1).run()
    assert [each for each in world.sink.together if each] == [2, 2, 2, 2]
    assert [letter.offset for letter in world.sink.letters] == list(range(8))


def test_dead_letters_are_said_once_for_each_reason() -> None:
    rubbish = [b"{", b"[", b'{"model": "m", "timestamp": "soon", "features": {}}']
    world = _World([messages(rubbish), messages(rubbish, first=3)])
    with capture_logs() as logs:
        world.service(turns=5).run()
    said = [each for each in logs if each["event"] == "dead letters"]
    assert len(world.sink.letters) == 6
    assert [(each["first"], each["log_level"]) for each in said] == [
        ("0/0", "warning"),
        ("0/2", "warning"),
    ]
    assert len({each["reason"] for each in said}) == 2


def test_the_first_commit_has_snapshots_also_amid_what_was_handed_out() -> None:
    large = b"{" * MANY_BYTES
    world = _World([messages([large], first=i) for i in range(2)])
    world.per_poll = 2
    stored: list[int] = []

    class Sink(_Sink):
        def write(self, items: Sequence[Any]) -> None:
            if items:
                stored.append(len(TopicStore(world.log, "d", "state", "journal", 3).last()))

    world.sink = Sink()
    world.service(turns=1).run()
    assert stored == [0, 3]


def test_idle_partition_stops_holding_the_others_back() -> None:
    world = _World(_drifting(), partitions=[_ZERO, _ONE])
    world.service(turns=3).run()
    assert world.metrics.events() > 0
    assert world.sink.alerts == []
    world = _World(_drifting(), partitions=[_ZERO, _ONE])
    world.service(turns=60).run()
    assert world.sink.alerts[0].type == "opened"


def test_partition_that_cannot_be_read_goes_on_holding(monkeypatch: pytest.MonkeyPatch) -> None:
    at_end = MemorySource.at_end
    monkeypatch.setattr(MemorySource, "at_end", lambda self: at_end(self) - {_ONE})
    world = _World(_drifting(), partitions=[_ZERO, _ONE])
    world.service(turns=60).run()
    assert world.metrics.events() == 5_000
    assert world.sink.alerts == []


def test_silence_is_noticed_by_the_clock_while_nothing_arrives() -> None:
    world = _World([messages(_events(0, 1_000, step=0.001))])
    world.service(turns=600).run()
    (alert,) = world.sink.alerts
    assert (alert.model, alert.version, alert.type) == ("m", "", "opened")
    assert alert.time == (_START + 60) * 1_000_000 + 999_000


@pytest.fixture
def caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a source hands out next is not written yet: it is always at the end."""
    monkeypatch.setattr(MemorySource, "at_end", lambda self: frozenset(self.partitions()))


@pytest.mark.usefixtures("caught_up")
def test_rubbish_does_not_hide_that_a_model_is_silent() -> None:
    good = messages(_events(0, 1_000, step=0.001))
    rubbish = [messages([b"rubbish"], first=1_000 + i) for i in range(500)]
    world = _World([good, *rubbish])
    world.service(turns=600).run()
    assert [alert.type for alert in world.sink.alerts] == ["opened"]


@pytest.mark.usefixtures("caught_up")
def test_partition_of_nothing_but_rubbish_does_not_hold_the_others() -> None:
    groups: list[Messages] = []
    for i, group in enumerate(_drifting()):
        groups += [group, messages([b"rubbish", None], partition=_ONE, first=2 * i)]
    groups += [messages([b"rubbish"], partition=_ONE, first=20 + i) for i in range(200)]
    world = _World(groups)
    world.service(turns=220).run()
    kinds = [alert.type for alert in world.sink.alerts if alert.type != "updated"]
    # The last is of the silence behind the last event.
    assert kinds == ["opened", "resolved", "opened"]


def test_partition_that_runs_ahead_is_paused_and_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, object]] = []
    for name in ("pause", "resume"):
        method = getattr(MemorySource, name)

        def tell(self: MemorySource, chosen: Any, name: str = name, method: Any = method) -> None:
            told.append((name, chosen))
            method(self, chosen)

        monkeypatch.setattr(MemorySource, name, tell)
    groups = _drifting()
    early = messages(_events(0, 10), partition=_ONE)
    late = messages(_events(4_990, 10), partition=_ONE, first=10)
    world = _World([*groups[:3], early, *groups[3:6], late, *groups[6:]])
    world.max_pending = 700
    world.service(turns=40).run()
    assert ("pause", {_ZERO}) in told
    assert ("resume", {_ZERO}) in told
    assert world.metrics.events() == 5_020


def test_lost_connection_is_followed_by_a_recovery_with_the_same_alerts() -> None:
    undisturbed = _World(_drifting())
    undisturbed.service(turns=20).run()
    world = _World(_drifting())
    world.sink.fails = 3
    world.service(turns=40).run()
    assert world.sessions == 4
    assert [alert.id for alert in world.sink.alerts] == [
        alert.id for alert in undisturbed.sink.alerts
    ]


def test_while_the_connection_is_lost_the_service_is_not_ready_but_well() -> None:
    world = _World(_drifting())
    world.sink.fails = 3
    service = world.service(turns=40)
    seen: list[tuple[bool, bool]] = []

    class Waiting(_Impatient):
        def wait(self, timeout: float | None = None) -> bool:
            seen.append((service.ready, service.healthy))
            return super().wait(timeout)

    service._sessions._stopping = Waiting()
    service.run()
    assert seen == [(False, True)] * 3
    assert not service.ready


def test_loop_that_hangs_is_not_well() -> None:
    world = _World(_drifting())
    service = world.service(turns=20)
    service.run()
    assert service.healthy
    clock = service._clock
    assert isinstance(clock, _Clock)
    clock.seconds += 1_000
    assert not service.healthy


def test_last_commit_that_fails_is_an_error() -> None:
    world = _World(_drifting())
    service = world.service(turns=3)
    service.stop()
    service._sessions._stopping = _Impatient()

    def refuse() -> None:
        if service._sessions._stopping.is_set():
            raise ConnectionsError("the broker went away")

    world.check_owner = refuse
    with pytest.raises(ConnectionsError):
        service.run()


def test_connection_that_never_stood_is_an_error() -> None:
    @contextmanager
    def refuse() -> Iterator[Session]:
        raise ConnectionsError("nobody answers")
        yield

    settings = ServiceSettings(1.0, 1e9, 1, 1, {})
    with pytest.raises(ConnectionsError):
        Service(settings, refuse, _pipeline, Metrics()).run()


def test_partition_that_is_read_no_more_holds_nobody_back() -> None:
    groups = _drifting()
    world = _World([*groups[:3], messages(_events(0, 10), partition=_ONE)])
    world.service(turns=6).run()
    again = _World(groups)
    again.log, again.sink = world.log, world.sink
    again.service(turns=100).run()
    assert [alert.type for alert in again.sink.alerts][:1] == ["opened"]


def test_outage_of_the_broker_is_no_silence_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    at_end = MemorySource.at_end
    monkeypatch.setattr(
        MemorySource, "at_end", lambda self: at_end(self) if self.polls < 40 else frozenset()
    )
    world = _World([messages(_events(0, 1_000, step=0.001))])
    world.service(turns=600).run()
    assert world.sink.alerts == []


def test_process_that_was_stopped_concludes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World([messages(_events(0, 1_000, step=0.001))])
    service = world.service(turns=60)
    clock, poll = service._clock, MemorySource.poll
    assert isinstance(clock, _Clock)

    def stopped(self: MemorySource, timeout: float) -> Sequence[Messages]:
        if self.polls == 40:
            clock.seconds += 3_600
        return poll(self, timeout)

    monkeypatch.setattr(MemorySource, "poll", stopped)
    service.run()
    assert world.sink.alerts == []


def test_what_is_observed_once_nothing_more_comes_is_committed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not only where the service is stopped in order."""
    monkeypatch.setattr("streamdrift.serving.loop.Loop.finish", lambda _: None)
    world = _World([messages(_events(0, 1_000))], partitions=[_ZERO, _ONE])
    world.service(turns=60).run()
    stored, pipeline = TopicStore(world.log, "d", "state", "journal", 3).load(), _pipeline()
    recover(pipeline, stored, world.fingerprint)
    assert sum(version.events for version in pipeline.monitor.versions()) == 1_000


def test_it_is_known_how_far_all_is_taken_and_published(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World([messages(_events(0, 1_000))], partitions=[_ZERO, _ONE])
    service, seen = world.service(turns=60), list[Mapping[Partition, Reached]]()
    monkeypatch.setattr(service, "_note_reached", seen.append)
    service.run()
    assert service.reached is None
    assert seen[-1] == {_ZERO: Reached(1_000, 1_000), _ONE: Reached(0, 0)}
    # What is read, and waits for the partition that is silent, is not taken.
    assert any(each[_ZERO].offset < each[_ZERO].end for each in seen)


def test_nothing_new_writes_nothing() -> None:
    written = []
    for turns in (30, 400):
        world = _World(_drifting())
        world.service(turns=turns).run()
        written.append(world.log.appended)
    assert written[1] - written[0] < 10


def test_from_the_first_commit_on_what_shows_nothing_has_a_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else where reading begins would be decided again by each start."""
    monkeypatch.setattr("streamdrift.serving.loop.Loop.finish", lambda _: None)
    monkeypatch.setattr(MemorySource, "begun", lambda _: {_ZERO: 3, _ONE: 4})
    world = _World([], partitions=[_ZERO, _ONE])
    world.service(turns=1).run()
    stored = TopicStore(world.log, "d", "state", "journal", 3).load()
    recovered = recover(_pipeline(), stored, world.fingerprint)
    assert recovered.positions == {_ZERO: 3, _ONE: 4}


def test_state_that_is_gone_is_an_error_and_no_fresh_start() -> None:
    world = _World(_drifting())
    world.service(turns=20).run()
    told = len(world.sink.alerts)
    world.log._partitions.pop(("state", 0))
    with pytest.raises(StateError, match="has no state of it"):
        world.service(turns=20).run()
    world.log._partitions.clear()
    world.has_committed = True
    with pytest.raises(StateError, match="there is no state of it") as caught:
        world.service(turns=20).run()
    assert "streamdrift state reset" in str(caught.value.hint)
    assert len(world.sink.alerts) == told
    TopicStore(world.log, "d", "state", "journal", 3).reset()
    world.service(turns=20).run()
    assert len(world.sink.alerts) == 2 * told


def test_state_that_is_gone_between_two_sessions_is_an_error() -> None:
    world = _World(_drifting())
    service = world.service(turns=40)

    def lose(step: str) -> None:
        if step == "journaled" and world.log.records.get("state"):
            world.log._partitions.clear()
            raise ConnectionsError("the broker went away")

    service._step = lose
    with pytest.raises(StateError, match="there is no state of it"):
        service.run()


def test_session_that_fails_before_the_first_commit_leaves_nothing_to_be_missed() -> None:
    world = _World(_drifting())
    service = world.service(turns=20)

    def fail(step: str) -> None:
        if world.sessions == 1 and step == "chunks done":
            raise ConnectionsError("the broker went away")

    service._step = fail
    service.run()
    assert world.sessions == 2
    assert world.sink.alerts


@pytest.mark.parametrize("key", ["incidents", "dropped", "versions", "groups", "terms"])
def test_state_that_lacks_something_is_an_error(key: str) -> None:
    """As one of another version may."""
    world = _World(_drifting())
    world.service(turns=20).run()
    store = TopicStore(world.log, "d", "state", "journal", 3)
    states: dict[int, Any] = {
        shard: decode(saved.snapshot) for shard, saved in store.load().snapshots.items()
    }
    for state in states.values():
        for tree in (state["monitor"], *state["monitor"]["versions"]):
            tree.pop(key, None)
    store.save({shard: encode(state) for shard, state in states.items()})
    with pytest.raises(StateError, match=f"has no '{key}'"):
        world.service(turns=1).run()


def test_changed_settings_are_named() -> None:
    world = _World(_drifting())
    world.service(turns=5).run()
    world.fingerprint = {"source.mapping": "two", "source.format": "json"}
    with pytest.raises(StateError, match=r"format: unset -> json; source\.mapping: one -> two"):
        world.service(turns=5).run()


def test_what_changed_settings_of_a_model_do_is_logged_at_the_start() -> None:
    world = _World(_drifting())
    world.service(turns=5).run()
    world.make_pipeline = lambda: _pipeline(signals={"x (missing)": ()}, ignore=("x",))
    with capture_logs() as logs:
        world.service(turns=10).run()
    told = {entry["event"]: entry for entry in logs}
    assert list(told)[:3] == ["state restored", "detectors changed", "settings wait"]
    assert told["detectors changed"]["signals"] == ["x (missing)"]
    assert told["settings wait"]["settings"] == {"ignore.x": "unset -> true"}
    with capture_logs() as logs:
        world.service(turns=5).run()
    assert not {"detectors changed", "settings wait"} & {entry["event"] for entry in logs}


def test_service_that_was_replaced_is_fenced() -> None:
    world = _World(_drifting())
    ours, other = (Ownership("d", "journal", name) for name in ("ours", "other"))
    ours.claim(world.log)
    world.check_owner = lambda: ours.check(world.log)
    service = world.service(turns=1_000)
    step = iter(range(10**6))

    def take_over(_: str) -> None:
        if next(step) == 10:
            other.claim(world.log)

    service._step = take_over
    with pytest.raises(FencedError):
        service.run()


def _ask(world: _World, kind: Asked, number: int = 0) -> None:
    """Ask something of the incident that was opened last."""
    incident = [each for each in world.sink.alerts if each.type == "opened"][-1]
    command = Command(
        id=f"{number:032x}",
        kind=kind,
        model="m",
        incident=str(incident.data["incident"]),
        by="Ann",
        at=1,
    )
    world.log.append("commands", "m", encode_command(command))
    world.log.flush()


def _lasting() -> list[Messages]:
    events = _events(0, 2_000) + _events(2_000, 3_000, shift=2)
    return [messages(events[i : i + 500], first=i) for i in range(0, 5_000, 500)]


def test_what_operators_ask_takes_effect_with_the_next_commit() -> None:
    world = _World(_lasting())
    world.service(6).run()
    _ask(world, Asked.RESOLVE)
    with capture_logs() as logs:
        world.service(20).run()
    assert "resolved" in [alert.type for alert in world.sink.alerts]
    [taken] = [entry for entry in logs if entry["event"] == "command taken"]
    assert (taken["command"], taken["by"]) == ("resolve", "Ann")
    assert taken["id"] == "0" * 32  # which the API answers
    count = world.metrics.registry.get_sample_value
    assert count("streamdrift_commands_total", {"kind": "resolve"}) == 1


@pytest.mark.parametrize("dies_at", [None, "journaled", "alerts durable", "manifests done"])
def test_what_is_asked_in_a_silence_after_a_restart_waits_for_no_time(dies_at: str | None) -> None:
    """It had gone on for half a minute, and the clock of a new life counts from its start.

    Whoever dies with the command tells the same of it, at the same place.
    """
    world = _World(_lasting())
    world.service(100).run()
    _ask(world, Asked.ACKNOWLEDGE)
    world.service(20).run()
    assert [alert.type for alert in world.sink.alerts] == ["opened", "updated"]
    _ask(world, Asked.RESOLVE, 1)
    if dies_at is not None:
        world.step = _Dying(dies_at, world.log)
        with pytest.raises(_DiedError):
            world.service(20).run()
        world.log.crash(keep=False)
        world.step = lambda _: None
    world.service(20).run()
    told = {alert.id: alert.type for alert in world.sink.alerts}
    assert list(told.values()) == ["opened", "updated", "resolved"]
    resolved = max(alert.time for alert in world.sink.alerts)
    assert resolved > (_START + 5_000 + 20) * 1_000_000


def test_a_record_that_is_no_command_is_told_and_passed_over() -> None:
    world = _World(_lasting())
    world.service(6).run()
    world.log.append("commands", "m", b"rubbish")
    world.log.flush()
    with capture_logs() as logs:
        world.service(20).run()
    [refused] = [entry for entry in logs if entry["event"] == "command refused"]
    assert refused["why"].startswith("no command: ")
    count = world.metrics.registry.get_sample_value
    assert count("streamdrift_commands_total", {"kind": "refused"}) == 1


@pytest.mark.parametrize(
    "dies_at", ["journaled", "alerts durable", "chunks done", "manifests done"]
)
def test_whoever_dies_with_a_command_does_it_again_in_its_place(dies_at: str) -> None:
    """Where it is journaled, and at another place where it is not."""

    def lives(dies: bool) -> list[tuple[str, int]]:
        world = _World(_lasting())
        world.service(6).run()
        _ask(world, Asked.RESOLVE)
        if dies:
            world.step = _Dying(dies_at, world.log)
            with pytest.raises(_DiedError):
                world.service(20).run()
            world.log.crash(keep=False)
            world.step = lambda _: None
        world.service(20).run()
        unique = {alert.id: (alert.type, alert.time) for alert in world.sink.alerts}
        return sorted(unique.values(), key=lambda each: each[1])

    assert lives(dies=True) == lives(dies=False)


class _DiedError(Exception):
    """What a process that is killed leaves behind is nothing."""


class _Dying:
    """Dies at a step of the first commit in which a command stands in the journal."""

    def __init__(self, at: str, log: MemoryLog) -> None:
        self._at, self._log = at, log

    def __call__(self, step: str) -> None:
        known = any(key == "d/command" for key, _ in self._log.records["journal"])
        if step == self._at and known:
            raise _DiedError
