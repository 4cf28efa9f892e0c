from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import cast

import pytest

from streamdrift.records import State
from streamdrift.state import TopicStore, decode, encode
from streamdrift.state.log import MemoryLog
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


class _Killed(Exception):  # noqa: N818
    pass


class _KillingLog(MemoryLog):
    """Kills whoever appends, flushes or commits for the `kill_at`th time, before it is done."""

    kill_at = -1
    deletions = 0

    def append(self, topic: str, key: str, value: bytes | None, *, partition: int = 0) -> None:
        self._count()
        self.deletions += value is None
        super().append(topic, key, value, partition=partition)

    def flush(self) -> None:
        self._count()
        super().flush()

    def commit(self) -> None:
        self._count()
        super().commit()

    def _count(self) -> None:
        self.kill_at -= 1
        if self.kill_at == 0:
            raise _Killed


_STEPS = 24


def _live(
    log: _KillingLog,
    keys: int,
    contents: Sequence[Content],
    starts: list[int],
) -> None:
    """Live one life of a deployment to the end of the input; add to `starts` where it began.

    A snapshot is written at every second commit.
    """
    store = TopicStore(log, "one", "state", "journal", 1)
    saved = store.load().snapshots.get(0)
    state = {} if saved is None else decode(saved.snapshot)
    start = cast(int, state.get("position", 0))
    starts.append(start)
    table_log, table = open_log(log), HashTable(COLUMNS)
    table_log.load(cast(State | None, state.get("pending")), table)
    assert content_of(table) == contents[start]
    for step in range(start, _STEPS):
        take_step(table, step, keys)
        if step % 2:
            head = table_log.write(table)
            store.save({0: encode({"position": step + 1, "pending": head})})
            log.commit()


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("transactional", [True, False])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("keys", [30, 2_000])
def test_whoever_dies_anywhere_is_followed_by_one_with_the_table_of_the_last_snapshot(
    transactional: bool, keep: bool, keys: int
) -> None:
    oracle = Oracle()
    contents: list[Content] = [{}]
    for step in range(_STEPS):
        take_step(oracle, step, keys)
        contents.append(dict(oracle.content))
    starts: list[int] = []
    for kill_at in count(1):
        log = _KillingLog(transactional=transactional)
        log.kill_at = kill_at
        try:
            _live(log, keys, contents, starts)
            break
        except _Killed:
            log.crash(keep=keep)
        # The second life dies as well, where its first snapshot is half done.
        log.kill_at = 8
        with suppress(_Killed):
            _live(log, keys, contents, starts)
        log.crash(keep=keep)
        compact(log)
        _live(log, keys, contents, starts)
        _live(log, keys, contents, starts)
        assert starts[-1] == _STEPS
        compact(log)
        assert sum(sizes(log)) < 4 * len(oracle.content) * ROW_BYTES + SLACK_BYTES
    assert log.deletions > 5
    assert kill_at > 60
    assert set(starts) == set(range(0, _STEPS + 1, 2))


def test_a_record_that_is_there_twice_is_no_other_table() -> None:
    """A client that sends again what was acknowledged may turn the order around."""
    log = MemoryLog()
    table_log, table = started(log)
    for step in range(3):
        table.put(make_rows([1, 2], step))
        head = table_log.write(table)
    log.flush()
    log.records["state"].append(log.records["state"][0])
    compact(log)
    assert loaded(log, head) == content_of(table)


def test_one_that_was_replaced_writes_over_nothing() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(100)))
    head = table_log.write(table)
    log.flush()
    other_log, other = open_log(log), HashTable(COLUMNS)
    other_log.load(head, other)
    for each, seed in ((table, 1), (other, 2)):
        each.put(make_rows(range(50), seed))
    other_head = other_log.write(other)
    table_log.write(table)
    log.flush()
    compact(log)
    assert loaded(log, other_head) == content_of(other)


def test_one_that_was_replaced_deletes_nothing_that_was_written_since() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    table.put(make_rows(range(100)))
    table_log.write(table)
    log.flush()
    # Without a head: both that follow delete it, and write the same again.
    (replaced_log, replaced), (last_log, last) = started(log), started(log)
    for each in (replaced, last):
        each.put(make_rows(range(100)))
    head = last_log.write(last)
    replaced_log.write(replaced)
    log.flush()
    log.records["state"].pop()  # The one that was replaced has died before.
    compact(log)
    assert loaded(log, head) == content_of(last)


def test_a_table_goes_on_in_a_topic_that_is_shorter() -> None:
    log, shorter = MemoryLog(), MemoryLog()
    for _ in range(100):
        log.append("state", "two/manifest/0", b"")
    log.flush()
    table_log, table = started(log)
    table.put(make_rows(range(10)))
    head = table_log.write(table)
    log.flush()
    for key, value in log.records["state"][100:]:
        shorter.append("state", key, value)
    shorter.flush()
    table_log, table = open_log(shorter), HashTable(COLUMNS)
    table_log.load(head, table)
    for seed in range(40):
        table.put(make_rows(range(5), seed))
        head = table_log.write(table)
        shorter.flush()
        assert loaded(shorter, head) == content_of(table)


def test_a_table_goes_on_from_the_slot_before_where_the_last_is_damaged() -> None:
    log = MemoryLog()
    table_log, table = started(log)
    heads = []
    for seed in range(3):
        table.put(make_rows(range(10), seed))
        heads.append(table_log.write(table))
    log.flush()
    table_log, table = open_log(log), HashTable(COLUMNS)
    table_log.load(heads[1], table)
    table.put(make_rows(range(5), seed=3))
    head = table_log.write(table)
    log.flush()
    compact(log)
    assert loaded(log, head) == content_of(table)
    assert loaded(log, heads[1]) != content_of(table)
    assert len(sizes(log)) == 3
