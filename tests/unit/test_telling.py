"""What is told of a source is counted too."""

import pytest

from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.telling import Telling
from streamdrift.sources import notice
from tests.unit.test_metrics import sample


@pytest.mark.parametrize(
    ("event", "reason"), [("offsets lost", "lost"), ("damaged batch skipped", "damaged")]
)
def test_offsets_that_are_passed_over_are_counted(event: str, reason: str) -> None:
    metrics = Metrics()
    telling = Telling(metrics, "input")
    told = notice(event, topic="t", partition=0, from_offset=3, to_offset=10)
    telling.source([told, told], connected=True)
    found = sample(metrics, "streamdrift_offsets_skipped_total", topic="t", reason=reason)
    assert found == 14
