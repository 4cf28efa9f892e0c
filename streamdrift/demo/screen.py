"""What the demo shows: a live picture of the service, and the closing table."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection
from streamdrift.demo.scorer import Published, Score, Verdict, moment
from streamdrift.plain import plain
from streamdrift.readings import SignalReading
from streamdrift.records import WarmUp

_BAR = 12
_SHORT_BAR = 5
_WIDE = 110
"""Columns of a terminal from which on there is room for long bars."""
_TOLD = 12
"""Alerts listed at most."""
_FULL = "█"
_EMPTY = "·"


@dataclass(slots=True)
class Picture:
    """What is known at one moment, to be drawn."""

    seconds: float
    length: float
    epoch: int = 0
    """The start, in microseconds."""
    events: int = 0
    events_per_second: float = 0.0
    readings: Sequence[SignalReading] = ()
    warm_ups: Sequence[WarmUp] = ()
    alerts: Sequence[Published] = ()
    verdicts: Sequence[Verdict] = ()
    false_alarms: int = 0
    open_incidents: Mapping[str, Published] = field(default_factory=dict)
    """The alerts that opened them, by incident."""


def draw(picture: Picture, width: int, height: int) -> RenderableType:
    """Return the live picture for a terminal of that size."""
    layout, wide = Layout(), width >= _WIDE
    layout.split_column(Layout(_head(picture, wide), size=3, name="head"), Layout(name="body"))
    right = Layout(name="right", ratio=6)
    shown = len(picture.verdicts) + 2
    right.split_column(
        Layout(_timeline(picture), size=shown) if shown > 2 else Layout(_quiet(), size=4),
        Layout(_incidents(picture)),
    )
    # Of the height, the head takes 3, the panel's border 2, the models' own lines 3.
    rooms = max(3, (height - 8) // 2)
    bar = _BAR if wide else _SHORT_BAR
    layout["body"].split_row(Layout(_signals(picture, rooms, bar), ratio=5), right)
    return layout


def _head(picture: Picture, wide: bool) -> RenderableType:
    text = Text()
    text.append(f" {picture.events_per_second:7,.0f}", style="bold cyan")
    text.append(" events/s   ")
    text.append(f"{picture.events:9,}", style="bold")
    text.append(" events   ")
    done = min(1.0, max(0.0, picture.seconds / picture.length))
    bar = 20 if wide else 8
    text.append(_FULL * int(done * bar), style="cyan")
    text.append(_EMPTY * (bar - int(done * bar)), style="dim")
    text.append(f" {max(0.0, picture.seconds):4.0f} of {picture.length:.0f} s", style="dim")
    text.append(
        f"   {_counted(picture.false_alarms, 'false alarm')}",
        style="bold red" if picture.false_alarms else "dim",
    )
    return Panel(text, title="streamdrift demo", border_style="cyan", box=box.ROUNDED)


def _signals(picture: Picture, rooms: int, bar: int) -> RenderableType:
    parts: list[RenderableType] = []
    for model in (FRAUD, DELIVERY):
        table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(width=bar, no_wrap=True)
        table.add_column(width=7, justify="right", no_wrap=True)
        for reading in shown_readings(picture.readings, model, rooms):
            table.add_row(*_signal_row(reading, bar))
        warm_up = next((each for each in picture.warm_ups if each.model == model), None)
        state = "waiting for events"
        if warm_up is not None:
            state = "watched"
            if not warm_up.complete:
                state = f"learning: {warm_up.events:,} of {warm_up.wanted:,} events"
        parts += [Text.assemble((f" {model} ", "bold reverse"), f"  {state}"), table, Text()]
    title = "signals: statistic / threshold"
    return Panel(Group(*parts[:-1]), title=title, border_style="dim", box=box.ROUNDED)


def shown_readings(
    readings: Sequence[SignalReading], model: str, rooms: int
) -> list[SignalReading]:
    """Return at most `rooms` of a model's readings, always in the same order: rows stay put.

    They are each signal's nearest to its threshold; where these are too many, each column's;
    and where these are, the strongest of them.
    """
    mine = [reading for reading in readings if reading.model == model]
    signals = _strongest_by(mine, lambda reading: reading.signal.ordinal)
    if len(signals) > rooms:
        signals = _strongest_by(signals, lambda reading: reading.signal.column)
    kept = sorted(signals, key=_strength)[-rooms:]
    # A column's signals follow one another, so this is the order of the columns too.
    return sorted(kept, key=lambda reading: reading.signal.ordinal)


def _strongest_by(
    readings: Sequence[SignalReading], part: Callable[[SignalReading], Hashable]
) -> list[SignalReading]:
    best: dict[Hashable, SignalReading] = {}
    for reading in readings:
        held = best.setdefault(part(reading), reading)
        if _strength(reading) > _strength(held):
            best[part(reading)] = reading
    return list(best.values())


def _strength(reading: SignalReading) -> tuple[bool, float]:
    return reading.changed, _ratio(reading)


def _ratio(reading: SignalReading) -> float:
    return reading.statistic / reading.threshold if reading.threshold > 0 else 0.0


def _signal_row(reading: SignalReading, bar: int) -> tuple[Text, Text, Text]:
    if reading.changed:
        style = "bold red"
        return (
            Text(plain(reading.signal.name), style=style),
            Text(_FULL * bar, style="red"),
            Text("changed", style=style),
        )
    share = min(1.0, max(0.0, _ratio(reading)))
    filled = int(share * bar)
    style = "yellow" if share > 0.6 else "green"
    drawn = Text.assemble((_FULL * filled, style), (_EMPTY * (bar - filled), "dim"))
    return Text(plain(reading.signal.name)), drawn, Text(f"{share:.0%}", style="dim")


def _quiet() -> RenderableType:
    text = Text("nothing is injected: there should be no incident", style="dim")
    return Panel(text, title="injections", border_style="dim", box=box.ROUNDED)


def _timeline(picture: Picture) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=12, no_wrap=True)
    for verdict in picture.verdicts:
        injection = verdict.injection
        named = f"{injection.name} in {injection.model}"
        begin = Text(f"{injection.begin:.0f} s", style="dim")
        table.add_row(begin, Text(named), _mark(verdict, picture.seconds))
    return Panel(table, title="injections: how soon found", border_style="dim", box=box.ROUNDED)


def _mark(verdict: Verdict, seconds: float) -> Text:
    if verdict.delay_seconds is not None:
        return Text(f"✔ {verdict.delay_seconds:.1f} s", style="bold green")
    if seconds < verdict.injection.begin:
        return Text("to come", style="dim")
    if seconds < verdict.injection.end:
        return Text("▶ in effect", style="bold yellow")
    if seconds < verdict.injection.over:
        return Text("▶ recovering", style="yellow")
    return Text("✘ missed", style="bold red")


def _incidents(picture: Picture) -> RenderableType:
    """List the open incidents, then what was told before: each sentence once."""
    table = Table(box=None, expand=True, padding=(0, 1), show_header=False)
    table.add_column(width=4, justify="right", no_wrap=True)
    table.add_column(width=8, no_wrap=True)
    table.add_column(ratio=1)
    opening = list(picture.open_incidents.values())
    shown = {alert.event["id"] for alert in opening}
    earlier = [alert for alert in reversed(picture.alerts) if alert.event["id"] not in shown]
    for alerts, word, style in ((opening, "● open", "red"), (earlier[:_TOLD], None, "dim")):
        for alert in alerts:
            begin = f"{moment(alert, picture.epoch):.0f} s"
            sentence = _sentence(alert)
            table.add_row(begin, word or _word(alert), sentence, style=style)
    title = f"{_counted(len(opening), 'open incident')}, then earlier alerts"
    return Panel(table, title=title, border_style="dim", box=box.ROUNDED)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _sentence(alert: Published) -> str:
    return plain(str(alert.event["data"]["summary"]))


def _word(alert: Published) -> str:
    return str(alert.event["type"]).split(".")[-2]


def print_result(console: Console, score: Score, delays: Sequence[int | None], events: int) -> None:
    """Print each injection's verdict with the alert's own sentence, and the false alarms."""
    outcome = "nothing was injected"
    if score.verdicts:
        table = Table(box=box.SIMPLE_HEAD, expand=True, title=None)
        table.add_column("injection", no_wrap=True)
        table.add_column("found after", justify="right", no_wrap=True)
        table.add_column("what the alert said", ratio=1)
        for verdict, delay in zip(score.verdicts, delays, strict=True):
            table.add_row(*_closing_row(verdict, delay))
        console.print(table)
        found = sum(verdict.found for verdict in score.verdicts)
        outcome = f"{found} of {len(score.verdicts)} injections found"
    console.print(
        f"{outcome}, {_counted(len(score.false_alarms), 'false alarm')}, {events:,} events",
        style="bold green" if score.perfect else "bold red",
    )
    for alert in score.false_alarms:
        console.print(f"false alarm: {_sentence(alert)}", style="red")


def _closing_row(verdict: Verdict, delay: int | None) -> tuple[RenderableType, ...]:
    injection = verdict.injection
    named = Text.assemble(injection.name, (f"\nin {injection.model}", "dim"))
    if verdict.alert is None or verdict.delay_seconds is None:
        return named, Text("missed", style="bold red"), ""
    after = Text(f"{verdict.delay_seconds:.1f} s", style="bold green")
    # Silence is found by what did not come: no events passed.
    if delay:
        after.append(f"\n{_counted(delay, 'event')}", style="dim")
    return named, after, _sentence(verdict.alert)


def plain_line(alert: Published, epoch: int) -> str:
    """Return an alert as a line of text."""
    return f"{moment(alert, epoch):6.1f} s  {_word(alert):8}  {_sentence(alert)}"


def injection_line(injection: Injection) -> str:
    """Return an injection's begin as a line of text."""
    return f"{injection.begin:6.1f} s  injected  {injection.name} in {injection.model}"
