"""What a replay says at its end: what was watched, what was not and why, what came of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from streamdrift.durations import format_duration
from streamdrift.history import figures
from streamdrift.history.replay import Tally
from streamdrift.incidents.realised import RealisedRate
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import standing
from streamdrift.records import Notice, WarmUp
from streamdrift.references.findings import told
from streamdrift.signals.collector import SMALLEST
from streamdrift.signals.roles import UNWATCHED, Role

_SHOWN = 10
"""Names or notices shown at most; further ones are counted."""
_ROUTINE = frozenset({"model version appeared", "reference complete", "rhythm learnt"})
"""Notices that the lines about the versions repeat."""

SettingsOf = Callable[[str], ModelSettings]


def summarize(
    tally: Tally, monitor: Shards, settings_of: SettingsOf, seconds: float | None
) -> list[str]:
    """Return the lines for stderr; `settings_of` gives a model's settings by its name.

    Without `seconds` they do not say how long it took.
    """
    lines = [line for version in _versions(monitor, settings_of) for line in version]
    lines += _event_rates(monitor)
    lines += _forgotten(tally, monitor)
    if not lines:
        lines.append("no events: nothing was watched")
    stands = standing(monitor.monitors)
    open_now: Counter[str] = Counter()
    for (model, _), count in stands.incidents.items():
        open_now[model] += count
    lines += [_budget(each, open_now[each.model]) for each in stands.realised]
    lines += _notices(tally)
    if tally.dropped_fields:
        fields, verb = figures.counted(tally.dropped_fields, "field"), _were(tally.dropped_fields)
        lines.append(f"{fields} of events with too many {verb} not watched")
    if dropped := sum(stands.dropped.values()):
        repeated = figures.counted(dropped, "repeated event")
        lines.append(f"{repeated} {_were(dropped)} dropped (deduplicate)")
    took = "" if seconds is None else f" in {seconds:.1f} s"
    rate = f" ({tally.events / seconds:,.0f} a second)" if seconds else ""
    lines.append(f"{figures.counted(tally.events, 'event')}{took}{rate}")
    alerts = ", ".join(f"{count} {name}" for name, count in sorted(tally.alerts.items()))
    told = figures.counted(tally.alerts.total(), "alert")
    lines.append(told + (f": {alerts}" if alerts else ""))
    if tally.dead_letters:
        count = tally.dead_letters.total()
        what = "message or event" if count == 1 else "messages or events"
        lines.append(f"{count:,} {what} not used: {tally.reasons()}")
        lines += [f"  the first {line}" for line in tally.first_of_each()]
    return lines


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def clock_lines(counts: Mapping[str, int], hint: str) -> list[str]:
    """Return what to say of the ordering's counts; `hint` is for late events."""
    lines = []
    if late := counts["late"]:
        older = "event is" if late == 1 else "events are"
        them = "it" if late == 1 else "them"
        lines.append(f"{late:,} {older} older than one before {them}, and took its time: {hint}")
    if unbelieved := counts["unbelieved"]:
        jump = "event jumps" if unbelieved == 1 else "events jump"
        lines.append(
            f"{unbelieved:,} {jump} ahead by more than ordering.max_skew, and took the time of the "
            "one before"
        )
    return lines


def _versions(monitor: Shards, settings_of: SettingsOf) -> Iterator[list[str]]:
    warm_ups: Mapping[tuple[str, str], WarmUp] = {
        (each.model, each.version): each for each in standing(monitor.monitors).warm_ups
    }
    for version in monitor.versions():
        name = _name(version.model, version.version)
        warm_up = warm_ups[version.model, version.version]
        if not warm_up.complete:
            yield [_not_enough(name, warm_up)]
            continue
        kinds = Counter(signal.kind.value for signal in version.signals)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines = [
            f"{name}: {figures.counted(len(version.signals), 'signal')} watched from event "
            f"{warm_up.events + 1:,} on" + (f": {counted}" if counted else "")
        ]
        unwatched: dict[str, list[str]] = {}
        for column, why in _unwatched(version, settings_of(version.model)):
            unwatched.setdefault(why, []).append(column)
        lines += [f"  not watched, {why}: {_some(unwatched[why])}" for why in sorted(unwatched)]
        found = ((signal.name, findings) for signal, findings in version.findings)
        lines += [f"  {line}" for line in told(found)]
        yield lines


def _event_rates(monitor: Shards) -> Iterator[str]:
    """Yield how the event rate of each model is watched, and what was found of it."""
    traffic = {name: each for one in monitor.monitors for name, each in one.traffic.items()}
    for model, each in sorted(traffic.items()):
        volume = each.volume
        if volume is None:
            continue
        if not volume.is_watched:
            yield f"{model}: event rate not watched: too little time has passed to know it"
            continue
        known = volume.rhythm is not None and volume.rhythm.known
        against = (
            "its rhythm of day and week"
            if known
            else "its last minutes, as a week that shows its rhythm is not over"
        )
        yield f"{model}: event rate watched in bins of {format_duration(volume.length)}: {against}"
        yield from (f"  {line}" for line in told(each.findings))


def _unwatched(version: ModelVersion, settings: ModelSettings) -> Iterator[tuple[str, str]]:
    """Yield each column of the reference that is not watched, and why."""
    for key in sorted(version.roles):
        role = version.roles[key]
        if role not in UNWATCHED:
            continue
        if key.name in settings.ignore:
            yield key.name, "as models.*.ignore says"
        elif role is Role.OVER:
            yield key.name, f"beyond models.*.max_columns of {settings.max_columns:,}"
        elif role is not Role.IGNORED:
            yield key.name, f"as {role.value}"
        elif key.name in settings.roles:
            yield key.name, "as models.*.roles says"
        else:
            yield key.name, "as neither number, text nor truth value"


def _budget(realised: RealisedRate, open_now: int) -> str:
    """Say what came of a model's budget, of whose incidents so many are open."""
    budget, opened = realised.budget, realised.opened
    incidents = f"{figures.counted(opened, 'incident')} opened"
    came = f"{incidents}, no time watched yet"
    if realised.watched:
        allowed = figures.count(realised.watched / budget.period)
        came = f"{allowed} allowed in {figures.duration(realised.watched)} watched, {incidents}"
    if realised.watched >= budget.span:
        # Of less than one unit the rate would be an extrapolation, and read as an accusation.
        rate = figures.count(budget.in_unit(opened, realised.watched))
        came += f": {rate} a {budget.unit}"
    beside = []
    if realised.joined:
        beside.append(f"{figures.counted(realised.joined, 'further change')} joined")
    if open_now:
        beside.append(f"{open_now:,} still open")
    if realised.silences:
        beside.append(f"and {realised.silences:,} by silence, which is no test")
    apart = f" ({', '.join(beside)})" if beside else ""
    return f"{realised.model}: budget {budget.alarms:g} a {budget.unit}; {came}{apart}"


def _forgotten(tally: Tally, monitor: Shards) -> list[str]:
    there = {(version.model, version.version) for version in monitor.versions()}
    appeared = {
        (notice.model, notice.version)
        for notice in tally.notices
        if notice.event == "model version appeared"
    }
    names = [_name(*key) for key in sorted(appeared - there)]
    why = "sent nothing for models.*.retire_after, and were forgotten"
    return [f"{_some(names)}: {why}"] if names else []


def _notices(tally: Tally) -> list[str]:
    lines = [_shown(notice) for notice in tally.notices if notice.event not in _ROUTINE]
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more:,} notices more"] if more > 0 else [])]


def _shown(notice: Notice) -> str:
    fields = "; ".join(
        f"{name.replace('_', ' ')}: {_some(value) if isinstance(value, list) else value}"
        for name, value in notice.fields.items()
    )
    of = _name(notice.model, notice.version)
    event = notice.event.replace("_", " ")
    return (f"{of}: " if of else "") + event + (f" ({fields})" if fields else "")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _name(model: str, version: str) -> str:
    return f"{model} {version}".strip()


def _not_enough(name: str, warm_up: WarmUp) -> str:
    verb = "is" if warm_up.events == 1 else "are"
    few = f"{figures.counted(warm_up.events, 'event')} {verb} too few for a reference of "
    if warm_up.events > SMALLEST:
        lower = max(SMALLEST, warm_up.events // 3)
        cure = f"lower it with --set 'models.*.reference.events={lower}'"
    else:
        cure = f"a longer history is needed, as no reference has fewer than {SMALLEST}"
    return f"{name}: not watched: {few}{warm_up.wanted:,}: {cure}"
