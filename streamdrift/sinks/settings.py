"""Where alerts go: the topics, a file, and who is paged."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from streamdrift.durations import DAY, Duration

_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"


class AlertsSettings(BaseModel):
    """Where alerts are written: to a topic, and beside it to a file or the terminal."""

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
        None, description="File the alerts are appended to as well, one JSON object a line."
    )
    stdout: StrictBool = Field(
        False, description="Whether alerts are printed as well, as in the file."
    )
