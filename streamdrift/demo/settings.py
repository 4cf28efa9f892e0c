"""The demo's own settings: short references and pauses, as everything happens in a minute."""

from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.models.settings import ModelSettings
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings

EVENTS = 180_000
"""Events of a demo, over both models, however long it takes."""
_REFERENCE = 4_000
_ALLOWANCE = 0.025
"""Share of the demo's length that counts as silence."""


def rate(seconds: float) -> float:
    """Return a model's mean events per second."""
    return EVENTS / 2 / seconds


def model_settings(seconds: float, *, detect: bool = True) -> ModelSettings:
    """Return how the demo's models are watched."""
    settings = ModelSettings(
        reference=ReferenceSettings(events=_REFERENCE),
        silence=SilenceSettings(at_least=int(_ALLOWANCE * seconds * SECOND)),
        labels={"owner": "demo"},
    )
    if detect:
        return settings
    off = SilenceSettings(enabled=False)
    return settings.model_copy(update={"detectors": (), "silence": off})


def demo_settings(
    name: str, bootstrap_servers: str, seconds: float, *, detect: bool = True
) -> Settings:
    """Return the settings of a demo's deployment; all its topics begin with `name`."""
    return Settings.model_validate(
        {
            "name": name,
            "kafka": {"bootstrap_servers": bootstrap_servers},
            "source": {"predictions": [f"{name}-predictions"]},
            "alerts": {"topic": f"{name}-alerts"},
            "state": {"topic": f"{name}-state", "journal": f"{name}-journal"},
            "ordering": {"idle_after": "500ms"},
            "http": {"bind": None},
            "guarantee": "at_least_once",
        }
        | {"models": {"*": model_settings(seconds, detect=detect)}}
    )
