"""What an update costs, and what a signal takes: streamdrift and river side by side in one run.

Times are those of the processor, so that it matters less what else runs on it. They depend on the
machine and the day all the same: compare what stands in one table.
"""

import time
from collections.abc import Callable

import numpy as np

from loadtest.quality import peers, streams, structured, trials
from loadtest.quality.plan import Plan, Section
from loadtest.quality.streams import Stream
from loadtest.quality.tables import Result, Table, Verdict, at_most
from streamdrift.detectors import EDetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.learning import learn
from streamdrift.detectors.watch import Watch
from streamdrift.records import Floats, Sample
from streamdrift.records import Stream as Kind
from streamdrift.state import encode

_SIGNALS, _BLOCK = 512, 256
_REPEATS = 20
_WATCHED = (_REPEATS + 1) * _BLOCK
_RUN_LENGTH = 1e12
"""So long that nothing alarms: alarms are rare, and what they cost is not what is asked."""

INDEPENDENT, DEPENDENT = 30.0, 45.0
BYTES, MOST_BYTES = 1_000.0, 4_000.0

_CYCLE = structured.ASKED["cycle .5 sd"]
_STREAMS: tuple[tuple[Stream, float, float], ...] = (
    (streams.INDEPENDENT["normal"], INDEPENDENT, BYTES),
    (structured.ASKED["AR .5"], DEPENDENT, MOST_BYTES),
    (_CYCLE, DEPENDENT, MOST_BYTES),
    (structured.ASKED["cycle .5 sd + AR .5"], DEPENDENT, MOST_BYTES),
)
_OTHERS = (streams.INDEPENDENT["0/1, rate .2"], streams.INDEPENDENT["50 levels"])


def _nanoseconds(work: Callable[[int], object], size: int) -> float:
    """Return the least time of several runs, given their number, for each of `size` values."""
    times = []
    for run in range(_REPEATS):
        begun = time.thread_time()
        work(run)
        times.append(time.thread_time() - begun)
    return min(times) / size * 1e9


def _sample(stream: Stream, values: Floats) -> Sample:
    """Return a reference as it is learned from: values, or how often each level came."""
    kind = Kind(stream.kind)
    if kind is Kind.NUMERIC:
        return Sample(kind, values)
    return Sample(kind, np.bincount(values.astype(np.int64)).astype(np.float64))


def _bank(stream: Stream, seed: int) -> tuple[float, float]:
    """Return nanoseconds an update of a block of all columns, and bytes of state a signal."""
    paths = [
        stream.draw(trials.generator(seed, stream.name, signal), trials.REFERENCE + _WATCHED)
        for signal in range(8)
    ]
    learned = [learn(_sample(stream, path[: trials.REFERENCE])) for path in paths]
    references = [learned[signal % len(learned)] for signal in range(_SIGNALS)]
    lengths = Lengths(np.full(_SIGNALS, _RUN_LENGTH), np.full(_SIGNALS, _RUN_LENGTH))
    watch = Watch([[EDetectorSettings()]] * _SIGNALS, references, range(_SIGNALS), lengths)
    values = np.array([path[trials.REFERENCE :] for path in paths * (_SIGNALS // len(paths))])
    # Every run has the block that comes next: any other would be a change of a cycle's phase.
    first, *blocks = (values[:, at : at + _BLOCK].copy() for at in range(0, _WATCHED, _BLOCK))
    clock = np.zeros(_BLOCK, dtype=np.int64)
    watch.update(first, clock)
    spent = _nanoseconds(lambda run: watch.update(blocks[run], clock), first.size)
    return spent, len(encode(watch.snapshot())) / _SIGNALS


def _river(stream: Stream, seed: int) -> float:
    values = stream.draw(trials.generator(seed, stream.name, 0), 20_000)
    update = peers.ADWIN.make().update

    def work(_: int) -> None:
        for value in values.tolist():
            update(value)

    return _nanoseconds(work, len(values))


def cost(plan: Plan) -> Result:
    rows, verdicts = [], list[Verdict]()
    for stream, most, state in _STREAMS:
        plan.say(stream.name)
        spent, size = _bank(stream, plan.seed)
        peer = _river(stream, plan.seed)
        rows.append(_row(stream, spent, size, peer))
        verdicts.append(at_most(f"{stream.name}, ns an update", spent, most, form=".1f"))
        verdicts.append(at_most(f"{stream.name}, bytes a signal", size, state))
    for stream in _OTHERS:
        plan.say(stream.name)
        rows.append(_row(stream, *_bank(stream, plan.seed), _river(stream, plan.seed)))
    heads = ("stream", "ns an update", "bytes a signal", "river ADWIN, ns a value", "ratio")
    note = f"{_SIGNALS} signals, blocks of {_BLOCK} rows, one thread; state as it is stored."
    return Result([Table("Cost of the default detector", heads, tuple(rows), note)], verdicts)


def _row(stream: Stream, spent: float, size: float, peer: float) -> tuple[str, ...]:
    return stream.name, f"{spent:.1f}", f"{size:,.0f}", f"{peer:.0f}", f"{peer / spent:.1f}"


SECTIONS = (
    Section(
        "cost",
        "Cost and state",
        "at most 30 ns an update (45 with memory or a cycle), where river's ADWIN takes 150; at "
        "most 1 kB a signal (4 kB)",
        cost,
    ),
)
