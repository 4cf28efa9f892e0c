"""Settings of the exchange between workers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from streamdrift.durations import DAY, SECOND, Duration

LARGEST_FRAME = 10_000_000
"""Bytes one event may become at most; the topic is made so that it takes that."""
Role = Literal["ingest", "detect"]


class ExchangeSettings(BaseModel):
    """The topic over which workers send each other events; for `mode: distributed`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(
        "streamdrift.exchange",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic of the exchange: a partition for each shard, and one more.",
    )
    retention: Duration = Field(
        DAY,
        gt=0,
        description="How long the topic, when it is created, keeps what no worker has taken; "
        "what all snapshots are past is deleted before.",
    )


class WorkerSettings(BaseModel):
    """One worker of several; for `mode: distributed`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[Role, ...] = Field(
        ("ingest", "detect"),
        min_length=1,
        description="What this worker does: read the input (ingest), own shards (detect), or both.",
    )
    session: Duration = Field(
        10 * SECOND,
        ge=6 * SECOND,
        description="Time after which a worker that is silent loses its partitions to others.",
    )

    @field_validator("roles")
    @classmethod
    def _check_roles(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) < len(roles):
            raise ValueError("name each role once")
        return roles
