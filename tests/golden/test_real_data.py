"""Recorded streams give the stored alerts, however they are dealt, cut or interrupted."""

from typing import Any

import pytest

from streamdrift.records import Alert, Partition
from streamdrift.state import decode, encode
from tests.golden.prediction_events import (
    RECORDINGS,
    TOPIC,
    Recording,
    as_lines,
    by_hash,
    deal,
    make_pipeline,
    read_expected,
    replay,
    without_offsets,
)

_BY_NAME = {recording.name: recording for recording in RECORDINGS}
each_recording = pytest.mark.parametrize("name", _BY_NAME)


@each_recording
def test_alerts_are_the_stored_ones(name: str) -> None:
    assert replay(_BY_NAME[name]) == read_expected(_BY_NAME[name])


@each_recording
@pytest.mark.parametrize(("partitions", "chunk"), [(1, 777), (2, 1_000), (5, 333)])
def test_partitions_and_cuts_change_nothing(name: str, partitions: int, chunk: int) -> None:
    alerts = replay(_BY_NAME[name], partitions, chunk)
    assert without_offsets(alerts) == without_offsets(read_expected(_BY_NAME[name]))


@each_recording
@pytest.mark.parametrize("partitions", [2, 5])
def test_dealing_by_hash_changes_nothing(name: str, partitions: int) -> None:
    alerts = replay(_BY_NAME[name], partitions, chunk=900, choose=by_hash)
    assert without_offsets(alerts) == without_offsets(read_expected(_BY_NAME[name]))


@each_recording
@pytest.mark.parametrize("partitions", [1, 3])
def test_restart_changes_nothing(name: str, partitions: int) -> None:
    recording = _BY_NAME[name]
    alerts = _interrupted(recording, partitions)
    assert without_offsets(alerts) == without_offsets(read_expected(recording))


def _interrupted(recording: Recording, partitions: int) -> list[dict[str, Any]]:
    """Return the alerts of a run that is stored and restored after every few messages."""
    parts = deal(list(recording.events()), partitions, chunk=1_111)
    pipeline = make_pipeline(recording)
    pipeline.ordering.assign(Partition(TOPIC, number) for number in range(partitions))
    alerts: list[Alert] = []
    read = 0
    while read < len(parts):
        for part in parts[read : read + 5]:
            pipeline.feed(part)
            alerts += pipeline.release().alerts
        snapshots = {
            shard: encode(pipeline.snapshot(shard)) for shard in range(pipeline.monitor.count)
        }
        positions = pipeline.ordering.positions()
        pipeline = make_pipeline(recording)
        pipeline.restore({shard: decode(data) for shard, data in snapshots.items()})
        for part in parts[: read + 5]:
            # What the ordering held back at the snapshot is read again.
            if part.next_offset > positions[part.partition]:
                pipeline.feed(part)
        read += 5
    return as_lines([*alerts, *pipeline.drain().alerts])


def test_loan_model_drifts_where_it_is_known_to() -> None:
    alerts = read_expected(_BY_NAME["car_loan"])
    opened = alerts[0]
    named = {signal["column"] for alert in alerts for signal in alert["data"]["signals"]}
    assert opened["data"]["signals"][0]["column"] == "car_value"
    # Row 75,000 of the recording is of 2019-03-31; nothing is raised in the 50,000 before.
    assert "2019-03-30" < opened["time"] < "2019-04-03"
    assert {"car_value", "repaid_loan_on_prev_car", "loan_length", "salary_range"} <= named
    assert not named & {"debt_to_income_ratio", "driver_tenure", "size_of_downpayment"}


def test_insects_alarm_only_where_the_stream_changes() -> None:
    quiet = [(0, 2_900), (3_900, 9_900), (14_028 + 3_000, 22_500)]
    for alert in read_expected(_BY_NAME["insects_gradual"]):
        if alert["type"].endswith("opened.v1"):
            hours, minutes, seconds = map(float, alert["time"][11:-1].split(":"))
            row = hours * 3_600 + minutes * 60 + seconds
            assert not any(start < row < end for start, end in quiet), alert["data"]["summary"]
