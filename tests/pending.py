"""Predictions that wait for labels: a keyed table of them, its log, and what it should be."""

from typing import cast

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from streamdrift.records import Ids, State
from streamdrift.state import decode, encode
from streamdrift.state.log import MemoryLog
from streamdrift.state.segments import Rows
from streamdrift.state.table import TableLog
from tests.hash_table import HashTable

COLUMNS = {"score": np.float64, "label": np.int32, "time": np.int64}
ROW_BYTES = 28
SLACK_BYTES = 10_000


Content = dict[int, tuple[float, ...]]
"""Rows by their keys."""


class Oracle:
    """What a table should be: a dict."""

    def __init__(self) -> None:
        self.content: Content = {}

    def put(self, rows: Rows) -> None:
        self.content.update(_content(rows))

    def delete(self, keys: Ids) -> None:
        for key in keys.tolist():
            self.content.pop(key, None)


def content_of(table: HashTable) -> Content:
    """Return all rows of a table."""
    return _content(table.rows())


def _content(rows: Rows) -> Content:
    values = (rows.columns[name].tolist() for name in COLUMNS)
    return dict(zip(rows.keys.tolist(), zip(*values, strict=True), strict=True))


def make_rows(numbers: ArrayLike, seed: int = 0) -> Rows:
    """Return rows of the keys with some numbers, with other values for each seed."""
    random, keys = np.random.default_rng(seed), make_keys(numbers)
    size = len(keys)
    columns: dict[str, NDArray[np.generic]] = {
        "score": random.normal(size=size),
        "label": random.integers(0, 9, size, dtype=np.int32),
        "time": random.integers(0, 1 << 60, size),
    }
    return Rows(keys, columns)


def make_keys(numbers: ArrayLike) -> Ids:
    """Return keys all over uint64, as hashes are; 0 is one of them."""
    return np.asarray(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def take_step(table: HashTable | Oracle, step: int, keys: int = 2_000) -> None:
    """Put and delete some keys, as step says: new ones, old ones, the same ones twice."""
    random = np.random.default_rng(step)
    table.delete(make_keys(random.choice(keys, random.integers(0, keys // 8))))
    for _ in range(2):
        changed = random.choice(keys, random.integers(0, keys // 8), replace=False)
        table.put(make_rows(changed, step))
        table.delete(make_keys(random.choice(changed, len(changed) // 3)))


def open_log(log: MemoryLog, deployment: str = "one", name: str = "pending") -> TableLog:
    """Return the log of a table that nobody has opened yet."""
    return TableLog(log, deployment, "state", name, COLUMNS)


def loaded(log: MemoryLog, head: State | None) -> Content:
    """Return what a start finds, by a head as a snapshot keeps it."""
    table = HashTable(COLUMNS)
    open_log(log).load(head and cast(State, decode(encode({"head": head}))["head"]), table)
    return content_of(table)


def started(log: MemoryLog) -> tuple[TableLog, HashTable]:
    """Return an empty table and its log, as a first start finds them."""
    table_log, table = open_log(log), HashTable(COLUMNS)
    table_log.load(None, table)
    return table_log, table


def compact(log: MemoryLog) -> None:
    """Leave of each key the last record, where it stands, and no deletion."""
    records = log.records.get("state", [])
    last = {key: offset for offset, (key, _) in enumerate(records)}
    for offset, (key, value) in enumerate(records):
        if last[key] != offset or value is None:
            records[offset] = ("", None)


def sizes(log: MemoryLog) -> list[int]:
    """Return how many bytes each segment in the topic has."""
    return [len(value) for key, value in log.records["state"] if "/table/" in key and value]


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments, and what is done once there are many, small."""
    monkeypatch.setattr("streamdrift.state.segments.CHUNK_BYTES", 10_000)
    monkeypatch.setattr("streamdrift.state.segments.SMALL_BYTES", 1_250)
    monkeypatch.setattr("streamdrift.state.table.SLACK_BYTES", SLACK_BYTES)
    monkeypatch.setattr("streamdrift.state.table._SMALL_SEGMENTS", 8)
