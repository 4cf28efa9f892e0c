"""Faults of every kind, as a seed draws them, in short: `loadtest.faults soak` is the long form."""

from pathlib import Path

import pytest

from loadtest.faults.scenario import Options
from loadtest.faults.soak import soak
from tests.programs import unavailable
from tests.real_kafka import UnavailableError, fetch_jars

_MINUTES = 1.5
"""Of each: some three in all."""


@pytest.fixture(autouse=True)
def _own_broker() -> None:
    """It starts a node of its own, whatever cluster the environment names."""
    try:
        fetch_jars()
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")


@pytest.mark.parametrize("workers", [1, 2])
def test_after_faults_of_every_kind_alerts_are_those_of_an_undisturbed_run(
    workers: int, tmp_path: Path
) -> None:
    report = soak(Options(tmp_path, minutes=_MINUTES, workers=workers), nodes=1)
    assert report.faults >= 4
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"
    assert report.flawless, str(report)
