"""Incidents as Alertmanager's alerts: its API v2."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field, field_validator

from streamdrift.alert_documents import Published, signal_lines
from streamdrift.durations import SECOND, Duration
from streamdrift.sinks.endpoint import EndpointSettings, checked_url
from streamdrift.sinks.links import link_to
from streamdrift.times import rfc3339

ALERT_NAME = "StreamdriftIncident"
LASTS = 5
"""Times `resend` after which an alert ends that is not sent again: as Prometheus has it, one that
nobody stands for any more does not last, whatever Alertmanager's own resolve_timeout is."""
_PATH = "/api/v2/alerts"
_LINK = re.compile(r"https?://", re.IGNORECASE)
_SIGNALS = 10
"""Told in an annotation; the others are counted."""
_SHIFT = 0.05
"""Standard deviations: a smaller shift is shown as none."""
_OWN = frozenset({"alertname", "deployment", "model", "version", "kind", "severity"})


class AlertmanagerSettings(EndpointSettings):
    """The Alertmanagers that incidents are sent to."""

    url: tuple[str, ...] = Field(
        min_length=1,
        max_length=10,
        description="Address of Alertmanager, or a list of those of a cluster: all are sent to.",
    )
    resend: Duration = Field(
        60 * SECOND,
        ge=SECOND,
        description="How often an incident that lasts is sent again; it ends five times as long "
        "after it was sent last.",
    )

    @field_validator("url", mode="before")
    @classmethod
    def _from_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _check_url(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(urls)) < len(urls):
            raise ValueError("name each Alertmanager once")
        return tuple(checked_url(url) for url in urls)


def alerts_url(url: str) -> str:
    """Return where alerts are posted to, given Alertmanager's address.

    >>> alerts_url("http://host:9093/prefix/")
    'http://host:9093/prefix/api/v2/alerts'
    """
    return _base(url) + _PATH


def status_url(url: str) -> str:
    """Return where Alertmanager says how it is.

    >>> status_url("http://host:9093/prefix/api/v2/alerts")
    'http://host:9093/prefix/api/v2/status'
    """
    return f"{_base(url)}/api/v2/status"


def _base(url: str) -> str:
    return url.rstrip("/").removesuffix(_PATH)


def labels_of(published: Published) -> Mapping[str, str]:
    """Return what tells an incident's alert from others, and what routes and silences go by.

    The severity is among them, as it is in rules of Prometheus: where it rises the alert is
    another, of which people are told even where they silenced the one before. The incident's id
    is not: the next incident of the model version is the same alert, firing again. The model's
    own labels are, but for links, which are annotations.
    """
    labels = {
        "alertname": ALERT_NAME,
        "deployment": published.deployment,
        "model": published.model,
        "version": published.version,
        "kind": published.kind,
        "severity": published.severity,
    }
    for name, value in published.labels.items():
        label = _label_name(name)
        if label not in _OWN and not _is_link(value):
            labels[label] = value
    return {name: value for name, value in labels.items() if value}


def annotations_of(published: Published) -> Mapping[str, str]:
    """Return what people read: the sentence, since when, how much, in which signals, and links."""
    data = published.event()["data"]
    annotations = {
        "summary": published.headline,
        "latest": "" if published.summary == published.headline else published.summary,
        "incident": published.incident,
        "signals": "; ".join(signal_lines(data, _SIGNALS)),
        "acknowledged": _acknowledged(data.get("acknowledged")),
        **_first_signal(data.get("signals") or ()),
    }
    for name, value in published.labels.items():
        if _is_link(value):
            annotations[f"{_label_name(name).removesuffix('_url')}_url"] = value
    return {name: value for name, value in annotations.items() if value}


def _acknowledged(word: Mapping[str, Any] | None) -> str:
    """Return who looks after an incident, empty where nobody does."""
    if not word:
        return ""
    by, note = word.get("by"), word.get("note")
    return (f"by {by}" if by else "yes") + (f": {note}" if note else "")


def _first_signal(signals: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return when the strongest signal's change began, and its effect."""
    if not signals:
        return {}
    onset, effect = signals[0].get("onset"), signals[0].get("effect")
    found = {}
    if onset:
        found["onset"] = f"{_seconds(onset['earliest'])} to {_seconds(onset['latest'])}"
    if effect and effect.get("size") is not None:
        found["effect"] = _effect(effect)
    return found


def _effect(effect: Mapping[str, Any]) -> str:
    """Say how large a change is: its shift, as sentences have it, and the size all in all."""
    size = f"{effect['size']:.1f} sd all in all"
    shift = (effect.get("shift") or {}).get("value")
    return size if shift is None or abs(shift) < _SHIFT else f"shift {shift:+.1f} sd, {size}"


def _seconds(time: str) -> str:
    """Return an alert's time without its fraction of a second."""
    return f"{time[:19]}Z"


def firing(published: Published, now: int, resend: int, link: str | None) -> dict[str, Any]:
    """Return the alert of an incident that lasts as of `now`; times are in microseconds."""
    return _alert(published, now, link) | {"endsAt": rfc3339(now + LASTS * resend)}


def ended(published: Published, ended_at: int, now: int, link: str | None) -> dict[str, Any]:
    """Return the alert of an incident that is over since `ended_at`."""
    # What Alertmanager is to take for over has ended by its clock, and begun before that.
    ends = max(min(ended_at, now), min(published.opened_at, now))
    return _alert(published, now, link) | {"endsAt": rfc3339(ends)}


def _alert(published: Published, now: int, link: str | None) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "labels": labels_of(published),
        "annotations": annotations_of(published),
        "startsAt": rfc3339(min(published.opened_at, now)),
    }
    generator = link_to(link, published)
    return alert if generator is None else alert | {"generatorURL": generator}


def encode_alerts(alerts: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the body of a post."""
    return orjson.dumps(alerts)


def _label_name(name: str) -> str:
    """Return a name as Alertmanager takes it.

    >>> _label_name("on-call team"), _label_name("2nd")
    ('on_call_team', '_2nd')
    """
    name = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{name}" if name[:1].isdigit() or not name else name


def _is_link(value: str) -> bool:
    return _LINK.match(value) is not None
