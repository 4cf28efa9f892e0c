"""CPU time of one process for an event, part by part, without Kafka.

    python -m loadtest.parts --events 100000

The stream of `loadtest.end_to_end` goes through the service's own pipeline in this process, in
messages of as many events as a fetch brings. The times are those of the process's own CPU, after
the reference was learned, so that what else runs on the machine disturbs them little. Parts are
timed by wrapping what they enter by: what a part calls of another is that other's.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from loadtest.events import events
from streamdrift.decoders import make_decoder
from streamdrift.decoders.json import JsonDecoder
from streamdrift.demo.warmup import as_messages
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.e_detector import EDetectorBank
from streamdrift.detectors.rates import ERateBank
from streamdrift.detectors.recent import Recent
from streamdrift.detectors.scoring import Scoring
from streamdrift.detectors.watch import Watch
from streamdrift.incidents.grouping import Incidents
from streamdrift.models.rhythms import Rhythms
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.models.watching import Watching
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.traffic import Traffic
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Messages, Partition
from streamdrift.references.front import Front
from streamdrift.references.urn import Urns
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.duplicates import RecentIds
from streamdrift.signals.marks import Marks

_PARTITION = Partition("events", 0)
_FETCH = 2_500
"""Events that 1 MiB holds."""
_LEARNED = 12_500
"""Events after which the reference is there, and all kernels are compiled."""
_PARTS: tuple[tuple[str, type[Any], str], ...] = (
    ("decoding", JsonDecoder, "decode"),
    ("ordering", Ordering, "push"),
    ("ordering", Ordering, "release"),
    ("repeated ids", RecentIds, "observe"),
    ("signals of columns", ColumnSignals, "fill"),
    ("fronts", Front, "take"),
    ("ranks", Urns, "rank"),
    ("other scoring", Scoring, "score"),
    ("detector of numbers", EDetectorBank, "update"),
    ("detector of rates", ERateBank, "update"),
    ("detector of chains", EChainBank, "update"),
    ("detector of categories", ECategoryBank, "update"),
    ("recent scores", Recent, "add"),
    ("other watching", Watch, "update"),
    ("marks", Marks, "add"),
    ("rhythms", Rhythms, "add"),
    ("blocks", Watching, "observe"),
    ("versions", ModelVersion, "observe"),
    ("event rate and silence", Traffic, "observe"),
    ("event rate and silence", Traffic, "advance"),
    ("incidents", Incidents, "observe"),
    ("monitor", Monitor, "observe"),
)


class _Clock:
    """How long each part took, without the parts it called."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner: list[int] = []

    def wrap(self, part: str, owner: type[Any], name: str) -> None:
        """Time a method of a class from now on."""
        whole: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.thread_time_ns()
            self._inner.append(0)
            try:
                return whole(*arguments, **named)
            finally:
                taken = time.thread_time_ns() - start
                self.spent[part] += taken - self._inner.pop()
                if self._inner:
                    self._inner[-1] += taken

        setattr(owner, name, timed)


def _fetches(count: int) -> Iterator[Messages]:
    values = list(events(count))
    for first in range(0, count, _FETCH):
        yield as_messages(values[first : first + _FETCH], _PARTITION, first)


def _run(pipeline: Pipeline, fetches: list[Messages]) -> float:
    """Put messages through a pipeline; return the microseconds that each took."""
    start = time.thread_time_ns()
    for messages in fetches:
        pipeline.feed(messages)
        pipeline.release()
    return (time.thread_time_ns() - start) / 1e3 / sum(map(len, fetches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    settings, decoder = ModelSettings(), make_decoder("json", {})
    shards = Shards(lambda _: settings, 1)
    pipeline = Pipeline(lambda _: decoder, Ordering(OrderingSettings()), shards)
    pipeline.ordering.assign([_PARTITION])
    fetches = list(_fetches(_LEARNED + 2 * options.events))
    learned, half = _LEARNED // _FETCH, (_LEARNED + options.events) // _FETCH
    _run(pipeline, fetches[:learned])
    whole = _run(pipeline, fetches[learned:half])
    clock = _Clock()
    for part in _PARTS:
        clock.wrap(*part)
    _run(pipeline, fetches[half:])
    count = sum(map(len, fetches[half:]))
    for name, spent in clock.spent.most_common():
        print(f"{name:24} {spent / 1e3 / count:7.3f} us")
    print(f"{'timed, all parts':24} {clock.spent.total() / 1e3 / count:7.3f} us")
    print(f"{'not timed, all':24} {whole:7.3f} us an event")


if __name__ == "__main__":
    main()
