"""Where alerts go: the topics, a file, and who is paged."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from streamdrift.durations import DAY, SECOND, Duration
from streamdrift.sinks.alertmanager import AlertmanagerSettings
from streamdrift.sinks.links import checked_link
from streamdrift.sinks.notify import NotifySettings
from streamdrift.sinks.webhook import WebhookSettings

_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"


class AlertsSettings(BaseModel):
    """Where alerts are written, and who is paged: from the topic, by what follows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field("streamdrift.alerts", pattern=_TOPIC, description="Topic of the alerts.")
    incidents: str = Field(
        "streamdrift.incidents",
        pattern=_TOPIC,
        description="Compacted topic of the latest alert of each incident.",
    )
    keep_resolved: Duration = Field(
        30 * DAY,
        gt=0,
        description="How long that topic has incidents after they were resolved; 64 MB at most.",
    )
    file: Path | None = Field(
        None,
        description="File the alerts are appended to as well, one JSON object a line. It is part "
        "of each commit: where it cannot be written, the process ends, and nothing is lost.",
    )
    stdout: StrictBool = Field(
        False, description="Whether alerts are printed as well, as in the file."
    )
    alertmanager: AlertmanagerSettings | None = Field(
        None, description="Alertmanager, which incidents are sent to while they last."
    )
    webhook: WebhookSettings | None = Field(
        None, description="A server that every alert is posted to."
    )
    notify: tuple[NotifySettings, ...] = Field(
        (), max_length=50, description="Chats, pagers and mail boxes that people are told in."
    )
    page_within: Duration = Field(
        600 * SECOND,
        gt=0,
        description="An alert that is published later than this after its time is history: nobody "
        "is paged before the service has caught up, and only of what is open still.",
    )
    link: str | None = Field(
        None,
        description="Where people find more: an address with {incident}, {model} or {version}.",
    )

    @field_validator("link")
    @classmethod
    def _check_link(cls, link: str | None) -> str | None:
        return checked_link(link)

    @field_validator("notify")
    @classmethod
    def _check_names(cls, notify: tuple[NotifySettings, ...]) -> tuple[NotifySettings, ...]:
        names = [each.name or str(number) for number, each in enumerate(notify, 1)]
        if len(set(names)) < len(names):
            raise ValueError("give each entry of notify another name")
        return notify
