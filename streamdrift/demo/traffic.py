"""Believable prediction traffic of two models, with drift injected at known times.

Rows are independent of one another, so that nothing but an injection is a change; the
volume follows a daily rhythm, pressed into the length of the demo.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection
from streamdrift.durations import SECOND
from streamdrift.records import Floats, Ints

Generator = np.random.Generator
Rows = dict[str, Any]

_VEHICLES = ["van", "bike", "car", "truck"]
_RHYTHM = 0.4
"""How far the volume swings about its mean."""
_TURNS = 40
"""Enough for the last bit: 0.4^40 is 1e-16."""
_BLOCK = 256
"""Events drawn together."""


def expected_events(seconds: Floats, rate: float, length: float) -> Floats:
    """Return how many events a model sent by each moment (seconds since the start).

    `rate` is the mean in events per second; a day's rhythm takes `length` seconds.
    """
    turn = 2 * np.pi / length
    swing: Floats = _RHYTHM / turn * (1 - np.cos(turn * seconds))
    return rate * (seconds + swing)


class Traffic:
    """One model's events: content by seed and ordinal, so the same whenever it is sent.

    Their ids count on from `first`.
    """

    def __init__(
        self,
        model: str,
        seed: int,
        rate: float,
        length: float,
        injections: tuple[Injection, ...],
        first: int = 0,
    ) -> None:
        self.model = model
        self._seed = seed
        self._rate = rate
        self._length = length
        self._first = first
        self._injections = tuple(each for each in injections if each.model == model)
        self._sent = 0
        self._drawn = 0
        self._ahead: list[bytes | None] = []

    def until(self, seconds: float, epoch: int) -> list[bytes]:
        """Return the events from the last call to a moment; `epoch` is the start's time (us)."""
        expected = expected_events(np.array([seconds]), self._rate, self._length)
        due = max(self._sent, int(expected[0]))
        while self._drawn < due:
            self._ahead += self._draw(epoch)
        events, self._ahead = self._ahead[: due - self._sent], self._ahead[due - self._sent :]
        self._sent = due
        return [event for event in events if event is not None]

    def _draw(self, epoch: int) -> list[bytes | None]:
        """Return the next block of events, None where the traffic stops.

        A block has a generator of its own, and is drawn at once: chance knows nothing of
        when somebody asked.
        """
        ordinals = np.arange(self._drawn, self._drawn + _BLOCK, dtype=np.float64)
        random = np.random.default_rng([self._seed, _MODELS.index(self.model), self._drawn])
        self._drawn += _BLOCK
        moments = _moments(ordinals + 0.5, self._rate, self._length)
        rows = _DRAW[self.model](random, _BLOCK)
        stay = np.ones(_BLOCK, dtype=np.bool_)
        for injection in self._injections:
            within = (moments >= injection.begin) & (moments < injection.end)
            if within.any():
                progress = (moments[within] - injection.begin) / (injection.end - injection.begin)
                change = _CHANGES.get(injection.name)
                if change is None:
                    stay &= ~within
                else:
                    change(_Within(random, rows, np.flatnonzero(within), progress))
        times = epoch + (moments * SECOND).astype(np.int64)
        return [
            _event(self.model, self._first + int(ordinals[place]), int(times[place]), rows, place)
            if stay[place]
            else None
            for place in range(_BLOCK)
        ]


def _moments(events: Floats, rate: float, length: float) -> Floats:
    """Return the moments (seconds) at which so many events are expected to be sent.

    The inverse of `expected_events`, by iteration: each turn cuts the error to _RHYTHM of it.
    """
    turn = 2 * np.pi / length
    moments: Floats = events / rate
    for _ in range(_TURNS):
        moments = events / rate - _RHYTHM / turn * (1 - np.cos(turn * moments))
    return moments


def _event(model: str, ordinal: int, time: int, rows: Rows, place: int) -> bytes:
    prediction: object = rows["prediction"][place]
    if model == FRAUD and prediction is not None:
        prediction = {"score": prediction, "label": rows["label"][place]}
    return orjson.dumps(
        {
            "event_id": f"{model}-{ordinal}",
            "model": model,
            "version": "1",
            "timestamp": time / SECOND,
            "features": {name: rows["features"][name][place] for name in rows["features"]},
            "prediction": prediction,
            "latency_ms": rows["latency_ms"][place],
        }
    )


def _rounded(values: Floats, digits: int = 3) -> list[float | None]:
    return list(np.round(values, digits).tolist())


def _with_missing(random: Generator, values: list[Any], rate: float) -> list[Any]:
    for place in np.flatnonzero(random.random(len(values)) < rate).tolist():
        values[place] = None
    return values


def _draw_payments(random: Generator, size: int) -> Rows:
    """Draw events of a payment-fraud classifier: heavy tails, and features that move together."""
    common = random.normal(size=size)
    amount = np.exp(3.2 + 0.7 * common + 0.7 * random.normal(size=size))
    distance = np.exp(1.5 + 0.6 * common + random.normal(size=size))
    velocity = 5 + 0.5 * common + random.normal(size=size)
    new_device = random.random(size) < 0.12
    logit = -4 + 0.7 * common + 1.5 * new_device + 0.8 * random.normal(size=size)
    features: Mapping[str, list[Any]] = {
        "amount": _rounded(amount, 2),
        "distance_km": _rounded(distance),
        "velocity": _rounded(velocity),
        "account_days": _rounded(random.gamma(2, 200, size), 0),
        "items": random.poisson(2.5, size).tolist(),
        "age": _with_missing(random, random.integers(18, 90, size).tolist(), 0.03),
        "country": random.choice(
            ["DE", "FR", "NL", "IT", "PL", "CZ"], size, p=[0.4, 0.2, 0.15, 0.12, 0.08, 0.05]
        ).tolist(),
        "device": random.choice(["ios", "android", "web"], size, p=[0.45, 0.4, 0.15]).tolist(),
        "new_device": new_device.tolist(),
        "card": [f"c-{number:015x}" for number in random.integers(0, 2**60, size).tolist()],
    }
    return {"features": features, "logit": logit} | _scored(logit) | _latency(random, size)


def _scored(logit: Floats) -> Rows:
    score = 1 / (1 + np.exp(-logit))
    return {
        "prediction": _rounded(score, 5),
        "label": np.where(score > 0.2, "review", "ok").tolist(),
    }


def _draw_deliveries(random: Generator, size: int) -> Rows:
    """Draw events of a regression of delivery times."""
    common = random.normal(size=size)
    distance = 8 + 2 * common + random.gamma(2, 1.5, size)
    weight = np.exp(0.5 + random.standard_t(5, size) * 0.5)
    stops = random.poisson(6, size)
    minutes = 12 + 2.2 * distance + 1.5 * stops + random.normal(0, 4, size)
    features: Mapping[str, list[Any]] = {
        "distance_km": _rounded(distance),
        "weight_kg": _rounded(weight),
        "stops": stops.tolist(),
        "temperature": _with_missing(random, _rounded(random.normal(12, 6, size), 1), 0.01),
        "vehicle": random.choice(_VEHICLES, size, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "zone": random.choice([f"z{i}" for i in range(12)], size).tolist(),
    }
    prediction = _with_missing(random, _rounded(minutes, 2), 0.002)
    return {"features": features, "prediction": prediction} | _latency(random, size)


def _latency(random: Generator, size: int) -> Rows:
    return {"latency_ms": _rounded(np.exp(1.2 + 0.3 * random.normal(size=size)), 2)}


@dataclass(frozen=True, slots=True)
class _Within:
    """The rows within an injection: their places, and how far it was at each (0 to 1)."""

    random: Generator
    rows: Rows
    places: Ints
    progress: Floats

    def numbers(self, name: str) -> Floats:
        column = self.rows["features"][name]
        return np.array([column[place] for place in self.places.tolist()], dtype=np.float64)

    def set(self, name: str, values: Iterable[object]) -> None:
        column = self.rows["features"][name]
        for place, value in zip(self.places.tolist(), values, strict=True):
            column[place] = value

    def chosen(self, share: float) -> list[int]:
        """Return that share of the places, drawn at random."""
        chosen: list[int] = self.places[self.random.random(len(self.places)) < share].tolist()
        return chosen


def _mean_shift(within: _Within) -> None:
    within.set("amount", _rounded(within.numbers("amount") * 2.5, 2))


def _gradual_shift(within: _Within) -> None:
    shifted = within.numbers("distance_km") + 5 * within.progress
    within.set("distance_km", _rounded(shifted))


def _wider_spread(within: _Within) -> None:
    within.set("velocity", _rounded(5 + 2.5 * (within.numbers("velocity") - 5)))


def _category_shift(within: _Within) -> None:
    shares = [0.25, 0.15, 0.25, 0.35]
    drawn = within.random.choice(_VEHICLES, len(within.places), p=shares)
    within.set("vehicle", drawn.tolist())


def _new_category(within: _Within) -> None:
    for place in within.chosen(0.15):
        within.rows["features"]["country"][place] = "XK"


def _missing_rises(within: _Within) -> None:
    for place in within.chosen(0.35):
        within.rows["features"]["temperature"][place] = None


def _type_break(within: _Within) -> None:
    column = within.rows["features"]["account_days"]
    for place in within.chosen(0.5):
        column[place] = str(column[place])


def _score_shift(within: _Within) -> None:
    shifted = _scored(within.rows["logit"][within.places] + 1.5)
    for row, place in enumerate(within.places.tolist()):
        within.rows["prediction"][place] = shifted["prediction"][row]
        within.rows["label"][place] = shifted["label"][row]


def _null_outputs(within: _Within) -> None:
    for place in within.chosen(0.4):
        within.rows["prediction"][place] = None


_MODELS = (FRAUD, DELIVERY)
_DRAW: Mapping[str, Callable[[Generator, int], Rows]] = {
    FRAUD: _draw_payments,
    DELIVERY: _draw_deliveries,
}
_CHANGES: Mapping[str, Callable[[_Within], None]] = {
    "sudden mean shift": _mean_shift,
    "gradual mean shift": _gradual_shift,
    "wider spread": _wider_spread,
    "category shift": _category_shift,
    "new category": _new_category,
    "missing values": _missing_rises,
    "type break": _type_break,
    "score shift": _score_shift,
    "null outputs": _null_outputs,
}
"""What an injection does to the rows; one that is not here stops the traffic."""
