"""What the demo shows: a live picture of the service, and the closing table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection
from streamdrift.demo.scorer import Published, Score, Verdict
from streamdrift.records import SignalReading, WarmUp

_BAR = 14
_FULL = "█"
_EMPTY = "·"


@dataclass(slots=True)
class Picture:
    """What is known at one moment, to be drawn."""

    seconds: float
    length: float
    events: int = 0
    events_per_second: float = 0.0
    readings: Sequence[SignalReading] = ()
    warm_ups: Sequence[WarmUp] = ()
    alerts: Sequence[Published] = ()
    verdicts: Sequence[Verdict] = ()
    false_alarms: int = 0
    open_incidents: dict[str, str] = field(default_factory=dict)
    """Their sentence, by id."""


def draw(picture: Picture, height: int) -> RenderableType:
    """Return the live picture for a terminal of that height."""
    layout = Layout()
    layout.split_column(Layout(_head(picture), size=3, name="head"), Layout(name="body"))
    right = Layout(name="right", ratio=6)
    shown = len(picture.verdicts) + 2
    right.split_column(
        Layout(_timeline(picture), size=shown) if shown > 2 else Layout(_quiet(), size=4),
        Layout(_incidents(picture)),
    )
    layout["body"].split_row(Layout(_signals(picture, height - 6), ratio=5), right)
    return layout


def _head(picture: Picture) -> RenderableType:
    text = Text()
    text.append(f" {picture.events_per_second:7,.0f}", style="bold cyan")
    text.append(" events/s   ")
    text.append(f"{picture.events:9,}", style="bold")
    text.append(" events   ")
    done = min(1.0, max(0.0, picture.seconds / picture.length))
    text.append(_FULL * int(done * 20), style="cyan")
    text.append(_EMPTY * (20 - int(done * 20)), style="dim")
    text.append(f" {max(0.0, picture.seconds):4.0f} of {picture.length:.0f} s", style="dim")
    text.append(
        f"   {picture.false_alarms} false alarms",
        style="bold red" if picture.false_alarms else "dim",
    )
    return Panel(text, title="streamdrift demo", border_style="cyan", box=box.ROUNDED)


def _signals(picture: Picture, height: int) -> RenderableType:
    tables: list[RenderableType] = []
    room = max(3, (height - 4) // 2 - 1)
    for model in (FRAUD, DELIVERY):
        table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(width=_BAR, no_wrap=True)
        table.add_column(width=9, justify="right", no_wrap=True)
        for reading in strongest(picture.readings, model)[:room]:
            table.add_row(*_signal_row(reading))
        warm_up = next((each for each in picture.warm_ups if each.model == model), None)
        state = "waiting for events"
        if warm_up is not None:
            state = "watched"
            if not warm_up.complete:
                state = f"reference {warm_up.events:,} of {warm_up.wanted:,}"
        tables += [Text.assemble((f" {model} ", "bold reverse"), f"  {state}"), table]
    title = "signals: statistic against threshold"
    return Panel(Group(*tables), title=title, border_style="dim", box=box.ROUNDED)


def strongest(readings: Sequence[SignalReading], model: str) -> list[SignalReading]:
    """Return each signal's reading nearest to its threshold, changed ones first."""
    best: dict[int, SignalReading] = {}
    for reading in readings:
        held = best.get(reading.signal.ordinal)
        if reading.model == model and (held is None or _ratio(reading) > _ratio(held)):
            best[reading.signal.ordinal] = reading
    return sorted(best.values(), key=lambda each: (-each.changed, -_ratio(each)))


def _ratio(reading: SignalReading) -> float:
    return reading.statistic / reading.threshold if reading.threshold > 0 else 0.0


def _signal_row(reading: SignalReading) -> tuple[Text, Text, Text]:
    if reading.changed:
        style = "bold red"
        bar, word = Text(_FULL * _BAR, style="red"), Text("changed", style=style)
        return Text(reading.signal.name, style=style), bar, word
    share = min(1.0, max(0.0, _ratio(reading)))
    filled = int(share * _BAR)
    style = "yellow" if share > 0.6 else "green"
    bar = Text.assemble((_FULL * filled, style), (_EMPTY * (_BAR - filled), "dim"))
    return Text(reading.signal.name), bar, Text(f"{share:6.0%}", style="dim")


def _quiet() -> RenderableType:
    text = Text("nothing is injected: there should be no incident", style="dim")
    return Panel(text, title="injections", border_style="dim", box=box.ROUNDED)


def _timeline(picture: Picture) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=11, no_wrap=True)
    for verdict in picture.verdicts:
        injection = verdict.injection
        named = f"{injection.name} in {injection.model}"
        begin = Text(f"{injection.begin:.0f} s", style="dim")
        table.add_row(begin, Text(named), _mark(verdict, picture.seconds))
    return Panel(table, title="injections, found after", border_style="dim", box=box.ROUNDED)


def _mark(verdict: Verdict, seconds: float) -> Text:
    if verdict.delay_seconds is not None:
        return Text(f"✔ {verdict.delay_seconds:.1f} s", style="bold green")
    if seconds < verdict.injection.begin:
        return Text("to come", style="dim")
    if seconds < verdict.injection.over:
        return Text("▶ in effect", style="bold yellow")
    return Text("✘ missed", style="bold red")


def _incidents(picture: Picture) -> RenderableType:
    lines: list[RenderableType] = [
        Text(f"● {sentence}", style="red") for sentence in picture.open_incidents.values()
    ]
    title = f"open incidents: {len(lines)}"
    told = [alert for alert in reversed(picture.alerts) if alert.event["type"].endswith("d.v1")]
    lines += [
        Text(f"{_word(alert)}  {alert.event['data']['summary']}", style="dim") for alert in told[:8]
    ]
    return Panel(Group(*lines), title=title, border_style="dim", box=box.ROUNDED)


def _word(alert: Published) -> str:
    return str(alert.event["type"]).split(".")[-2]


def print_result(console: Console, score: Score, delays: Sequence[int | None], events: int) -> None:
    """Print each injection's verdict with the alert's own sentence, and the false alarms."""
    if score.verdicts:
        table = Table(box=box.SIMPLE_HEAD, expand=True, title=None)
        table.add_column("injection", no_wrap=True)
        table.add_column("model", no_wrap=True)
        table.add_column("found", no_wrap=True)
        table.add_column("after", justify="right", no_wrap=True)
        table.add_column("what the alert said", ratio=1)
        for verdict, delay in zip(score.verdicts, delays, strict=True):
            table.add_row(*_closing_row(verdict, delay))
        console.print(table)
    found = sum(verdict.found for verdict in score.verdicts)
    console.print(
        f"{found} of {len(score.verdicts)} injections found, "
        f"{len(score.false_alarms)} false alarms, {events:,} events",
        style="bold green" if score.perfect else "bold red",
    )
    for alert in score.false_alarms:
        console.print(f"false alarm: {alert.event['data']['summary']}", style="red")


def _closing_row(verdict: Verdict, delay: int | None) -> tuple[RenderableType, ...]:
    injection = verdict.injection
    if verdict.alert is None or verdict.delay_seconds is None:
        return injection.name, injection.model, Text("missed", style="bold red"), "", ""
    after = f"{delay:,} events\n{verdict.delay_seconds:.1f} s"
    sentence = str(verdict.alert.event["data"]["summary"])
    return injection.name, injection.model, Text("yes", style="bold green"), after, sentence


def plain_line(moment: float, alert: Published) -> str:
    """Return an alert as a line of text."""
    return f"{moment:6.1f} s  {_word(alert):8}  {alert.event['data']['summary']}"


def injection_line(injection: Injection) -> str:
    """Return an injection's begin as a line of text."""
    return f"{injection.begin:6.1f} s  injected  {injection.name} in {injection.model}"
