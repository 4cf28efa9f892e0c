"""Settings of the event order."""

from pydantic import BaseModel, ConfigDict, Field

from streamdrift.durations import SECOND, Duration


class OrderingSettings(BaseModel):
    """How event times are believed, and how far partitions may run apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_skew: Duration = Field(
        3600 * SECOND,
        description="A jump of event time ahead of more than this is not believed until 100 "
        "events of the partition in a row agree.",
    )
    max_pending: int = Field(
        200_000,
        gt=0,
        description="Events of one partition that may wait for slower partitions before its "
        "reading is paused.",
    )
    idle_after: Duration = Field(
        5 * SECOND,
        description="A partition read to its end and silent for this long no longer holds the "
        "others back.",
    )
