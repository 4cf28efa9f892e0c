"""The tree of settings: each section is defined beside what it sets, and composed here."""

import fnmatch
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streamdrift.config.layers import merge
from streamdrift.config.mistakes import secret
from streamdrift.durations import SECOND, Duration
from streamdrift.exchange.settings import ExchangeSettings, WorkerSettings
from streamdrift.gateway.settings import GatewaySettings
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.shards import MAX_SHARDS
from streamdrift.operators import CommandsSettings
from streamdrift.ordering import OrderingSettings
from streamdrift.sinks.endpoint import origin_of
from streamdrift.sinks.settings import AlertsSettings
from streamdrift.sources import SourceSettings
from streamdrift.state import StateSettings
from streamdrift.web.settings import HttpSettings

EVERY_MODEL = "*"
_NAME = r"^[a-zA-Z0-9._-]{1,80}$"
_OWN_TOPICS = (
    *("source.dead_letters", "alerts.topic", "alerts.incidents"),
    *("state.topic", "state.journal", "exchange.topic", "commands.topic"),
)
_INSTANCE = r"[a-zA-Z0-9._-]{1,80}"


class TopicsSettings(BaseModel):
    """What streamdrift does about topics that are missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    create: StrictBool = Field(True, description="Whether missing topics are created at start.")


class Settings(BaseModel):
    """Everything that can be set; every key has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        "streamdrift",
        pattern=_NAME,
        description="Name of the deployment: prefix of its topics, and the alerts' source.",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="Name of this process, unique in the deployment; the host's name if unset.",
    )
    kafka: KafkaSettings = Field(KafkaSettings(), description="The connection to the broker.")
    source: SourceSettings = Field(SourceSettings(), description="The topics read, and how.")
    alerts: AlertsSettings = Field(
        AlertsSettings(), validate_default=True, description="Where alerts go."
    )
    models: Mapping[str, ModelSettings] = Field(
        default_factory=dict,
        description="What is watched, by model name or pattern; all entries lie over `*`.",
    )
    ordering: OrderingSettings = Field(
        OrderingSettings(), description="How partitions become one ordered stream."
    )
    state: StateSettings = Field(
        StateSettings(), validate_default=True, description="What is remembered, and where."
    )
    mode: Literal["standalone", "distributed"] = Field(
        "standalone", description="One process that reads every partition, or several workers."
    )
    exchange: ExchangeSettings = Field(
        ExchangeSettings(), validate_default=True, description="Between workers."
    )
    commands: CommandsSettings = Field(
        CommandsSettings(), validate_default=True, description="What operators ask for."
    )
    worker: WorkerSettings = Field(WorkerSettings(), description="What this worker does.")
    shards: int = Field(
        16,
        ge=1,
        le=MAX_SHARDS,
        description="Parts of the state, each with some of the models, that are written by "
        "turns; `streamdrift state reshard` changes the number where there is state.",
    )
    guarantee: Literal["auto", "exactly_once", "at_least_once"] = Field(
        "auto",
        description="Whether a crash may repeat alerts (with the same ids); `auto` is "
        "exactly_once on brokers that keep to transactions.",
    )
    commit_interval: Duration = Field(
        SECOND, gt=0, description="Time between two commits of state, positions and alerts."
    )
    shutdown_timeout: Duration = Field(
        30 * SECOND, gt=0, description="Time to commit and leave after SIGTERM or SIGINT."
    )
    http: HttpSettings = Field(HttpSettings(), description="The API, metrics and health.")
    gateway: GatewaySettings = Field(
        GatewaySettings(), description="What `streamdrift gateway` takes, and where it goes."
    )
    topics: TopicsSettings = Field(TopicsSettings(), description="The topics streamdrift uses.")

    # By the entries of `models` that lie over one another: at most one per set of entries.
    _overlaid: dict[tuple[str, ...], ModelSettings] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_topics(cls, values: object) -> object:
        """Give topics that are not named the deployment's name as their prefix."""
        name = values.get("name") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not re.fullmatch(_NAME, str(name or "")):
            return values
        named = {
            "alerts": {"topic": f"{name}.alerts", "incidents": f"{name}.incidents"},
            "state": {"topic": f"{name}.state", "journal": f"{name}.journal"},
            "source": {"dead_letters": f"{name}.dead-letters"},
            "exchange": {"topic": f"{name}.exchange"},
            "commands": {"topic": f"{name}.commands"},
        }
        return merge(named, values)

    @field_validator("source", "alerts", "state", "exchange", "commands")
    @classmethod
    def _check_topics(cls, section: BaseModel, info: ValidationInfo) -> BaseModel:
        """Refuse a topic of this section that is an input, or has another use already."""
        known = {**info.data, str(info.field_name): section}
        inputs = known["source"].predictions if "source" in known else ()
        uses = {entry.name: f"source.predictions[{at}]" for at, entry in enumerate(inputs)}
        for key, topic in _own_topics(known):
            if topic in uses and key.startswith(f"{info.field_name}."):
                raise ValueError(
                    f"{key} is the topic {topic!r}, and so is {uses[topic]}: "
                    "give one of them another name"
                )
            uses[topic] = key
        return section

    @model_validator(mode="after")
    def _check_distributed(self) -> Self:
        if self.mode == "standalone":
            return self
        if self.guarantee == "at_least_once":
            raise ValueError(
                "mode: distributed works on transactions alone: set guarantee to auto or "
                "exactly_once, or mode to standalone"
            )
        if not re.fullmatch(_INSTANCE, self.instance):
            raise ValueError(
                f"instance is {self.instance!r}: with mode: distributed it may have letters, "
                "digits, dots, dashes and underscores, 80 at most"
            )
        return self

    def own_topics(self) -> Mapping[str, str]:
        """Return the topics the deployment writes to, by the key that names each."""
        return dict(_own_topics(dict(self)))

    def model(self, name: str) -> ModelSettings:
        """Return a model's settings: `*`, then matching patterns, then its own entry.

        Later ones lie over earlier ones key by key; a key that none gives has its default.
        """
        entries = (
            *(entry for entry in (EVERY_MODEL,) if entry in self.models),
            *(entry for entry in self.models if _matches(entry, name)),
            *(entry for entry in (name,) if entry in self.models and name != EVERY_MODEL),
        )
        found = self._overlaid.get(entries)
        if found is None:
            merged: dict[str, object] = {}
            for entry in entries:
                merged = merge(merged, self.models[entry].model_dump(exclude_unset=True))
            found = self._overlaid[entries] = ModelSettings.model_validate(merged)
        return found

    def shown(self) -> dict[str, Any]:
        """Return the settings as plain values that may be printed: secrets are hidden.

        Entries of `models` are shown as they take effect, with all that lies below them.
        """
        values = self.model_dump(mode="json")
        values["models"] = {
            name: self.model(name).model_dump(mode="json")
            for name in dict.fromkeys([EVERY_MODEL, *self.models])
        }
        hidden = _hide(values)
        assert isinstance(hidden, dict)
        return hidden

    def text(self) -> str:
        """Return the settings as YAML, secrets hidden."""
        return yaml.safe_dump(self.shown(), sort_keys=False, allow_unicode=True, width=100)


def _own_topics(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield key and name of the topics that the `sections` at hand let the deployment write to."""
    for key in _OWN_TOPICS:
        section, _, name = key.partition(".")
        if section in sections:
            yield key, getattr(sections[section], name)


def _matches(pattern: str, name: str) -> bool:
    """Tell whether an entry of `models` other than `*` and the model's own is a pattern for it."""
    return pattern not in (EVERY_MODEL, name) and fnmatch.fnmatchcase(name, pattern)


def _hide(value: object, name: str = "") -> object:
    if isinstance(value, Mapping):
        return {key: _hide(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, name) for item in value]
    if name == "url" and isinstance(value, str):
        origin = origin_of(value)
        return value if value.rstrip("/") == origin else f"{origin}/**********"
    return "**********" if secret(name) and value not in (None, "") else value
