"""Faults around a running service, in short: `python -m loadtest.faults` has all, and longer."""

from pathlib import Path

import pytest

from loadtest.faults.brokers import broker_restart
from loadtest.faults.network import cut
from loadtest.faults.processes import stopped
from loadtest.faults.scenario import Options, Scenario
from tests.broker.conftest import unavailable
from tests.real_kafka import UnavailableError, fetch_jars


@pytest.fixture(autouse=True)
def _own_brokers() -> None:
    """These start nodes of their own, whatever cluster the environment names."""
    try:
        fetch_jars()
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")


@pytest.mark.parametrize("scenario", [stopped, broker_restart, cut])
def test_alerts_under_a_fault_are_those_of_an_undisturbed_run(
    scenario: Scenario, tmp_path: Path
) -> None:
    report = scenario(Options(tmp_path, times=1, stopped=11.0, cut=11.0))
    assert report.faults == 1
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"
    assert report.flawless, report
