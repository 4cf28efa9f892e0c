"""Alerts as CloudEvents 1.0 in structured JSON."""

from collections.abc import Mapping

from streamdrift.records import Alert
from streamdrift.times import rfc3339

TYPE_PREFIX = "io.streamdrift.incident"


def encode(alert: Alert, deployment: str) -> Mapping[str, object]:
    """Return an alert as the JSON object of a CloudEvent.

    `subject` is `model/version`, or the model alone for what belongs to no version;
    `partitionkey` (of the partitioning extension) is the model, and `sequence` (of the
    sequence extension) the alert's number among the model's.
    """
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": alert.id,
        "source": deployment,
        "type": f"{TYPE_PREFIX}.{alert.type}.v1",
        "time": rfc3339(alert.time),
        "datacontenttype": "application/json",
    }
    # The specification wants attributes to be left out rather than empty.
    if alert.model:
        event["subject"] = f"{alert.model}/{alert.version}" if alert.version else alert.model
        event["partitionkey"] = alert.model
    event["sequence"] = f"{alert.number:012d}"
    return event | {"data": alert.data}
