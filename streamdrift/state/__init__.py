"""Remember and recover: snapshots, the journal, and who may write them."""

from pydantic import BaseModel, ConfigDict, Field

from streamdrift.state.codec import decode, encode
from streamdrift.state.journal import Published
from streamdrift.state.ownership import Ownership
from streamdrift.state.snapshots import Saved
from streamdrift.state.store import Stored, TopicStore

__all__ = [
    "Ownership",
    "Published",
    "Saved",
    "StateSettings",
    "Stored",
    "TopicStore",
    "decode",
    "encode",
]


class StateSettings(BaseModel):
    """Where the state is kept. Several deployments may share the topics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(
        "streamdrift.state",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Compacted topic of the snapshots.",
    )
    journal: str = Field(
        "streamdrift.journal",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic of the journal; not compacted, kept as long as the inputs.",
    )
    bytes_per_second: int = Field(
        5_000_000,
        ge=1_000,
        description="Snapshots of shards are spaced so as to write no more than this.",
    )
