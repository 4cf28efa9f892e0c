"""From changes to alerts: which belong together, and what is told of them."""

from streamdrift.incidents.grouping import Incidents
from streamdrift.incidents.settings import IncidentSettings

__all__ = ["IncidentSettings", "Incidents"]
