"""`streamdrift check` against a real Alertmanager that wants a login, and real brokers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamdrift.commands.check import run_check
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings
from tests.programs import unavailable
from tests.real_alertmanager import PASSWORD, USER, RealAlertmanager
from tests.real_kafka import UnavailableError


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RealAlertmanager]:
    """A real Alertmanager that wants a login."""
    try:
        made = RealAlertmanager(tmp_path / "alertmanager", login=True)
    except UnavailableError as error:
        unavailable(f"{error} (its tests need it)")
    made.start()
    yield made
    made.stop()


def settings(connection: KafkaSettings, name: str, url: str, **login: Any) -> Settings:
    alertmanager = {"url": url, "username": USER, "password": PASSWORD, **login}
    return Settings.model_validate(
        {"name": name, "kafka": connection, "alerts": {"alertmanager": alertmanager}}
    )


def test_alertmanager_says_how_it_is_and_takes_a_test_that_is_over_at_once(
    guarded: RealAlertmanager,
    kafka_connection: KafkaSettings,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = settings(kafka_connection, name, guarded.url)
    run_check(chosen, offline=False)
    out = capsys.readouterr().out
    assert f"alertmanager  {guarded.url}  ok: version 0." in out
    assert out.endswith("\nconnections: all right\n")
    received = 'alertmanager_alerts_received_total{status="%s",version="v2"} %d'
    assert received % ("firing", 1) not in guarded.get("/metrics").decode()

    run_check(chosen, offline=False, send_test=True)
    out = capsys.readouterr().out
    assert f"alertmanager  {guarded.url}  ok: has taken a test alert, and its end" in out
    metrics = guarded.get("/metrics").decode()
    assert received % ("firing", 1) in metrics
    assert received % ("resolved", 1) in metrics
    assert guarded.alerts() == []


def test_who_has_the_wrong_password_is_told(
    guarded: RealAlertmanager,
    kafka_connection: KafkaSettings,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = settings(kafka_connection, name, guarded.url, password="another")
    with pytest.raises(ConnectionsError, match="answered with status 401") as caught:
        run_check(chosen, offline=False, send_test=True)
    assert "password_file" in str(caught.value.hint)
    assert "another" not in capsys.readouterr().out
    guarded.stop()
    with pytest.raises(ConnectionsError, match="Connection refused"):
        run_check(chosen, offline=False)
