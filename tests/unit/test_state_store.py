import json
from collections.abc import Mapping

import pytest

from streamdrift.errors import StateError
from streamdrift.records import Floor, Partition
from streamdrift.state import Published, Stored, TopicStore
from streamdrift.state.log import MemoryLog
from streamdrift.state.store import CHUNK_BYTES

_FLOORS = (Floor(Partition("predictions", 0), 5, 77), Floor(Partition("predictions", 1), 6, 78))
_NOTHING: Stored = Stored({}, (), Published())
_RESET = _NOTHING._replace(reset=True)


def _store(log: MemoryLog, name: str = "one", shards: int = 2) -> TopicStore:
    return TopicStore(log, name, "state", "journal", shards)


def _saved(log: MemoryLog, *snapshots: Mapping[int, bytes]) -> TopicStore:
    """Return the store of a deployment that has written some snapshots."""
    store = _store(log)
    store.load()
    for each in snapshots:
        store.save(each)
    return store


def _contents(store: TopicStore) -> dict[int, bytes]:
    return {shard: saved.snapshot for shard, saved in store.load().snapshots.items()}


def _both(text: bytes) -> dict[int, bytes]:
    return {0: text, 1: text}


class _Crash:
    """Raises when so many manifests are written."""

    def __init__(self, manifests: int) -> None:
        self._left = manifests

    def __call__(self, step: str) -> None:
        self._left -= step == "manifest written"
        if self._left == 0:
            raise InterruptedError


def test_nothing_is_stored_at_first() -> None:
    assert _store(MemoryLog()).load() == _NOTHING


def test_the_last_snapshot_and_the_floors_since_are_loaded() -> None:
    log = MemoryLog()
    store = _saved(log)
    store.journal(_FLOORS[:1])
    store.flush()
    large = b"third" * CHUNK_BYTES
    for text in (b"first", b"second", large):
        store.save(_both(text))
    store.journal(_FLOORS[1:])
    store.flush()
    stored = _store(log).load()
    assert {shard: saved.snapshot for shard, saved in stored.snapshots.items()} == _both(large)
    assert (stored.floors, stored.published) == (_FLOORS[1:], Published())


def test_shards_that_are_written_by_turns_have_each_its_last() -> None:
    """What was journaled since the oldest of them is needed."""
    log = MemoryLog()
    store = _saved(log, _both(b"first"))
    store.journal(_FLOORS[:1], Published(frozenset("a")))
    store.flush()
    store.save({1: b"second"})
    store.save({1: b"third"})
    store.journal(_FLOORS[1:], Published(frozenset("b")))
    store.flush()
    stored = _store(log).load()
    assert stored.snapshots == {0: (b"first", 1, 0), 1: (b"third", 3, 3)}
    assert (stored.floors, stored.published) == (_FLOORS, Published(frozenset("ab")))
    store.save({0: b"fourth"})
    assert _store(log).load().floors == _FLOORS[1:]


def test_what_is_being_replayed_still_needs_the_journal_it_began_with() -> None:
    log = MemoryLog()
    store = _saved(log, _both(b"first"))
    store.journal((), Published(frozenset("a")))
    store.flush()
    store = _saved(log)
    store.save(_both(b"second"), replaying=True)
    again = _store(log)
    assert again.load().published.alerts == {"a"}
    again.save(_both(b"third"))
    assert _store(log).load().published == Published()


def test_deployments_share_topics() -> None:
    log = MemoryLog()
    for name in ("one", "two"):
        store = _store(log, name)
        store.load()
        store.save(_both(name.encode()))
        store.journal(_FLOORS)
        store.flush()
    assert _contents(_store(log, "one")) == _both(b"one")
    assert _store(log, "one").load().floors == _FLOORS
    assert _store(log, "three").load() == _NOTHING


def test_a_shard_may_be_kept_by_itself() -> None:
    log = MemoryLog()

    def kept(shard: int) -> TopicStore:
        place = {"shard": shard, "partition": shard}
        return TopicStore(log, "one", "state", "journal", 8, **place)

    for shard in (3, 5):
        store = kept(shard)
        assert store.load() == _NOTHING
        store.save({shard: b"%d" % shard})
        store.journal((), Published(frozenset([str(shard)])))
        store.flush()
    stored = kept(3).load()
    assert stored.snapshots == {3: (b"3", 1, 0)}
    assert stored.published.alerts == {"3"}
    assert not log.records.get("state")
    with pytest.raises(StateError, match="has 8 shards, by the settings it is 9"):
        TopicStore(log, "one", "state", "journal", 9, shard=3, partition=3).load()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "at", ["chunk written", "chunks done", "manifest written", "manifests done"]
)
def test_save_that_is_interrupted_leaves_a_whole_snapshot(at: str, keep: bool) -> None:
    """Of each shard: where one manifest is written, that shard has the new one."""
    log = MemoryLog()
    store = _saved(log, _both(b"first"), _both(b"second" * CHUNK_BYTES))

    def crash(step: str) -> None:
        if step == at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        store.save(_both(b"third" * CHUNK_BYTES), crash)
    log.crash(keep=keep)
    new = {"manifests done": 2, "manifest written": int(keep)}.get(at, 0)
    texts = [b"third"] * new + [b"second"] * (2 - new)
    assert _contents(_store(log)) == {at: text * CHUNK_BYTES for at, text in enumerate(texts)}


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_first_save_that_is_interrupted_leaves_nothing(shards: int) -> None:
    """As often as one likes, and whatever was written of it."""
    log = MemoryLog()
    for text in (b"first", b"second"):
        for written in range(shards):
            store = _store(log, shards=shards)
            assert store.load() == _NOTHING
            with pytest.raises(InterruptedError):
                store.save(dict.fromkeys(range(shards), text), _Crash(written + 1))
            log.crash(keep=written + 1 < shards)
    store = _store(log, shards=shards)
    store.load()
    store.save(dict.fromkeys(range(shards), b"third"))
    assert len(_contents(_store(log, shards=shards))) == shards


def test_damaged_slot_is_left_for_the_other() -> None:
    log = MemoryLog()
    _saved(log, _both(b"first"), _both(b"second"))
    log.append("state", "one/1/slot/1/0", b"rubbish")
    log.flush()
    store = _store(log)
    assert _contents(store) == {0: b"second", 1: b"first"}
    store.save({1: b"third"})
    assert _contents(_store(log)) == {0: b"second", 1: b"third"}


@pytest.mark.parametrize("key", ["one/1/slot/0/0", "one/1/manifest/0"])
def test_a_shard_without_a_whole_slot_is_an_error_and_no_fresh_start(key: str) -> None:
    log = MemoryLog()
    _saved(log, _both(b"first"), {0: b"second"})
    log.append("state", key, None)
    log.flush()
    with pytest.raises(StateError, match=r"no whole snapshot is left .* of shard 1 of 2") as caught:
        _store(log).load()
    assert "--reset-state" in str(caught.value.hint)


def test_another_number_of_shards_is_an_error_that_says_what_to_do() -> None:
    log = MemoryLog()
    _saved(log, _both(b"first"))
    for shards in (1, 3):
        with pytest.raises(StateError, match=f"has 2 shards, by the settings it is {shards}") as at:
            _store(log, shards=shards).load()
        assert f"streamdrift state reshard --shards {shards}" in str(at.value.hint)


@pytest.mark.parametrize("manifest", [b"rubbish", b'{"format": 9}', b'{"format": 2}', b"[]"])
def test_manifest_that_cannot_be_read_is_an_error(manifest: bytes) -> None:
    log = MemoryLog()
    log.append("state", "one/0/manifest/0", manifest)
    log.flush()
    with pytest.raises(StateError, match="topic state"):
        _store(log).load()


def test_state_of_the_first_format_which_was_never_released_is_refused() -> None:
    log = MemoryLog()
    manifest = {
        "format": 1,
        "slot": 0,
        "sequence": 1,
        "chunks": 1,
        "size": 5,
        "checksum": 0,
        "journal": 0,
    }
    log.append("state", "one/slot/0/0", b"chunk")
    log.append("state", "one/manifest/0", json.dumps(manifest).encode())
    log.flush()
    with pytest.raises(StateError, match="was written by another version") as caught:
        _store(log).load()
    assert "--reset-state" in str(caught.value.hint)
    _store(log).reset()
    assert _store(log).load() == _RESET


def test_reset_forgets_one_deployment() -> None:
    log = MemoryLog()
    for name in ("one", "two"):
        store = _store(log, name)
        store.load()
        store.save(_both(name.encode()))
    _store(log, "one").reset()
    assert _store(log, "one").load() == _RESET
    assert _contents(_store(log, "two")) == _both(b"two")


def test_what_was_published_since_the_snapshot_is_loaded() -> None:
    log = MemoryLog()
    store, one, two = _store(log), Partition("predictions", 1), Partition("predictions", 2)
    store.journal((), Published(frozenset({"old"}), {(one, 7): 4}, 40))
    store.flush()
    store.save(_both(b"snapshot"))
    store.journal(_FLOORS, Published(frozenset({"a", "b"}), {(one, 7): 5}, 50))
    store.journal((), Published(frozenset({"c"}), {(two, 7): 6, (one, 8): 1}, 60))
    store.flush()
    letters = {(one, 7): 5, (one, 8): 1, (two, 7): 6}
    published = Published(frozenset({"a", "b", "c"}), letters, 60)
    stored = _store(log).load()
    assert (stored.floors, stored.published) == (_FLOORS, published)


def _lose_state(log: MemoryLog) -> None:
    log._partitions.pop(("state", 0))


def test_state_that_is_gone_is_an_error_and_no_fresh_start() -> None:
    log = _crashed_log()
    _store(log).save(_both(b"snapshot"))
    _lose_state(log)
    with pytest.raises(StateError, match="has no state of it") as caught:
        _store(log).load()
    assert "--reset-state" in str(caught.value.hint)
    _store(log).reset()
    assert _store(log).load() == _RESET
    _store(log).save(_both(b"anew"))
    _lose_state(log)
    with pytest.raises(StateError, match="has no state of it"):
        _store(log).load()


def _crashed_log() -> MemoryLog:
    """Return a log in which a process died once its first snapshots were whole."""

    def die(step: str) -> None:
        if step == "manifests done":
            raise InterruptedError

    log = MemoryLog()
    with pytest.raises(InterruptedError):
        _store(log).save(_both(b"first"), die)
    log.crash(keep=True)
    assert _contents(_store(log)) == _both(b"first")
    assert _store(log).last_word() is None
    return log
