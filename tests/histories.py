"""Histories with drift, as files."""

import json
import random
from pathlib import Path
from typing import Any

from streamdrift.config import Settings, load_settings

START = 1_767_225_600
HOSTILE = "\"><script>stolen=1</script><img src=x onerror='stolen=1'>{{ 7*7 }}&amp;"
"""A name that wants to be more than text."""


def settings(*assignments: str) -> Settings:
    return load_settings(None, ["models.*.reference.events=500", *assignments], {})


def write_history(
    path: Path,
    *,
    count: int = 3_000,
    shift_at: int = 1_500,
    model: str = "fraud",
    feature: str = "amount",
    level: str = "BR",
    others: int = 0,
) -> Path:
    """Write JSON Lines of one model: a number that shifts, a category with a new `level` then.

    `others` are further numbers, which stay as they are.
    """
    draw = random.Random(5)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            shifted = i >= shift_at
            features: dict[str, Any] = {feature: draw.gauss(3 if shifted else 0, 1)}
            features["country"] = draw.choice(["DE", "FR", level] if shifted else ["DE", "FR"])
            features |= {f"other_{k}": draw.gauss(0, 1) for k in range(others)}
            event = {
                "model": model,
                "version": "3",
                "timestamp": START + i,
                "features": features,
                "prediction": draw.random(),
            }
            file.write(json.dumps(event) + "\n")
    return path
