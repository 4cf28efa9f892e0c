from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import pytest

from streamdrift.errors import StateError
from streamdrift.records import State
from streamdrift.state import TopicStore, encode
from streamdrift.state.log import MemoryLog
from streamdrift.state.store import CHUNK_BYTES
from streamdrift.state.table import TableLog
from tests.hash_table import HashTable
from tests.pending import (
    COLUMNS,
    ROW_BYTES,
    SLACK_BYTES,
    Content,
    Oracle,
    compact,
    content_of,
    loaded,
    make_keys,
    make_rows,
    open_log,
    shrink,
    sizes,
    started,
    take_step,
)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("keys", [30, 2_000])
def test_every_commit_is_loaded_as_it_was_and_so_is_the_one_before(keys: int) -> None:
    log, oracle = MemoryLog(), Oracle()
    table_log, table = started(log)
    heads: list[State | None] = [None]
    contents: list[Content] = [{}]
    for step in range(120):
        for each in (table, oracle):
            take_step(each, step, keys)
        heads.append(table_log.write(table))
        contents.append(dict(oracle.content))
        log.flush()
        compact(log)
        assert content_of(table) == contents[-1]
        for head, content in zip(heads[-2:], contents[-2:], strict=True):
            assert loaded(log, head) == content
    assert log.appended > len(sizes(log)) + 100, "segments were dropped"


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("keys", [30, 2_000])
def test_a_table_goes_on_from_a_load_at_every_commit(keys: int) -> None:
    """Small segments delete keys, if there are few, that were put into a large one at first."""
    log, oracle = MemoryLog(), Oracle()
    table_log, table = started(log)
    for each in (table, oracle):
        each.put(make_rows(range(500)))
    head = table_log.write(table)
    log.flush()
    for step in range(60):
        table_log, table = open_log(log), HashTable(COLUMNS)
        table_log.load(head, table)
        assert content_of(table) == oracle.content
        for each in (table, oracle):
            take_step(each, step, keys)
        head = table_log.write(table)
        log.flush()
        compact(log)


def _any(step: int) -> Sequence[int]:
    return cast(Sequence[int], np.random.default_rng(step).choice(20_000, 400, replace=False))


_CHANGES: Mapping[str, Callable[[int], tuple[Sequence[int], Sequence[int]]]] = {
    "put all again": lambda step: (range(20_000), ()),
    "put the same": lambda step: (range(400), ()),
    "put any": lambda step: (_any(step), ()),
    "put one": lambda step: ([step % 7], ()),
    "come and go": lambda step: (
        range(20_000 + 400 * step, 20_400 + 400 * step),
        range(16_000 + 400 * step, 16_400 + 400 * step),
    ),
    "delete any": lambda step: ((), _any(step)),
    "delete all": lambda step: ((), range(20_000)),
}
"""Which keys are put, and which deleted, by step."""


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("name", _CHANGES)
def test_topic_and_writes_are_bounded_by_the_table_and_its_changes(name: str) -> None:
    log = MemoryLog()
    table_log, table = started(log)
    put: Sequence[int] = range(20_000)
    delete: Sequence[int] = ()
    written = changed = 0
    lives = [0, 0]
    for step in range(300):
        table.put(make_rows(put, step))
        table.delete(make_keys(delete))
        changed += len(put) + len(delete)
        head = table_log.write(table)
        log.flush()
        compact(log)
        # What the head dropped stays for the slot before, and deletions for one more.
        lives.append(len(table))
        live = max(lives[-3:]) * ROW_BYTES
        assert sum(sizes(log)) < 3.2 * live + 2 * SLACK_BYTES
        assert len(sizes(log)) < 3 * 8 + sum(sizes(log)) / 1_250
        # Each change pays for one row more; frames, and the joining of the small, come besides.
        written += table_log.written
        assert written < 2 * changed * ROW_BYTES + 300 * step
        at_once = 2 * (len(put) + len(delete)) * ROW_BYTES
        assert table_log.written < 1.1 * at_once + 10_000 + 8 * 1_250
        put, delete = _CHANGES[name](step)
    assert len(loaded(log, head)) == len(table)


def test_a_commit_is_as_large_as_its_change() -> None:
    lengths = []
    for rows in (1_000, 100_000):
        table_log, table = started(MemoryLog())
        table.put(make_rows(range(rows)))
        table_log.write(table)
        assert table_log.written > rows * ROW_BYTES
        table.put(make_rows(range(500, 600)))
        table.delete(make_keys(range(50)))
        table_log.write(table)
        lengths.append(table_log.written)
    assert max(lengths) < 100 * ROW_BYTES + 50 * 8 + 400
    assert max(lengths) - min(lengths) < 10


def test_what_comes_and_goes_between_two_commits_is_not_logged() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(10)))
    head = table_log.write(table)
    appended = log.appended
    table.put(make_rows(range(100, 200)))
    table.delete(make_keys(range(100, 200)))
    table.delete(make_keys(range(300, 400)))
    again = table_log.write(table)
    assert log.appended == appended
    assert encode(again) == encode(head)


def test_segments_are_as_large_as_records_may_be() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(250_000)))
    table_log.write(table)
    table.delete(make_keys(range(240_000)))
    table.put(make_rows(range(230_000, 260_000), seed=1))
    head = table_log.write(table)
    log.flush()
    lengths = sizes(log)
    assert CHUNK_BYTES * 0.99 < max(lengths) <= CHUNK_BYTES
    assert sum(size < CHUNK_BYTES * 0.99 for size in lengths) == 2
    oracle = Oracle()
    oracle.put(make_rows(range(230_000, 260_000), seed=1))
    assert loaded(log, head) == oracle.content


def test_tables_and_deployments_share_a_topic_and_a_reset_is_of_all_that_is_ones_own() -> None:
    log = MemoryLog()
    owners = [("one", "pending"), ("one", "pending2"), ("two", "pending")]
    heads = []
    for seed, (deployment, name) in enumerate(owners):
        table_log, table = open_log(log, deployment, name), HashTable(COLUMNS)
        table_log.load(None, table)
        table.put(make_rows(range(10 + seed), seed))
        heads.append(table_log.write(table))
        log.flush()
    for seed, (owner, head) in enumerate(zip(owners, heads, strict=True)):
        table = HashTable(COLUMNS)
        open_log(log, *owner).load(head, table)
        assert len(table) == 10 + seed
    TopicStore(log, "one", "state", "journal", 1).reset()
    compact(log)
    assert {key.partition("/")[0] for key, _ in log.records["state"] if key} == {"two"}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda value: None, "1 of 3 segments|2 of 3 segments|3 of 3 segments"),
        (lambda value: b"", "is damaged"),
        (lambda value: b"rubbish", "is damaged"),
        (lambda value: value[:-1], "is damaged"),
        (lambda value: value + b"\0", "is damaged"),
        (lambda value: value[:-1] + bytes([value[-1] ^ 1]), "is damaged"),
        (lambda value: value[:4] + b"\2" + value[5:], "is damaged"),
    ],
)
def test_a_segment_missing_or_damaged_is_an_error_and_no_smaller_table(
    place: int, damage: Callable[[bytes], bytes | None], message: str
) -> None:
    log = MemoryLog()
    table_log, table = started(log)
    for step in range(3):
        table.put(make_rows(range(10 * step, 10 * step + 10)))
        head = table_log.write(table)
    log.flush()
    key, value = log.records["state"][place]
    log.records["state"][place] = (key, damage(value or b""))
    with pytest.raises(StateError, match=message) as caught:
        loaded(log, head)
    assert "'pending' in the topic state" in str(caught.value)
    assert "--reset-state" in str(caught.value.hint)


def test_head_or_segment_of_a_later_format_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(10)))
    with monkeypatch.context() as later:
        later.setattr("streamdrift.state.segments._FORMAT", 2)
        head = table_log.write(table)
    log.flush()
    for each in (head, {**head, "format": 1}):
        with pytest.raises(StateError, match="has format 2, this version reads format 1") as caught:
            loaded(log, each)
        assert "run the version that wrote it" in str(caught.value.hint)


def test_other_columns_are_an_error() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(10)))
    head = table_log.write(table)
    log.flush()
    other = {**COLUMNS, "label": np.int64}
    with pytest.raises(StateError, match="other columns"):
        TableLog(log, "one", "state", "pending", other).load(head, HashTable(other))
    with pytest.raises(TypeError, match="cannot be stored"):
        TableLog(log, "one", "state", "pending", {"name": "U8"})
