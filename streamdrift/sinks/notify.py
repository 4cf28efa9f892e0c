"""Alerts as messages to people: Slack, Teams, PagerDuty, e-mail and others, by apprise."""

import importlib.util
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    field_validator,
    model_validator,
)

from streamdrift.alert_documents import Published, Severity, signal_lines
from streamdrift.durations import DAY, SECOND, Duration
from streamdrift.errors import SettingsError
from streamdrift.files import checked_file
from streamdrift.secrets import read_secret
from streamdrift.sinks.answers import Answer, Verdict, unreadable
from streamdrift.sinks.links import link_to

_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)(?:\s+(\S+))?")
_SIGNALS = 5
BEHIND_AFTER = 900 * SECOND
"""How long one alert holds up those behind it."""
_KINDS: Mapping[str, str] = {"info": "info", "warning": "warning", "critical": "failure"}
"""What apprise calls the severities."""
_PAGERS: Mapping[str, str] = {
    "firehydrant": "dedup",
    "ilert": "dedup",
    "incidentio": "dedup",
    "pagerduty": "dedup",
    "pagertree": "thirdparty",
    "signl4": "external_id",
    "splunk": "entity_id",
    "squadcast": "dedup",
    "victorops": "entity_id",
}
"""What apprise has incidents of, and how it calls what tells one from another."""


class QuietHours(NamedTuple):
    """A time of every day, from `begin` up to `end`, which may be on the next."""

    begin: time
    end: time
    zone: ZoneInfo

    def hold(self, moment: int) -> bool:
        """Tell whether `moment`, in microseconds since the epoch, is within."""
        date = datetime.fromtimestamp(moment / SECOND, UTC).astimezone(self.zone)
        at = date.time().replace(tzinfo=None)
        if self.begin <= self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


def parse_quiet_hours(text: str) -> QuietHours:
    """Return hours as people write them; raise ValueError where they are none.

    >>> str(parse_quiet_hours("22:00-07:00 Europe/Berlin").zone)
    'Europe/Berlin'
    """
    match = _QUIET.fullmatch(text.strip())
    if match is None:
        raise ValueError('must be hours and a time zone such as "22:00-07:00 Europe/Berlin"')
    begin, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if begin == end:
        raise ValueError("must end at another time than it begins")
    try:
        zone = ZoneInfo(match[5] or "UTC")
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{match[5]} is no time zone: write one such as Europe/Berlin") from None
    return QuietHours(begin, end, zone)


class NotifySettings(BaseModel):
    """One place where people read messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9_-]{1,40}$",
        description="What it is called in metrics and logs; its number in the list if unset.",
    )
    url: SecretStr | None = Field(
        None, description="Address as apprise writes it, such as slack://...: a secret."
    )
    url_file: Path | None = Field(None, description="File holding `url`.")
    severity: Severity = Field("info", description="The least severity that is told.")
    quiet_hours: str | None = Field(
        None,
        description='Hours in which nothing is sent, such as "22:00-07:00 Europe/Berlin"; what is '
        "still open then is told at their end.",
    )
    resolved: StrictBool = Field(True, description="Whether the end of an incident is told.")
    give_up_after: Duration = Field(
        DAY,
        gt=0,
        description="How long one alert is tried before it is passed over; after 15 minutes those "
        "of other incidents go before it.",
    )

    @field_validator("url_file")
    @classmethod
    def _check_file(cls, file: Path | None) -> Path | None:
        return checked_file(file)

    @field_validator("quiet_hours")
    @classmethod
    def _check_hours(cls, text: str | None) -> str | None:
        if text is not None:
            parse_quiet_hours(text)
        return text

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file, and not both")
        return self

    def quiet(self) -> QuietHours | None:
        """Return the quiet hours, None where there are none."""
        return None if self.quiet_hours is None else parse_quiet_hours(self.quiet_hours)


class Notifier:
    """Sends alerts to one place, by apprise.

    Raises SettingsError where apprise is not installed, or does not know such an address.
    """

    def __init__(self, settings: NotifySettings, link: str | None) -> None:
        self._settings = settings
        self._link = link
        if importlib.util.find_spec("apprise") is None:
            raise SettingsError(
                "alerts.notify needs the package apprise",
                "pip install 'streamdrift[notify]', or leave alerts.notify out",
            )
        # It would log addresses, which are secrets.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        url = self._url()
        self._open(url)
        self.place = url.partition("://")[0]

    def _url(self) -> str:
        try:
            return read_secret(self._settings.url, self._settings.url_file) or ""
        except OSError as error:
            raise SettingsError(
                f"alerts.notify: {self._settings.url_file} cannot be read: {error.strerror}",
                "name a file that holds the address and that this user may read",
            ) from error

    def _open(self, url: str) -> Any:
        import apprise

        service = apprise.Apprise.instantiate(url)
        if service is None:
            schema = url.partition("://")[0] if "://" in url else "nothing"
            raise SettingsError(
                f"alerts.notify: apprise does not know an address that begins with {schema!r}, or "
                "finds a part of it missing",
                "apprise's documentation has the form of each service's",
            )
        return service

    def send(self, published: Published) -> Answer:
        """Send an alert; raises nothing."""
        try:
            title, body, kind = message_of(published, self._link)
        except Exception as error:  # What others write may be anything.
            return unreadable(error)
        try:
            taken = _deliver(self._open(self._url()), title, body, kind, published.incident)
        except SettingsError as error:
            return Answer(Verdict.FAILED, str(error))
        except Exception as error:  # Of a hundred services each has errors of its own.
            return Answer(Verdict.FAILED, type(error).__name__)
        return Answer(Verdict.TAKEN) if taken else Answer(Verdict.FAILED, "not taken")

    def close(self) -> None:
        """Do nothing: no connection is kept."""


def _deliver(service: Any, title: str, body: str, kind: str, incident: str) -> bool:
    """Hand a message to a service of apprise's; tell whether it was taken."""
    import apprise

    # Services cut or refuse what is too long for them, unless it is shortened before.
    if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
    if service.schema in _PAGERS:
        # One incident there as well, which the end of ours resolves.
        setattr(service, _PAGERS[service.schema], incident)
        service.action = "map"
    all_services = apprise.Apprise()
    all_services.add(service)
    # Of a single service it would convert nothing to the HTML or Markdown that it takes.
    return bool(
        all_services.notify(
            title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
        )
    )


def message_of(published: Published, link: str | None) -> tuple[str, str, str]:
    """Return title, body and kind of an alert's message."""
    over = not published.is_open
    state = "resolved" if over else published.severity
    data = published.event()["data"]
    lines = [published.summary]
    told = signal_lines(data, _SIGNALS)
    # Of one signal the sentence has it all.
    lines += [f"- {each}" for each in told] if len(told) > 1 else []
    lines += [f"{name}: {value}" for name, value in published.labels.items()]
    where = link_to(link, published)
    lines += [where] if where else [f"incident: {published.incident}"]
    title = f"[{state}] {published.subject}: {published.kind.replace('_', ' ')}"
    return title, "\n".join(lines), "success" if over else _KINDS[published.severity]
