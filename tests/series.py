"""Series for detector tests, and running banks over them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from streamdrift.detectors import Bank, DetectorSettings, Expected, make_bank
from streamdrift.records import Floats, Stream

DATA = Path(__file__).parent / "golden" / "data"


def recorded_series(name: str) -> Iterator[tuple[str, Floats]]:
    """Yield every numeric series of a data set, as raw float64 without missing values."""
    table = parquet.read_table(DATA / f"{name}.parquet")
    kinds = next((field for field in ("series", "stream") if field in table.column_names), None)
    parts = {"": table}
    if kinds is not None:
        parts = {
            key: table.filter(compute.equal(table[kinds], key))
            for key in compute.unique(table[kinds]).to_pylist()
        }
    for part, rows in parts.items():
        for field in rows.schema:
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
                values = rows[field.name].to_numpy().astype(np.float64)
                yield f"{name} {part} {field.name}", values[np.isfinite(values)]
            elif pa.types.is_boolean(field.type):
                yield f"{name} {field.name}", rows[field.name].to_numpy().astype(np.float64)


def single(settings: DetectorSettings, scale: float = 1.0, run_length: float = 1e5) -> Bank:
    """Return a bank of one slot, for numbers of a standard deviation."""
    expected = Expected(Stream.NUMERIC, scale=scale)
    return make_bank(settings, [expected], np.full(1, run_length))


def alarms(bank: Bank, values: Sequence[float] | Floats) -> list[int]:
    """Return every index at which slot 0 alarms, going on after each without a reset."""
    row = np.array(values, dtype=np.float64).reshape(1, -1)
    place, start = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    found = []
    while start[0] < row.shape[1]:
        alarm = int(bank.update(row, place, start)[0])
        if alarm < row.shape[1]:
            found.append(alarm)
        start[0] = alarm + 1
    return found


def moving_series(seed: int, length: int = 4_000) -> Floats:
    """Return noise around a mean that jumps at random times, at a random scale."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.uniform(-3, 6)
    kind = seed % 4
    noise = (
        random.normal(0, 1, length),
        random.lognormal(0, 1, length),
        (random.random(length) < random.random()).astype(np.float64),
        random.integers(0, 5, length).astype(np.float64),
    )[kind]
    jumps = np.repeat(random.normal(0, 10.0 ** random.uniform(-2, 2), 8), length // 8)
    return np.asarray((noise + (0 if kind == 2 else jumps)) * scale)
