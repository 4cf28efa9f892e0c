"""How long scrapes hold up the loop: 1,000 models with 51 signals each.

python -m loadtest.scrapes --models 1000

A loop takes turns, as the service's does without a broker: each observes events of one model, and
answers what is asked at the desk. What a turn takes is measured without scrapes, then while another
process scrapes over HTTP again and again, first with what is shown by default, then with all
series. By how much the longest turn is longer, and how much longer all turns together take, is what
a scrape costs the stream.
"""

import argparse
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from loadtest.state import events, watching
from streamdrift.columns import cut
from streamdrift.config import Settings
from streamdrift.following.incident_table import IncidentTable
from streamdrift.http.server import listen, serve
from streamdrift.pipeline import Pipeline
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Batch, Floats, Released
from streamdrift.serving.desk import Desk
from streamdrift.serving.memory import spare_collector
from streamdrift.web.api import Behind, make_app

_FEATURES = 17
_EVENTS = 500
"""Of a turn."""
_CLIENT = """
import sys, time, urllib.request
url, until = sys.argv[1], time.time() + float(sys.argv[2])
while time.time() < until:
    start = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        size = sum(len(part) for part in iter(lambda: answer.read(1 << 16), b""))
    print(time.perf_counter() - start, size, flush=True)
    time.sleep(0.5)
"""


@dataclass(frozen=True, slots=True)
class Turns:
    """What turns took, and answers in them: float64[n] both, seconds."""

    seconds: Floats
    answers: Floats

    @property
    def worst(self) -> float:
        return float(self.seconds.max()) * 1e3

    @property
    def long(self) -> float:
        return float(np.quantile(self.seconds, 0.999)) * 1e3

    @property
    def median(self) -> float:
        return float(np.median(self.seconds)) * 1e3

    @property
    def mean(self) -> float:
        return float(self.seconds.mean()) * 1e3


class Health:
    """A loop that is well."""

    ready = healthy = True


class Loop:
    """Turns on a thread of their own."""

    def __init__(self, pipeline: Pipeline, desk: Desk, models: int) -> None:
        self._pipeline = pipeline
        self._desk = desk
        self._parts = _parts(models)
        self._stopping = False
        self._taken: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run, name="loop")

    def _run(self) -> None:
        with self._desk.served():
            while not self._stopping:
                start = time.perf_counter()
                part = next(self._parts)
                end = int(part.time[-1])
                for monitor in self._pipeline.monitor.monitors:
                    if any(each.model == part.model for each in monitor.versions()):
                        monitor.observe(Released((part,), end))
                observed = time.perf_counter()
                self._desk.serve(self._pipeline.monitor.monitors)
                end_of_turn = time.perf_counter()
                self._taken.append((end_of_turn - start, end_of_turn - observed))
                time.sleep(0.001)

    def take(self) -> Turns:
        """Return the turns since the last call."""
        taken, self._taken = self._taken, []
        return Turns(*np.array(taken).T)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stopping = True
            self._thread.join()


def _parts(models: int) -> Iterator[Batch]:
    """Yield events of one model after the other, later and later."""
    for turn in itertools.count(1):
        model = turn % models
        first = (models + turn) * 3_000
        yield cut(events(f"m{model:04}", _FEATURES, first), 0, _EVENTS)


def measure(models: int, seconds: float) -> None:
    settings = Settings.model_validate(
        {"name": "scrapes", "models": {"*": {"reference": {"events": 1_000}}}}
    )
    pipeline, desk = watching(settings, models, _FEATURES), Desk()
    spare_collector()
    loop = Loop(pipeline, desk, models)
    with loop.running():
        time.sleep(5)
        loop.take()
        time.sleep(seconds)
        alone = loop.take()
        print(f"without scrapes: {_told(alone)}", flush=True)
        for name, most in (("10,000 series", 10_000), ("all series", None)):
            metrics = Metrics(max_series=most)
            metrics.exposition()
            answers = _scraped(settings, desk, metrics, seconds)
            scraped = loop.take()
            took, size = np.array(answers).T
            print(
                f"{name}: {_told(scraped)}; longest turn {scraped.worst - alone.worst:+.1f} ms, "
                f"mean x {scraped.mean / alone.mean:.3f}; {len(took)} scrapes of "
                f"{size[-1] / 1e6:.1f} MB, the first {took[0]:.2f} s, the others "
                f"{np.median(took[1:]):.2f} s",
                flush=True,
            )


def _scraped(
    settings: Settings, desk: Desk, metrics: Metrics, seconds: float
) -> list[tuple[float, float]]:
    """Scrape for a while from another process; return what each took, and its bytes."""
    behind = Behind(
        settings,
        Health(),
        desk,
        metrics,
        IncidentTable(1),
        lambda: True,
        lambda _: None,
        lambda: 0,
    )
    with ExitStack() as stack:
        listener = listen("http.bind", ("127.0.0.1", 0))
        stack.enter_context(serve(make_app(behind), listener))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        command = [sys.executable, "-c", _CLIENT, url, str(seconds)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [(float(a), float(b)) for a, b in (line.split() for line in told.splitlines())]


def _told(turns: Turns) -> str:
    return (
        f"{len(turns.seconds):,} turns, median {turns.median:.1f} ms, mean {turns.mean:.1f} ms, "
        f"of 1,000 the longest {turns.long:.1f} ms, of all {turns.worst:.1f} ms, answers in one "
        f"{turns.answers.max() * 1e3:.1f} ms at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    measure(options.models, options.seconds)


if __name__ == "__main__":
    main()
