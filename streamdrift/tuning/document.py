"""What came of the budgets, as a JSON document."""

from collections.abc import Sequence
from typing import Any

import orjson

from streamdrift.durations import SECOND
from streamdrift.history.incident_log import Incident
from streamdrift.times import rfc3339
from streamdrift.tuning.known import Known, Score
from streamdrift.tuning.results import ModelResult, Outcome, Shared, allowed


def document(source: str, results: Sequence[ModelResult], remarks: Sequence[str]) -> bytes:
    """Return the JSON of all results; times are RFC 3339, durations in seconds.

    `remarks` are the lines of the summary.
    """
    told = {
        "history": source,
        "models": [_model(result) for result in results],
        "summary": list(remarks),
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _model(result: ModelResult) -> dict[str, Any]:
    seen, watched = result.seen, result.watched
    scores = result.scores or (None,) * len(result.outcomes)
    rows = zip(result.outcomes, result.lags, result.further, scores, strict=True)
    return {
        "model": result.model,
        "events": seen.events,
        "from": rfc3339(seen.first),
        "to": rfc3339(seen.last),
        "watched_from": rfc3339(watched.since),
        "watched_to": rfc3339(watched.until),
        "budgets": [_outcome(result, *row) for row in rows],
        "compared": [_shared(result, shared) for shared in result.shared],
        "silences": [_incident(incident) for incident in result.silences],
        "known": [_known(known, place, result) for place, known in enumerate(result.known)],
    }


def _outcome(
    result: ModelResult, outcome: Outcome, lag: float | None, further: int, score: Score | None
) -> dict[str, Any]:
    opened = len(outcome.incidents)
    told = {
        "budget": str(outcome.budget),
        "in_settings": outcome.chosen,
        "allowed": allowed(outcome.budget, result.watched),
        "opened": opened,
        "joined": len(outcome.changes) - opened,
        "signals": outcome.openers,
        "median_run_length": outcome.run_length,
        "median_lag_seconds": _seconds(lag),
        "told_only_here": further,
    }
    if score is not None:
        told |= {
            "known_found": score.found,
            "known_missed": score.missed,
            "false": score.false,
            "median_delay_seconds": _seconds(score.median_delay),
        }
    return told | {"incidents": [_incident(each) for each in outcome.incidents]}


def _incident(incident: Incident) -> dict[str, Any]:
    ended = incident.ended_at
    return {
        "incident": incident.id,
        "version": incident.version,
        "opened_at": rfc3339(incident.opened_at),
        "ended_at": None if ended is None else rfc3339(ended),
        "resolution": incident.resolution,
        "severity": incident.severity,
        "together": incident.together,
        "summaries": [
            {"time": rfc3339(time), "text": text}
            for time, text in sorted(incident.sentences.items())
        ],
        "signals": [
            {
                "name": member.signal,
                "column": member.column,
                "opened": member.signal in incident.openers,
                "began_earliest": rfc3339(member.earliest),
                "changed_at": rfc3339(member.changed_at),
            }
            for member in incident.members
        ],
    }


def _shared(result: ModelResult, shared: Shared) -> dict[str, Any]:
    """Return who found a change that the budget in the settings told, and how much later."""
    rows = zip(result.outcomes, shared.sightings, shared.delays, strict=True)
    return {
        "incident": shared.change.incident.id,
        "told_at": rfc3339(shared.change.told_at),
        "opened": shared.change.opens,
        "summary": shared.change.summary,
        "found": [
            {
                "budget": str(outcome.budget),
                "incident": sighting.incident,
                "told_at": rfc3339(sighting.told_at),
                "opened": sighting.opens,
                "delay_seconds": _seconds(delay),
            }
            for outcome, sighting, delay in rows
            if sighting is not None
        ],
        "missed": [
            str(outcome.budget)
            for outcome, sighting in zip(result.outcomes, shared.sightings, strict=True)
            if sighting is None
        ],
    }


def _known(known: Known, place: int, result: ModelResult) -> dict[str, Any]:
    return {
        "from": rfc3339(known.since),
        "until": rfc3339(known.until),
        "signal": known.signal,
        "delay_seconds": {
            str(outcome.budget): _seconds(score.delays[place])
            for outcome, score in zip(result.outcomes, result.scores, strict=True)
        },
    }


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / SECOND
