"""Events of 414 bytes: 16 numeric and 4 categorical features, and a score."""

from collections.abc import Iterator

import numpy as np
import orjson

NUMERIC = tuple(f"n{place:02d}" for place in range(16))
CATEGORICAL = tuple(f"c{place}" for place in range(4))
SIZE = 414
_LEVELS = np.array(["alpha", "beta", "gamma", "delta", "omega"])
_CHUNK = 10_000


def events(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield `count` events that do not drift, each padded to SIZE bytes."""
    random = np.random.default_rng(seed)
    for first in range(0, count, _CHUNK):
        size = min(_CHUNK, count - first)
        numbers = np.round(random.normal(100, 15, (size, len(NUMERIC))), 4).tolist()
        levels = _LEVELS[random.integers(0, len(_LEVELS), (size, len(CATEGORICAL)))].tolist()
        scores = np.round(random.random(size), 6).tolist()
        for row in range(size):
            features = dict(zip(NUMERIC, numbers[row], strict=True))
            features |= dict(zip(CATEGORICAL, levels[row], strict=True))
            event = {
                "event_id": f"e-{first + row}",
                "model": "fraud",
                "version": "3",
                "timestamp": 1_795_000_000 + (first + row) / 1_000,
                "features": features,
                "prediction": {"score": scores[row]},
            }
            text = orjson.dumps(event)
            # White space between values is JSON too: it makes every event equally long.
            yield text[:-1] + b" " * (SIZE - len(text)) + b"}"
