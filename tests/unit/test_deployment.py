"""How a process changes a deployment's state: under its claim, all at once or not at all."""

from collections.abc import Mapping

import pytest

from streamdrift.errors import ConnectionsError, FencedError, StateError
from streamdrift.records import Partition
from streamdrift.serving import deployment
from streamdrift.serving.deployment import Deployment
from streamdrift.state import Ownership, TopicStore
from streamdrift.state.log import MemoryLog
from tests import exported


class _Log(MemoryLog):
    def write_to(self, outbox: object) -> None: ...

    def close(self) -> None: ...


class _Outbox:
    """Commits what the log was given; with `late`, another process came before."""

    def __init__(self, log: MemoryLog, late: Ownership | None) -> None:
        self._log, self._late = log, late

    def begin(self) -> None: ...

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        if self._late is not None:
            self._log.crash(keep=False)
            raise FencedError("fenced")
        self._log.commit()

    def close(self) -> None:
        self._log.crash(keep=False)


def _deployment(
    monkeypatch: pytest.MonkeyPatch, log: MemoryLog, late: Ownership | None = None
) -> Deployment:
    monkeypatch.setattr(deployment, "ensure_topics", lambda *_, create: ())
    monkeypatch.setattr(deployment, "KafkaLog", lambda _: log)
    monkeypatch.setattr(deployment, "transactions_work", lambda *_: log.transactional)
    monkeypatch.setattr(deployment, "TransactionalOutbox", lambda *_: _Outbox(log, late))
    monkeypatch.setattr(deployment, "open_patient", lambda *_: _Outbox(log, late))
    monkeypatch.setattr(deployment, "Outbox", lambda _, patient: _Outbox(log, None))
    return Deployment(exported.settings())


def _running(log: MemoryLog) -> Ownership:
    running = Ownership("one", "journal", "host/1")
    running.claim(log)
    log.commit()
    running.check(log)
    return running


@pytest.mark.parametrize("transactional", [True, False])
def test_who_runs_it_is_fenced_by_the_change(
    monkeypatch: pytest.MonkeyPatch, transactional: bool
) -> None:
    log = _Log(transactional=transactional)
    running = _running(log)
    changed = dict.fromkeys(range(exported.SHARDS), b"changed")
    _deployment(monkeypatch, log).change_state(lambda store: store.save(changed))
    assert exported.contents(exported.store(log).load()) == changed
    with pytest.raises(FencedError):
        running.check(log)


def _refuse(_: TopicStore) -> None:
    raise StateError("refused")


def test_a_change_that_is_refused_leaves_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log(transactional=True)
    running = _running(log)
    with pytest.raises(StateError, match="refused"):
        _deployment(monkeypatch, log).change_state(_refuse)
    running.check(log)


def test_without_transactions_the_claim_is_there_before_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = _Log()
    running = _running(log)

    def change(_: TopicStore) -> None:
        with pytest.raises(FencedError):
            running.check(log)

    _deployment(monkeypatch, log).change_state(change)


def test_who_comes_in_between_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log(transactional=True)
    late = _deployment(monkeypatch, log, _running(log))
    with pytest.raises(FencedError, match="nothing is changed") as caught:
        late.change_state(lambda store: store.save({0: b"changed"}))
    assert "stop the process" in str(caught.value.hint)
    assert not exported.store(log).load().snapshots


def test_without_transactions_a_later_claim_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()

    def change(_: TopicStore) -> None:
        Ownership("one", "journal", "late/1").claim(log)

    with pytest.raises(FencedError, match=r"\(late/1\) has taken over"):
        _deployment(monkeypatch, log).change_state(change)


@pytest.mark.parametrize(
    ("guarantee", "hint"), [("auto", "guarantee: at_least_once"), ("exactly_once", "look at it")]
)
def test_brokers_that_cannot_tell_now_whether_they_have_transactions_are_an_error(
    monkeypatch: pytest.MonkeyPatch, guarantee: str, hint: str
) -> None:
    def away(*_: object) -> bool:
        raise ConnectionsError("no coordinator", "look at it")

    log = _Log(transactional=True)
    settings = exported.settings().model_copy(update={"guarantee": guarantee})
    _deployment(monkeypatch, log)
    monkeypatch.setattr(deployment, "transactions_work", away)
    with (
        pytest.raises(ConnectionsError, match="no coordinator") as raised,
        Deployment(settings).open_session(),
    ):
        pass
    assert raised.value.hint is not None
    assert hint in raised.value.hint


@pytest.mark.parametrize("transactional", [True, False])
def test_a_session_knows_whether_its_group_has_committed(
    monkeypatch: pytest.MonkeyPatch, transactional: bool
) -> None:
    """Only where it commits with that."""
    monkeypatch.setattr(deployment, "has_committed", lambda _, group: group == "one")
    with _deployment(monkeypatch, _Log(transactional=transactional)).open_session() as session:
        assert session.has_committed() == transactional
