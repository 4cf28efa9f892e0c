"""From what is stored to a pipeline that goes on there: the other half of the commit.

1. Whoever begins takes the transactional id over (`outbox`): that ends the transaction of its
   predecessor, one way or the other, and fences it. Its claim is in the journal from then on
   (`deployment`, `workers.post`).
2. It waits until no transaction hides anything any more of the state and the journal
   (`TopicStore.load`), and reads both: of each shard the last whole snapshot, and what was
   journaled since the oldest of them.
3. It restores the snapshots, if the settings fit them (`recover` here; for one shard of a worker
   `Detecting`): the order of events goes on where the oldest stands, by the floors that were
   journaled; what operators asked is done again where it was done.
4. It reads the input again from there: the same input, in the same order, makes the same alerts.
   Those whose ids are in the journal are published already, and left out (`commit.Outgoing`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamdrift.errors import StateError
from streamdrift.pipeline import Pipeline
from streamdrift.records import Notice, Partition, State
from streamdrift.state import Published, Stored, decode
from streamdrift.state.journal import UNKNOWN
from streamdrift.trees import text, tree


class Recovered(NamedTuple):
    """Where a pipeline goes on."""

    positions: Mapping[Partition, int]
    """From where each partition is read; the others from the source's start."""
    published: Published
    """What was published of what comes after that."""
    notices: Sequence[Notice]


def recover(pipeline: Pipeline, stored: Stored, fingerprint: Mapping[str, str]) -> Recovered:
    """Restore what is stored into a pipeline without state.

    Raises StateError where it does not fit the `fingerprint` of the settings.
    """
    pipeline.foresee(stored.commands)
    if not stored.snapshots:
        pipeline.ordering.foresee(stored.floors)
        return Recovered({}, stored.published, ())
    states = {shard: decode(saved.snapshot) for shard, saved in stored.snapshots.items()}
    for state in states.values():
        check_fingerprint(tree(state, "settings"), fingerprint)
    notices = pipeline.restore(states)
    pipeline.ordering.foresee(stored.floors)
    # Dead letters of what the oldest snapshot had seen were published with it or before it,
    # also of messages behind events it held: those are read again, and their marks are not.
    seen = pipeline.ordering.seen()
    identities = pipeline.ordering.identities
    known = Published(
        letters={
            (key, identities.get(key.topic, UNKNOWN)): offset - 1 for key, offset in seen.items()
        }
    )
    return Recovered(
        pipeline.ordering.positions(), known.and_then(stored.published), tuple(notices)
    )


def changed_settings(stored: State, ours: Mapping[str, str]) -> list[str]:
    """Return `key: stored -> ours` for each setting in which two fingerprints differ."""
    return [
        f"{key}: {text(stored, key) if key in stored else 'unset'} -> {ours.get(key, 'unset')}"
        for key in sorted({*stored, *ours})
        if stored.get(key) != ours.get(key)
    ]


def check_fingerprint(stored: State, ours: Mapping[str, str]) -> None:
    """Raise StateError where the settings changed so that what is stored does not fit."""
    changed = changed_settings(stored, ours)
    if changed:
        raise StateError(
            "the settings changed so that the stored state does not fit: " + "; ".join(changed),
            "change them back, start with --reset-state to begin anew, or run a deployment "
            "of another name beside this one",
        )
