"""Recorded streams as prediction events, and the alerts they are known to give.

    python -m tests.golden.prediction_events

writes `expected/*.jsonl` anew: look at the difference before you commit it.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from streamdrift.decoders import make_decoder
from streamdrift.incidents.budget import Budget
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Messages, Partition
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.volume import VolumeSettings
from streamdrift.sinks.cloudevents import encode
from tests.messages import messages

_HERE = Path(__file__).parent
TOPIC = "predictions"
DEPLOYMENT = "golden"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """A data set: which rows are taken, and what an event of a row is."""

    name: str
    rows: int
    every: int
    reference: int
    budget: str
    features: tuple[str, ...]
    time: Callable[[int, Row], datetime]
    prediction: Callable[[Row], object]

    def events(self) -> Iterator[bytes]:
        """Yield the events in the order of the rows."""
        table = pq.read_table(_HERE / "data" / f"{self.name}.parquet")
        for number, row in enumerate(table.slice(0, self.rows).to_pylist()):
            if number % self.every == 0:
                yield json.dumps(self._event(number, row)).encode()

    def _event(self, number: int, row: Row) -> dict[str, object]:
        return {
            "event_id": f"{self.name}-{number}",
            "model": self.name,
            "version": "1",
            "timestamp": self.time(number, row).isoformat(),
            "features": {name: row[name] for name in self.features},
            "prediction": self.prediction(row),
        }

    def settings(self) -> ModelSettings:
        """Return how the recording is watched: the defaults, with its own reference and budget.

        Rows are spaced evenly, so they say nothing of traffic.
        """
        return ModelSettings(
            reference=ReferenceSettings(events=self.reference),
            alert_budget=Budget.parse(self.budget),
            volume=VolumeSettings(enabled=False),
        )

    @property
    def expected(self) -> Path:
        """The file of the alerts it gives."""
        return _HERE / "expected" / f"{self.name}.jsonl"


def _spaced(start: datetime, step: timedelta) -> Callable[[int, Row], datetime]:
    return lambda number, _: start + number * step


def _recorded(number: int, row: Row) -> datetime:
    # Times of the recording repeat; a microsecond a row makes them unique and keeps the order.
    stamp: datetime = row["timestamp"]
    return stamp.replace(tzinfo=UTC) + timedelta(microseconds=number)


RECORDINGS = (
    Recording(
        "elec2",
        rows=16_000,
        every=1,
        reference=10_000,
        budget="0.2/month",  # It has few events in a month.
        features=("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"),
        time=_spaced(datetime(1996, 5, 7, tzinfo=UTC), timedelta(minutes=30)),
        prediction=lambda row: {"label": str(row["prediction"])},
    ),
    Recording(
        "insects_gradual",
        rows=24_150,
        every=1,
        reference=2_500,
        budget="2/week",
        features=("Att1", "Att2", "Att7", "Att17", "Att21", "Att33"),
        time=_spaced(datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=1)),
        prediction=lambda row: {"label": str(row["prediction"]), "score": row["score"]},
    ),
    Recording(
        "car_loan",
        rows=100_000,
        every=2,
        reference=10_000,
        budget="0.2/month",  # It has few events in a month.
        features=(
            "car_value",
            "salary_range",
            "debt_to_income_ratio",
            "loan_length",
            "repaid_loan_on_prev_car",
            "size_of_downpayment",
            "driver_tenure",
        ),
        time=_recorded,
        prediction=lambda row: {"label": str(row["y_pred"]), "score": row["y_pred_proba"]},
    ),
)


def make_pipeline(recording: Recording) -> Pipeline:
    """Return a pipeline that watches as the recording's settings say."""
    decoder, settings = make_decoder("json", {}), recording.settings()
    return Pipeline(lambda _: decoder, Ordering(OrderingSettings()), Shards(lambda _: settings, 3))


def in_turn(number: int, _: bytes) -> int:
    """Choose partitions in turn, by an event's number."""
    return number


def by_hash(_: int, event: bytes) -> int:
    """Choose a partition by an event's bytes, as producers do by key: shares are unequal."""
    return zlib.crc32(event)


Choose = Callable[[int, bytes], int]
"""Gives the partition, modulo their number, of an event by its number and bytes."""


def deal(
    events: Sequence[bytes], partitions: int, chunk: int = 4_096, choose: Choose = in_turn
) -> list[Messages]:
    """Deal events to partitions; return the messages, a chunk of each in turn."""
    hands: list[list[bytes]] = [[] for _ in range(partitions)]
    for position, event in enumerate(events):
        hands[choose(position, event) % partitions].append(event)
    groups: list[tuple[int, Messages]] = []
    for number, mine in enumerate(hands):
        for first in range(0, len(mine), chunk):
            partition = Partition(TOPIC, number)
            part = messages(mine[first : first + chunk], partition=partition, first=first)
            groups.append((first, part))
    return [part for _, part in sorted(groups, key=lambda group: group[0])]


def as_lines(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return alerts as the JSON objects that are published."""
    return [json.loads(json.dumps(encode(alert, DEPLOYMENT))) for alert in alerts]


def replay(
    recording: Recording, partitions: int = 1, chunk: int = 4_096, choose: Choose = in_turn
) -> list[dict[str, Any]]:
    """Return the alerts of a recording."""
    pipeline = make_pipeline(recording)
    parts = deal(list(recording.events()), partitions, chunk, choose)
    pipeline.ordering.assign(Partition(TOPIC, number) for number in range(partitions))
    alerts: list[Alert] = []
    for part in parts:
        pipeline.feed(part)
        alerts += pipeline.release().alerts
    return as_lines([*alerts, *pipeline.drain().alerts])


def without_offsets(alerts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return alerts without what depends on the deployment and on how events are dealt."""
    copies = json.loads(json.dumps(list(alerts)))
    for alert in copies:
        alert.pop("source")
        for signal in alert["data"]["signals"]:
            if signal["onset"] is not None:
                signal["onset"].pop("offsets")
    return list(copies)


def read_expected(recording: Recording) -> list[dict[str, Any]]:
    """Return the stored alerts of a recording."""
    return [json.loads(line) for line in recording.expected.read_text().splitlines()]


def main() -> None:
    for recording in RECORDINGS:
        alerts = replay(recording)
        recording.expected.parent.mkdir(exist_ok=True)
        lines = [json.dumps(alert, sort_keys=True) + "\n" for alert in alerts]
        recording.expected.write_text("".join(lines))


if __name__ == "__main__":
    main()
