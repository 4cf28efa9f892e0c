"""The demo over many seeds, without a broker and without waiting: what is missed, what is false.

    python -m loadtest.demo_seeds --seeds 20

The same generator, pipeline and scorer as the demo's; only the clock is made up.
"""

import argparse
import time

import numpy as np

from streamdrift.decoders import make_decoder
from streamdrift.demo.injections import DELIVERY, FRAUD, Injection, schedule
from streamdrift.demo.scorer import Published, Score, score
from streamdrift.demo.settings import model_settings, rate
from streamdrift.demo.traffic import Traffic
from streamdrift.demo.warmup import as_messages
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Partition
from streamdrift.sinks.cloudevents import encode

EPOCH = 1_795_000_000_000_000
_TURN = 0.25


def run(seed: int, injections: tuple[Injection, ...], seconds: float) -> Score:
    """Return the score of one simulated demo."""
    settings = model_settings(seconds)
    decoder = make_decoder("json", {})
    pipeline = Pipeline(
        lambda _: decoder, Ordering(OrderingSettings()), Monitor(lambda _: settings)
    )
    traffic = [
        Traffic(model, seed, rate(seconds), seconds, injections) for model in (FRAUD, DELIVERY)
    ]
    alerts: list[Published] = []
    offsets = [0, 0]
    for moment in np.arange(_TURN, seconds + _TURN, _TURN).tolist():
        for number, model in enumerate(traffic):
            values = model.until(moment, EPOCH)
            if values:
                pipeline.feed(as_messages(values, Partition("demo", number), offsets[number]))
                offsets[number] += len(values)
            else:
                pipeline.idle(Partition("demo", number))
        for alert in pipeline.release().alerts:
            alerts.append(Published(EPOCH + int(moment * 1e6), encode(alert, "demo")))
    alerts += [
        Published(EPOCH + int(seconds * 1e6), encode(alert, "demo"))
        for alert in pipeline.drain().alerts
    ]
    return score(injections, alerts, EPOCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    missed = false = false_quiet = 0
    delays: dict[str, list[float]] = {}
    start = time.perf_counter()
    for seed in range(1, options.seeds + 1):
        result = run(seed, schedule(options.seconds), options.seconds)
        quiet = run(seed, (), options.seconds)
        missed += sum(not verdict.found for verdict in result.verdicts)
        false += len(result.false_alarms)
        false_quiet += len(quiet.false_alarms)
        for verdict in result.verdicts:
            if verdict.delay_seconds is not None:
                delays.setdefault(verdict.injection.name, []).append(verdict.delay_seconds)
            else:
                print(f"seed {seed}: missed {verdict.injection.name}")
        for alert in (*result.false_alarms, *quiet.false_alarms):
            data = alert.event["data"]
            print(f"seed {seed}: false at {(alert.at - EPOCH) / 1e6:.1f} s: {data['summary']}")
    print(f"{'injection':20} {'found':>5} {'mean delay':>11} {'longest':>8}  (seconds)")
    for name, found in delays.items():
        print(f"{name:20} {len(found):5} {np.mean(found):11.2f} {max(found):8.2f}")
    print(
        f"{options.seeds} seeds: {missed} missed, {false} false; without injections "
        f"{false_quiet} false; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
