"""A deployment behind the HTTP API, without a broker: real monitors, and a loop that answers."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import orjson
from starlette.testclient import TestClient

from streamdrift.config import Settings
from streamdrift.errors import LaterError
from streamdrift.following.incident_table import IncidentTable
from streamdrift.monitoring.monitor import Monitor
from streamdrift.operators import Command
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Alert, Released
from streamdrift.serving.desk import Desk
from streamdrift.sinks.cloudevents import encode
from streamdrift.state import decode as decode_state
from streamdrift.state import encode as encode_state
from streamdrift.web.api import Behind, make_app
from streamdrift.web.peers import Peers
from tests.batches import SECOND, START, batch

TOKEN = "a-token-that-nobody-guesses"
NOW = START + 30 * 86_400 * SECOND
ODD = "a/b: ü? \U0001f600"
"""A model's name that can stand in no address."""
_DAY = 86_400 * SECOND


def settings(**sections: Any) -> Settings:
    models = {"*": {"reference": {"events": 1_000}}, "fraud": {"labels": {"owner": "payments"}}}
    private = {"private": {"private": ["card"], "reference": {"events": 1_000}}}
    return Settings.model_validate({"name": "mine", "models": models | private} | sections)


@cache
def _observed() -> tuple[bytes, tuple[Alert, ...]]:
    """Return the snapshot of a monitor, and the alerts it gave."""
    monitor = Monitor(settings().model)
    draw = np.random.default_rng(5)
    amounts = draw.normal(100, 10, 4_000)
    amounts[3_500:] += 20
    cards = draw.normal(100, 10, 4_000)
    countries = draw.choice(["DE", "FR", "US"], 4_000).tolist()
    columns = {"amount": amounts.tolist(), "country": countries}
    parts = [
        batch(columns),
        batch({"x": amounts[:3_400].tolist()}, model=ODD, version=""),
        batch({"card": cards.tolist()}, model="private"),
        batch({"x": amounts[:10].tolist()}, model="young", version="1"),
    ]
    released = Released(tuple(parts), int(parts[0].time[-1]))
    alerts = list(monitor.observe(released).alerts)
    return encode_state(monitor.snapshot()), tuple(alerts)


def monitors() -> list[Monitor]:
    """Return one that has seen `fraud`, of which amounts changed, ODD, `private` and `young`."""
    monitor = Monitor(settings().model)
    monitor.restore(decode_state(_observed()[0]))
    return [monitor]


def alerts() -> tuple[Alert, ...]:
    return _observed()[1]


def table(published: Sequence[Alert] | None = None) -> IncidentTable:
    """Return what there is once alerts are published."""
    filled = IncidentTable(30 * _DAY)
    for alert in alerts() if published is None else published:
        filled.take(str(alert.data["incident"]), orjson.dumps(encode(alert, "mine")), NOW)
    return filled


@contextmanager
def looped(desk: Desk, watched: Sequence[Monitor]) -> Iterator[None]:
    """Let a loop answer at `desk` until the block ends."""
    stopped = threading.Event()

    def turns() -> None:
        with desk.served():
            while not stopped.is_set():
                desk.serve(watched)
                time.sleep(0.001)

    thread = threading.Thread(target=turns, daemon=True)
    thread.start()
    while not desk.open:
        time.sleep(0.001)
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@dataclass
class World:
    """What a test of the API has in its hands."""

    chosen: Settings = field(default_factory=settings)
    incidents: IncidentTable = field(default_factory=table)
    watched: Sequence[Monitor] = field(default_factory=monitors)
    peers: Peers | None = None
    written: list[Command] = field(default_factory=list)
    refuses: LaterError | None = None
    ready: bool = True
    healthy: bool = True
    read: bool = True
    metrics: Metrics = field(default_factory=Metrics)
    desk: Desk = field(default_factory=Desk)

    def write(self, command: Command) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.written.append(command)

    def behind(self) -> Behind:
        return Behind(
            self.chosen,
            self,
            self.desk,
            self.metrics,
            self.incidents,
            lambda: self.read,
            self.write,
            lambda: NOW,
            self.peers,
        )

    @contextmanager
    def client(
        self, headers: Mapping[str, str] | None = None, *, loop: bool = True
    ) -> Iterator[TestClient]:
        """Ask without a network; the loop answers if there is one."""
        with ExitStack() as stack:
            if loop:
                stack.enter_context(looped(self.desk, self.watched))
            yield stack.enter_context(
                TestClient(
                    make_app(self.behind()),
                    base_url="http://127.0.0.1:8410",
                    headers=dict(headers or {}),
                    raise_server_exceptions=False,
                )
            )
