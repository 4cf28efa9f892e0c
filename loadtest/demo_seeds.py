"""The demo over many seeds, without a broker and without waiting: what is missed, what is false.

    python -m loadtest.demo_seeds --seeds 20

The same generator, dealing, pipeline and scorer as the demo's; only the clock is made up. Each
seed is run with injections, without, and with injections but the detectors off. Exits with 1
if an injection was missed, a false alarm raised, or anything found with the detectors off.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.decoders import make_decoder
from streamdrift.demo.injections import DELIVERY, FRAUD, Injection, schedule
from streamdrift.demo.producer import PARTITIONS, dealt
from streamdrift.demo.scorer import Published, Score, score
from streamdrift.demo.settings import model_settings, rate
from streamdrift.demo.traffic import Traffic
from streamdrift.demo.warmup import as_messages
from streamdrift.durations import SECOND
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Partition
from streamdrift.sinks.cloudevents import encode

EPOCH = 1_795_000_000_000_000
_TURN = 0.25
"""Seconds between two looks at the topic."""
_PARTITIONS = [Partition("demo", number) for number in range(PARTITIONS)]


class Outcome(NamedTuple):
    """What came of a seed with injections, without, and with them but without detectors."""

    seed: int
    injected: Score
    quiet: Score
    blind: Score


def run(
    seed: int, injections: tuple[Injection, ...], seconds: float, *, detect: bool = True
) -> Score:
    """Return the score of one simulated demo."""
    settings = model_settings(seconds, detect=detect)
    decoder = make_decoder("json", {})
    pipeline = Pipeline(
        lambda _: decoder, Ordering(OrderingSettings()), Shards(lambda _: settings, 1)
    )
    pipeline.ordering.assign(_PARTITIONS)
    traffic = [
        Traffic(model, seed, rate(seconds), seconds, injections) for model in (FRAUD, DELIVERY)
    ]
    alerts: list[Published] = []
    offsets = dict.fromkeys(_PARTITIONS, 0)
    for moment in np.arange(_TURN, seconds + _TURN, _TURN).tolist():
        for model in traffic:
            shares = dealt(model.until(moment, EPOCH))
            for partition, values in zip(_PARTITIONS, shares, strict=True):
                if values:
                    pipeline.feed(as_messages(values, partition, offsets[partition]))
                    offsets[partition] += len(values)
        alerts += _published(pipeline.release().alerts, moment)
    alerts += _published(pipeline.drain().alerts, seconds)
    return score(injections, alerts, EPOCH)


def _published(alerts: Iterable[Alert], moment: float) -> list[Published]:
    return [Published(EPOCH + int(moment * SECOND), encode(alert, "demo")) for alert in alerts]


def problems(outcome: Outcome) -> list[str]:
    """Return what is wrong with a seed, a line each; none where all is as it must be."""
    wrong = [
        f"missed {verdict.injection.name}"
        for verdict in outcome.injected.verdicts
        if not verdict.found
    ]
    for place, result in (("", outcome.injected), (" without injections", outcome.quiet)):
        for alert in result.false_alarms:
            moment = (alert.at - EPOCH) / SECOND
            wrong.append(f"false{place} at {moment:.1f} s: {alert.event['data']['summary']}")
    wrong += [
        f"found {verdict.injection.name} with the detectors off"
        for verdict in outcome.blind.verdicts
        if verdict.found
    ]
    wrong += ["false alarm with the detectors off" for _ in outcome.blind.false_alarms]
    return [f"seed {outcome.seed}: {line}" for line in wrong]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all seeds; return 0 where none has a problem, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    injections, seconds = schedule(options.seconds), options.seconds
    delays: dict[str, list[float]] = {injection.name: [] for injection in injections}
    wrong: list[str] = []
    start = time.perf_counter()
    for seed in range(1, options.seeds + 1):
        outcome = Outcome(
            seed,
            run(seed, injections, seconds),
            run(seed, (), seconds),
            run(seed, injections, seconds, detect=False),
        )
        for line in problems(outcome):
            print(line, flush=True)
            wrong.append(line)
        for verdict in outcome.injected.verdicts:
            if verdict.delay_seconds is not None:
                delays[verdict.injection.name].append(verdict.delay_seconds)
    print(f"{'injection':20} {'found':>5} {'mean delay':>11} {'longest':>8}  (seconds)")
    for name, found in delays.items():
        figures = f"{np.mean(found):11.2f} {max(found):8.2f}" if found else ""
        print(f"{name:20} {len(found):5} {figures}")
    taken = time.perf_counter() - start
    print(f"{options.seeds} seeds, {len(wrong)} problems; {taken:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
