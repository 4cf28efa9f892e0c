"""Settings of incidents."""

from pydantic import BaseModel, ConfigDict, Field

from streamdrift.durations import SECOND, Duration


class IncidentSettings(BaseModel):
    """Which changes belong together, and how grave they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gather: Duration = Field(
        SECOND,
        gt=0,
        description="Event time for which further changes of a model version join the first, "
        "before the incident is published.",
    )
    persist_after: Duration = Field(
        3_600 * SECOND,
        description="Event time after which an incident that is still open is graver by one "
        "severity; 0: never.",
    )
    warning_effect: float = Field(
        0.3, ge=0, description="Effect, in standard deviations, from which a drift is a warning."
    )
    critical_effect: float = Field(
        1.0, ge=0, description="Effect, in standard deviations, from which a drift is critical."
    )
    warning_rate: float = Field(
        0.02, ge=0, description="Rise of a trouble's rate (missing, null, ...) that is a warning."
    )
    critical_rate: float = Field(
        0.2, ge=0, description="Rise of a trouble's rate (missing, null, ...) that is critical."
    )
