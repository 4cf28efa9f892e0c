"""The settings of a deployment.

They come from a YAML file, from the environment (`STREAMDRIFT_KAFKA__BOOTSTRAP_SERVERS`) and
from `--set kafka.bootstrap_servers=...`; the later of these wins, key by key, and everything
has a default. A section is defined beside what it sets.
"""

from streamdrift.config.loading import load_settings, settings_schema
from streamdrift.config.settings import Settings, TopicsSettings

__all__ = ["Settings", "TopicsSettings", "load_settings", "settings_schema"]
