"""How long producers are given, and what is left where a patient one does not commit."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaError

from streamdrift.errors import ConnectionsError
from streamdrift.kafka import outbox
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import Outbox, TransactionalOutbox, open_patient

_LONGEST_MS = 900_000
_DONE = SimpleNamespace(wait=lambda timeout_ms: True)


class _Producer:
    """Is refused by brokers that allow `longest` milliseconds for a transaction."""

    def __init__(self, longest: int, options: dict[str, Any]) -> None:
        self._longest = longest
        self.options = options
        self.flushed_within: list[float] = []
        self.aborted = 0
        self._transaction_manager = SimpleNamespace(
            _supports_epoch_bump=lambda: True,
            producer_id_and_epoch="1/0",
            last_error=None,
            begin_commit=lambda: _DONE,
            begin_abort=self.abort,
        )
        self._sender = SimpleNamespace(
            wakeup=lambda: None,
            _client=SimpleNamespace(await_ready=None),
            force_close=lambda: None,
            join=lambda _: None,
        )

    def init_transactions(self) -> None:
        if self.options["transaction_timeout_ms"] > self._longest:
            raise KafkaError("Unexpected error: [Error 50] InvalidTransactionTimeoutError")

    def begin_transaction(self) -> None: ...

    def abort(self) -> Any:
        self.aborted += 1
        return _DONE

    def send(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(get=lambda timeout: None)

    def flush(self, timeout: float) -> None:
        self.flushed_within.append(timeout)

    def close(self, timeout: float) -> None: ...


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[_Producer]:
    """The producers that were made."""
    return _make(monkeypatch, _LONGEST_MS)


def _make(monkeypatch: pytest.MonkeyPatch, longest: int) -> list[_Producer]:
    made: list[_Producer] = []

    def make(_: object, **options: Any) -> _Producer:
        made.append(_Producer(longest, options))
        return made[-1]

    monkeypatch.setattr(outbox, "make_producer", make)
    return made


def test_what_is_written_at_once_is_given_as_long_as_brokers_allow(made: list[_Producer]) -> None:
    patient = open_patient(KafkaSettings(), "id", max_request_size=7)
    assert made[0].options == {
        "transactional_id": "id",
        "transaction_timeout_ms": _LONGEST_MS,
        "delivery_timeout_ms": _LONGEST_MS,
        "max_request_size": 7,
    }
    for each in (patient, Outbox(KafkaSettings(), patient=True), Outbox(KafkaSettings())):
        each.send("topic", b"x")
        each.flush()
    assert [each.flushed_within for each in made] == [[900], [900], [30.0]]


def test_brokers_that_allow_less_are_given_the_usual_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = _make(monkeypatch, 60_000)
    open_patient(KafkaSettings(), "id")
    assert [each.options["transaction_timeout_ms"] for each in made] == [_LONGEST_MS, 10_000]


def test_other_refusals_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise KafkaError("TransactionalIdAuthorizationFailedError")

    _make(monkeypatch, _LONGEST_MS)
    monkeypatch.setattr(_Producer, "init_transactions", refuse)
    with pytest.raises(ConnectionsError, match="AuthorizationFailed"):
        open_patient(KafkaSettings(), "id")


@pytest.mark.parametrize(("patient", "ended"), [(True, 1), (False, 0)])
def test_a_patient_one_leaves_no_transaction_open(
    made: list[_Producer], patient: bool, ended: int
) -> None:
    """Nobody else would end it for long."""
    for commits in (True, False):
        one = TransactionalOutbox(KafkaSettings(), "id", patient=patient)
        one.begin()
        if commits:
            one.commit("group", {})
        one.close()
    assert [each.aborted for each in made] == [0, ended]
