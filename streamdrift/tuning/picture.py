"""What `streamdrift tune` prints: the budgets of each model side by side."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from streamdrift.history import figures
from streamdrift.incidents.budget import Budget
from streamdrift.plain import plain
from streamdrift.tuning.lines import (
    ASCII,
    UNICODE,
    Glyphs,
    lag_axis,
    lag_lines,
    listed,
    longest_lag,
    time_axis,
    timeline,
)
from streamdrift.tuning.results import ModelResult, Shared, allowed

_MODELS = 10
"""Models drawn at most; further ones are counted."""
_NARROWEST = 60
_WORDS = (
    "allowed: false alarms that the budget allows in the time watched. run length: values of its "
    "own in which the median signal may raise one alone. joined: changes told while an incident "
    "was open, which need no budget. later: than the largest budget, median of what all found."
)
_UNKNOWN = (
    "History cannot tell which incidents were false: it shows what each budget would have told, "
    "real changes among it. --known FILE counts against changes you know."
)


def print_results(console: Console, results: Sequence[ModelResult]) -> None:
    """Print all models, those with incidents first."""
    if not results:
        console.print("no model was watched: there is nothing to compare")
        return
    glyphs = ASCII if console.options.ascii_only else UNICODE
    width = max(console.width, _NARROWEST)
    drawn = sorted(results, key=lambda result: not _told(result))
    for result in drawn[:_MODELS]:
        console.print(_model(result, width, glyphs))
    if rest := drawn[_MODELS:]:
        told = sum(map(_told, rest))
        models = figures.counted(len(rest), "further model")
        console.print(f"{models}, {told} of them with incidents: --json FILE has all\n")
    console.print(_limits(results), style="dim")


def _told(result: ModelResult) -> bool:
    return any(outcome.incidents for outcome in result.outcomes)


def _model(result: ModelResult, width: int, glyphs: Glyphs) -> RenderableType:
    parts: list[RenderableType] = [_head(result), _table(result, glyphs), Text()]
    parts += [_timeline(result, width, glyphs), Text()]
    if result.shared:
        parts += [_changes(result), Text()]
    if any(result.further):
        parts += [_further(result), Text()]
    if len(result.outcomes) > 1 and any(each.lags is not None for each in result.shared):
        parts += [_lags(result, width, glyphs), Text()]
    if result.scores:
        parts += [_scores(result, glyphs), Text()]
    return Group(*parts)


def _head(result: ModelResult) -> RenderableType:
    seen, watched = result.seen, result.watched
    text = Text()
    text.append(f"{seen.events:,} events", style="bold")
    text.append(f" from {figures.moment(seen.first)} to {figures.moment(seen.last)} UTC\n")
    text.append(f"watched for {figures.duration(watched.until - watched.since)}, ")
    text.append(f"from {figures.moment(watched.since)} on: before that its reference was learned")
    if silences := len(result.silences):
        text.append(f"\n{figures.counted(silences, 'incident')} by silence, at every budget")
    return Panel(text, title=Text(plain(result.model)), border_style="cyan", box=box.ROUNDED)


def _label(budget: Budget, chosen: bool, glyphs: Glyphs) -> Text:
    mark = glyphs.chosen if chosen else " "
    return Text(f"{mark} {budget}", style="bold cyan" if chosen else "")


def _table(result: ModelResult, glyphs: Glyphs) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("  budget", no_wrap=True)
    for name in ("allowed", "incidents", "joined", "signals", "run length", "later"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome, lag in zip(result.outcomes, result.lags, strict=True):
        opened = len(outcome.incidents)
        table.add_row(
            _label(outcome.budget, outcome.chosen, glyphs),
            figures.count(allowed(outcome.budget, result.watched)),
            f"{opened:,}",
            f"{len(outcome.changes) - opened:,}",
            f"{outcome.openers:,}",
            "?" if outcome.run_length is None else figures.count(outcome.run_length),
            "" if lag is None else figures.delay(lag),
            style="bold" if outcome.chosen else "",
        )
    return table


def _timeline(result: ModelResult, width: int, glyphs: Glyphs) -> RenderableType:
    labels = [_label(each.budget, each.chosen, glyphs) for each in result.outcomes]
    left = max(map(len, labels)) + 2
    room = width - left - 1
    drawn = Text()
    lines = timeline(result, room, glyphs)
    for label, line in zip(labels, lines, strict=True):
        drawn.append(label)
        drawn.append(" " * (left - len(label)))
        for place, character in enumerate(line.text):
            drawn.append(character, style=_style(character, place in line.marks, glyphs))
        drawn.append("\n")
    axis = time_axis(result.seen.first, result.seen.last, room)
    drawn.append(" " * left + _plain(axis, glyphs), style="dim")
    legend = _legend("".join(line.text for line in lines), glyphs)
    drawn.append(f"\n{' ' * left}{legend}", style="dim")
    drawn.no_wrap = True
    return drawn


def _legend(text: str, glyphs: Glyphs) -> str:
    """Say what those characters are that occur."""
    named = {
        glyphs.learning: "learning",
        glyphs.open: "open",
        "1": "as listed",
        glyphs.other: "other",
        glyphs.several: "several",
    }
    return "  ".join(
        f"{character} {name}" for character, name in named.items() if character in text
    )


def _style(character: str, marked: bool, glyphs: Glyphs) -> str:
    if marked:
        return "bold red"
    return "red" if character == glyphs.open else "dim"


def _plain(axis: str, glyphs: Glyphs) -> str:
    return axis.replace("╵", "|") if glyphs is ASCII else axis


def _changes(result: ModelResult) -> RenderableType:
    """List what the budget in the settings told, and who found each how much later."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, expand=True)
    table.add_column(width=1, no_wrap=True)
    table.add_column(width=19, no_wrap=True)
    table.add_column(ratio=1)
    shown = listed(result.shared)
    for name, shared in shown.items():
        told = Text(plain(shared.change.summary))
        told.append("\n" + _found_by(shared, result), style="dim")
        at = figures.moment(shared.change.told_at)
        table.add_row(Text(name, style="bold red"), at, told)
    more = len(result.shared) - len(shown)
    last = [Text(f"and {more:,} more: --json FILE has all", style="dim")] if more else []
    return Group(*_titled("told under the budget in the settings"), table, *last)


def _found_by(shared: Shared, result: ModelResult) -> str:
    """Say by how much each budget was later than the quickest, the quickest first."""
    found, missed = [], []
    for outcome, sighting, late in zip(
        result.outcomes, shared.sightings, shared.delays, strict=True
    ):
        if sighting is None or late is None:
            missed.append(str(outcome.budget))
            continue
        joined = " (in an open incident)" if shared.change.opens and not sighting.opens else ""
        found.append((late, f"{outcome.budget} {figures.delay(late) if late else 'first'}{joined}"))
    texts = [text for _, text in sorted(found, key=lambda entry: entry[0])]
    return ", ".join(texts) + (f"; not by {', '.join(missed)}" if missed else "")


def _further(result: ModelResult) -> RenderableType:
    told = [
        f"{outcome.budget} {more:,}"
        for outcome, more in zip(result.outcomes, result.further, strict=True)
        if more
    ]
    return Text(f"opened by what the budget in the settings does not tell: {', '.join(told)}")


def _lags(result: ModelResult, width: int, glyphs: Glyphs) -> RenderableType:
    labels = [_label(each.budget, each.chosen, glyphs) for each in result.outcomes]
    left = max(map(len, labels)) + 2
    room = width - left - 1
    drawn = Text(no_wrap=True)
    for label, line in zip(labels, lag_lines(result, room, glyphs), strict=True):
        drawn.append(label)
        drawn.append(" " * (left - len(label)) + line + "\n", style="bold red")
    axis = lag_axis(longest_lag(result.shared), room)
    drawn.append(" " * left + _plain(axis, glyphs), style="dim")
    largest = result.outcomes[-1].budget
    return Group(*_titled(f"how much later than {largest}, of what all budgets found"), drawn)


def _scores(result: ModelResult, glyphs: Glyphs) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("  budget", no_wrap=True)
    for name in ("found", "missed", "false", "delay"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome, score in zip(result.outcomes, result.scores, strict=True):
        late = score.median_delay
        table.add_row(
            _label(outcome.budget, outcome.chosen, glyphs),
            f"{score.found:,}",
            f"{score.missed:,}",
            f"{score.false:,}",
            "" if late is None else figures.duration(late),
            style="bold" if outcome.chosen else "",
        )
    known = figures.counted(len(result.known), "known change")
    return Group(*_titled(f"{known} in the time watched"), table)


def _titled(title: str) -> list[RenderableType]:
    return [Rule(Text(title, style="bold"), align="left", style="dim")]


def _limits(results: Sequence[ModelResult]) -> RenderableType:
    lines = [_WORDS]
    if not any(result.scores for result in results):
        lines.append(_UNKNOWN)
    return Text("\n".join(lines))
