"""`streamdrift demo`: a broker, traffic with injected drift, the service, and a verdict."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.live import Live

from streamdrift.config import Settings
from streamdrift.demo.broker import embedded_broker
from streamdrift.demo.document import document, opened, save
from streamdrift.demo.ending import ended_by_signals
from streamdrift.demo.injections import Injection, schedule
from streamdrift.demo.producer import PARTITIONS, Plan, producing
from streamdrift.demo.scorer import AlertReader, Published, Score, moment, score
from streamdrift.demo.screen import Picture, draw, injection_line, plain_line, print_result
from streamdrift.demo.settings import demo_settings, rate
from streamdrift.demo.traffic import expected_events
from streamdrift.demo.warmup import compile_kernels
from streamdrift.durations import SECOND
from streamdrift.errors import LaterError
from streamdrift.kafka.clients import connection_errors, make_admin
from streamdrift.kafka.topics import Right, TopicNeed, ensure_topics
from streamdrift.logs import set_up_logs
from streamdrift.monitoring.standing import NOTHING, Standing, survey
from streamdrift.prometheus.metrics import Metrics
from streamdrift.readings import rows
from streamdrift.records import SignalKind
from streamdrift.serving.assembly import make_pipeline, service_settings
from streamdrift.serving.deployment import Deployment
from streamdrift.serving.desk import Desk
from streamdrift.serving.service import Service

_TURN = 0.2
_PAGE = 140
"""Columns where the output is no terminal."""
_AFTER = 4.0
"""Seconds the last alerts are waited for."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for."""

    seconds: float = 60.0
    seed: int = 1
    injections: bool = True
    bootstrap_servers: str | None = None
    plain: bool = False
    json_file: Path | None = None
    detect: bool = True
    """False runs the service without detectors: then everything is missed."""


@dataclass(slots=True)
class _Run:
    """A demo on its way."""

    options: DemoOptions
    console: Console
    settings: Settings
    injections: tuple[Injection, ...]
    metrics: Metrics
    desk: Desk
    reader: AlertReader
    epoch: int = 0
    alerts: list[Published] = field(default_factory=list)
    rates: list[tuple[float, int]] = field(default_factory=list)
    standing: Standing = NOTHING

    def seconds(self) -> float:
        return (time.time_ns() / 1_000 - self.epoch) / SECOND

    def score(self) -> Score:
        return score(self.injections, self.alerts, self.epoch)


def run_demo(options: DemoOptions) -> int:
    """Run the demo; return 0 where all was found and nothing else, 1 where not.

    Raises OutputError where the JSON file cannot be written, before anything is started;
    ConnectionsError where no broker can be had; and SystemExit when a signal asks for
    an end: by then the broker is stopped, and the topics are removed.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PAGE)
    set_up_logs("error")
    with ExitStack() as output:
        # Before the minute that a file that cannot be written would make vain.
        file = output.enter_context(opened(options.json_file)) if options.json_file else None
        run = _run_to_the_end(options, console)
        result = run.score()
        _report(run, result, file)
    return 0 if result.perfect else 1


def _run_to_the_end(options: DemoOptions, console: Console) -> _Run:
    """Set everything up, watch the demo to its end, and take everything down."""
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        servers = options.bootstrap_servers
        if servers is None:
            console.print("starting an embedded broker")
            servers = stack.enter_context(embedded_broker())
        name = f"streamdrift-demo-{uuid4().hex[:8]}"
        settings = demo_settings(name, servers, options.seconds, detect=options.detect)
        console.print("compiling kernels (once on a machine, half a minute or less) ...", end="")
        console.print(f" {compile_kernels():.0f} s")
        stack.enter_context(_topics(settings))
        metrics = Metrics()
        reader = AlertReader(settings.kafka, settings.alerts.topic, partitions=1)
        stack.callback(reader.close)
        desk = stack.enter_context(_serving(settings, metrics))
        injections = schedule(options.seconds) if options.injections else ()
        run = _Run(options, console, settings, injections, metrics, desk, reader)
        _watch(run)
    return run


@contextmanager
def _topics(settings: Settings) -> Iterator[None]:
    """Make the demo's topics, and remove them whatever happens."""
    needs = [
        TopicNeed(settings.source.predictions[0].name or "", "events", (Right.READ,), PARTITIONS),
        TopicNeed(
            settings.alerts.topic,
            "alerts",
            (Right.WRITE,),
            partitions=1,
            # Delays are measured on the clock of this machine, whatever the broker's habit.
            configs={"message.timestamp.type": "CreateTime"},
        ),
    ]
    admin = make_admin(settings.kafka)
    try:
        ensure_topics(settings.kafka, needs, create=True)
        yield
    finally:
        with closing(admin), connection_errors(settings.kafka, "remove the demo's topics"):
            mine = [topic for topic in admin.list_topics() if topic.startswith(settings.name)]
            admin.delete_topics(mine)


@contextmanager
def _serving(settings: Settings, metrics: Metrics) -> Iterator[Desk]:
    """Run the service in a thread, whose desk is yielded; raise what ended it."""
    failures: list[BaseException] = []
    service = Service(
        service_settings(settings),
        Deployment(settings).open_session,
        lambda: make_pipeline(settings),
        metrics,
    )

    def serve() -> None:
        try:
            service.run()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=serve, name="service")
    try:
        thread.start()
        while not service.ready and thread.is_alive():
            time.sleep(0.05)
        yield service.desk
    finally:
        service.stop()
        if thread.is_alive():
            thread.join()
    if failures:
        raise failures[0]


def _watch(run: _Run) -> None:
    """Send the traffic and show what happens, to the end."""
    options = run.options
    topic = run.settings.source.predictions[0].name or ""
    speed = rate(options.seconds)
    plan = Plan(run.settings.kafka, topic, options.seed, speed, options.seconds, run.injections)
    show = _show_plain if options.plain else _show_live
    with producing(plan) as run.epoch, show(run) as refresh:
        until = options.seconds + _AFTER
        while run.seconds() < until:
            run.alerts += run.reader.poll(_TURN)
            run.rates = [*run.rates[-20:], (run.seconds(), run.metrics.events())]
            refresh()
    run.alerts += run.reader.poll(_TURN)


Refresh = Callable[[], None]


@contextmanager
def _show_live(run: _Run) -> Iterator[Refresh]:
    if not run.console.is_terminal:
        with _show_plain(run) as refresh:
            yield refresh
        return
    with Live(console=run.console, screen=True, auto_refresh=False) as live:
        yield lambda: live.update(draw(_picture(run), *run.console.size), refresh=True)


@contextmanager
def _show_plain(run: _Run) -> Iterator[Refresh]:
    told: set[str] = set()
    announced: set[str] = set()

    def refresh() -> None:
        for injection in run.injections:
            if injection.begin <= run.seconds() and injection.name not in announced:
                announced.add(injection.name)
                run.console.print(injection_line(injection), soft_wrap=True)
        for alert in run.alerts:
            if alert.event["id"] not in told:
                told.add(alert.event["id"])
                run.console.print(plain_line(alert, run.epoch), soft_wrap=True)

    yield refresh


def _picture(run: _Run) -> Picture:
    with suppress(LaterError, TimeoutError):  # A busy loop is shown as it was.
        run.standing = run.desk.ask(survey).result(_TURN)
    result = run.score()
    (first, before), (last, after) = run.rates[0], run.rates[-1]
    incidents: dict[str, Published] = {}
    for alert in run.alerts:
        data = alert.event["data"]
        if alert.event["type"].endswith(".resolved.v1"):
            incidents.pop(data["incident"], None)
        else:
            incidents.setdefault(data["incident"], alert)
    return Picture(
        seconds=run.seconds(),
        length=run.options.seconds,
        epoch=run.epoch,
        events=after,
        events_per_second=(after - before) / max(last - first, 0.1),
        readings=rows(run.standing.readings),
        warm_ups=run.standing.warm_ups,
        alerts=run.alerts,
        verdicts=result.verdicts,
        false_alarms=len(result.false_alarms),
        open_incidents=incidents,
    )


def _report(run: _Run, result: Score, file: FileIO | None) -> None:
    delays = [_events_until(run, verdict.injection, verdict.alert) for verdict in result.verdicts]
    print_result(run.console, result, delays, run.metrics.events())
    if file is not None:
        save(file, document(result, delays, run.alerts, run.epoch))


def _events_until(run: _Run, injection: Injection, alert: Published | None) -> int | None:
    """Return how many events the model sent from an injection to the change that was found."""
    if alert is None:
        return None
    if injection.touched[0].kind is SignalKind.SILENCE:
        return 0
    ends = np.array([injection.begin, max(injection.begin, moment(alert, run.epoch))])
    first, last = expected_events(ends, rate(run.options.seconds), run.options.seconds)
    return int(last - first)
