"""A real Alertmanager holds an alert while its incident lasts, and drops it when it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from streamdrift.kafka.clients import KafkaSettings
from tests.alerts import SECOND
from tests.paging import Paging, until
from tests.real_alertmanager import RealAlertmanager
from tests.topic_maker import TopicMaker

Deploy = Callable[..., Paging]


@pytest.fixture
def deploy(kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker) -> Iterator[Deploy]:
    with ExitStack() as stack:

        def it(options: Mapping[str, Any] = MappingProxyType({}), **alerts: Any) -> Paging:
            made = Paging(kafka_connection, name, make_topic, alerts, **options)
            stack.callback(made.close)
            return made

        yield it


def test_it_holds_what_lasts_and_drops_what_is_over(
    alertmanager: RealAlertmanager, deploy: Deploy
) -> None:
    deployment = deploy(
        alertmanager={"url": alertmanager.url, "resend": "1s"},
        link="https://example.com/incidents/{incident}",
    )
    with deployment.following():
        deployment.write(1, labels={"owner": "payments", "runbook": "https://wiki/fraud"})
        deployment.write(2, model="other", version="", severity="info")
        until(lambda: alertmanager.firing() == [("fraud", "warning"), ("other", "info")])
        first, second = alertmanager.alerts()
        assert first["labels"] == {
            "alertname": "StreamdriftIncident",
            "deployment": "streamdrift",
            "kind": "data_drift",
            "model": "fraud",
            "version": "3",
            "severity": "warning",
            "owner": "payments",
        }
        assert first["annotations"]["summary"] == "amount of fraud/3 changed"
        assert first["annotations"]["runbook_url"] == "https://wiki/fraud"
        assert first["generatorURL"] == f"https://example.com/incidents/{1:032x}"
        assert "version" not in second["labels"]
        # Longer than it lasts where it is not sent again.
        time.sleep(7)
        assert alertmanager.firing() == [("fraud", "warning"), ("other", "info")]
        assert alertmanager.alerts()[0]["startsAt"] == first["startsAt"]
        # What grows graver is another alert, and the one before ends.
        deployment.write(1, 2, "updated", severity="critical")
        until(lambda: alertmanager.firing() == [("fraud", "critical"), ("other", "info")])
        deployment.write(1, 3, "resolved", severity="critical")
        until(lambda: alertmanager.firing() == [("other", "info")])
        deployment.forget(2)
        until(lambda: alertmanager.firing() == [])
        until(lambda: deployment.shown("behind_alerts", sink="alertmanager") == 0)
        assert deployment.shown("working", sink="alertmanager") == 1
    assert deployment.shown("failures_total", sink="alertmanager") == 0


def test_what_is_open_comes_back_when_either_is_started_again(
    alertmanager: RealAlertmanager, deploy: Deploy
) -> None:
    deployment = deploy(alertmanager={"url": alertmanager.url, "resend": "1s"})
    deployment.write(1)
    deployment.write(2, model="other")
    deployment.write(2, 2, "resolved", model="other")
    with deployment.following():
        until(lambda: alertmanager.firing() == [("fraud", "warning")])
        alertmanager.stop()
        until(lambda: deployment.shown("failures_total", sink="alertmanager") > 0)
        deployment.write(3, model="third")
        alertmanager.start()
        until(lambda: alertmanager.firing() == [("fraud", "warning"), ("third", "warning")])
    # Nobody stands for them any more.
    until(lambda: alertmanager.firing() == [])
    deployment.write(3, 2, "resolved", model="third")
    with deployment.following():
        until(lambda: alertmanager.firing() == [("fraud", "warning")])
        deployment.write(1, 2, "resolved")
        until(lambda: alertmanager.firing() == [])


def test_history_pages_nobody_but_of_what_is_open_at_its_end(
    alertmanager: RealAlertmanager, deploy: Deploy
) -> None:
    deployment = deploy(alertmanager={"url": alertmanager.url, "resend": "1s"})
    deployment.caught_up = False
    yesterday = time.time_ns() // 1_000 - 86_400 * SECOND
    with deployment.following():
        deployment.write(1, time=yesterday)
        deployment.write(2, time=yesterday, model="lasts")
        deployment.write(1, 2, "resolved", time=yesterday + SECOND)
        deployment.write(3, model="now")
        until(lambda: alertmanager.firing() == [("now", "warning")])
        time.sleep(3)
        assert alertmanager.firing() == [("now", "warning")]
        assert deployment.shown("held_alerts", sink="alertmanager") == 1
        deployment.caught_up = True
        until(lambda: alertmanager.firing() == [("lasts", "warning"), ("now", "warning")])
    assert deployment.shown("passed_over_total", sink="alertmanager", reason="over") == 1


def test_all_of_a_cluster_are_told_and_one_that_is_gone_holds_up_none(
    alertmanager: RealAlertmanager, deploy: Deploy, tmp_path: Path
) -> None:
    other = RealAlertmanager(tmp_path / "other")
    deployment = deploy(alertmanager={"url": [other.url, alertmanager.url], "resend": "1s"})
    with deployment.following():
        deployment.write(1)
        until(lambda: alertmanager.firing() == [("fraud", "warning")])
        assert deployment.shown("behind_alerts", sink="alertmanager") == 1
        other.start()
        try:
            until(lambda: other.firing() == [("fraud", "warning")])
            until(lambda: deployment.shown("behind_alerts", sink="alertmanager") == 0)
        finally:
            other.stop()


def test_of_several_workers_one_sends_and_another_takes_over(
    alertmanager: RealAlertmanager, deploy: Deploy
) -> None:
    deployment = deploy(
        {"mode": "distributed", "worker": {"session": "6s"}},
        alertmanager={"url": alertmanager.url, "resend": "4s"},
    )
    deployment.write(1)
    with ExitStack() as second:
        with deployment.following(instance="a"):
            until(lambda: alertmanager.firing() == [("fraud", "warning")])
            sent = deployment.shown("delivered_total", sink="alertmanager")
            second.enter_context(deployment.following(instance="b"))
            time.sleep(6)
            # Whoever has it, it was sent once as new by each that had it.
            assert deployment.shown("delivered_total", sink="alertmanager") <= sent + 1
        # It lasts for 20 s where nobody sends it: the other has taken over by then.
        time.sleep(25)
        assert alertmanager.firing() == [("fraud", "warning")]
        deployment.write(1, 2, "resolved")
        until(lambda: alertmanager.firing() == [])
