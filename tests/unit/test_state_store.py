import pytest

from streamdrift.errors import StateError
from streamdrift.records import Floor, Partition
from streamdrift.state import Published, TopicStore
from streamdrift.state.log import MemoryLog
from streamdrift.state.store import CHUNK_BYTES

_FLOORS = (Floor(Partition("predictions", 0), 5, 77), Floor(Partition("predictions", 1), 6, 78))


def _store(log: MemoryLog, name: str = "one") -> TopicStore:
    return TopicStore(log, name, "state", "journal")


def test_nothing_is_stored_at_first() -> None:
    assert _store(MemoryLog()).load() == (None, (), Published())


def test_the_last_snapshot_and_the_floors_since_are_loaded() -> None:
    log = MemoryLog()
    store = _store(log)
    store.load()
    store.journal(_FLOORS[:1])
    store.flush()
    for snapshot in (b"first", b"second", b"third" * CHUNK_BYTES):
        store.save(snapshot)
    store.journal(_FLOORS[1:])
    store.flush()
    assert _store(log).load() == (b"third" * CHUNK_BYTES, _FLOORS[1:], Published())


def test_deployments_share_topics() -> None:
    log = MemoryLog()
    for name in ("one", "two"):
        store = _store(log, name)
        store.load()
        store.save(name.encode())
        store.journal(_FLOORS)
        store.flush()
    assert _store(log, "one").load() == (b"one", _FLOORS, Published())
    assert _store(log, "three").load() == (None, (), Published())


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "at", ["chunk written", "chunks durable", "manifest written", "manifest durable"]
)
def test_save_that_is_interrupted_leaves_a_whole_snapshot(at: str, keep: bool) -> None:
    log = MemoryLog()
    store = _store(log)
    store.load()
    store.save(b"first")
    store.save(b"second" * CHUNK_BYTES)

    def crash(step: str) -> None:
        if step == at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        store.save(b"third" * CHUNK_BYTES, crash)
    log.crash(keep=keep)
    done = at == "manifest durable" or (at == "manifest written" and keep)
    found = _store(log).load().snapshot
    assert found == (b"third" if done else b"second") * CHUNK_BYTES


def test_damaged_slot_is_left_for_the_other() -> None:
    log = MemoryLog()
    store = _store(log)
    store.load()
    store.save(b"first")
    store.save(b"second")
    log.append("state", "one/slot/1/0", b"rubbish")
    log.flush()
    store = _store(log)
    assert store.load().snapshot == b"first"
    store.save(b"third")
    assert _store(log).load().snapshot == b"third"


def test_no_whole_slot_is_an_error_and_no_fresh_start() -> None:
    log = MemoryLog()
    store = _store(log)
    store.load()
    store.save(b"first")
    log.append("state", "one/slot/0/0", None)
    log.flush()
    with pytest.raises(StateError, match="no whole snapshot") as caught:
        _store(log).load()
    assert "--reset-state" in str(caught.value.hint)


@pytest.mark.parametrize("manifest", [b"rubbish", b'{"format": 9}', b'{"format": 1}', b"[]"])
def test_manifest_that_cannot_be_read_is_an_error(manifest: bytes) -> None:
    log = MemoryLog()
    log.append("state", "one/manifest/0", manifest)
    log.flush()
    with pytest.raises(StateError, match="topic state"):
        _store(log).load()


def test_reset_forgets_one_deployment() -> None:
    log = MemoryLog()
    for name in ("one", "two"):
        store = _store(log, name)
        store.load()
        store.save(name.encode())
    _store(log, "one").reset()
    assert _store(log, "one").load().snapshot is None
    assert _store(log, "two").load().snapshot == b"two"


def test_what_was_published_since_the_snapshot_is_loaded() -> None:
    log = MemoryLog()
    store, one, two = _store(log), Partition("predictions", 1), Partition("predictions", 2)
    store.journal((), Published(frozenset({"old"}), {one: 4}))
    store.flush()
    store.save(b"snapshot")
    store.journal(_FLOORS, Published(frozenset({"a", "b"}), {one: 5}))
    store.journal((), Published(frozenset({"c"}), {two: 6}))
    store.flush()
    published = Published(frozenset({"a", "b", "c"}), {one: 5, two: 6})
    assert _store(log).load() == (b"snapshot", _FLOORS, published)
