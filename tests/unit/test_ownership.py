"""Of several processes of one deployment, the last to claim it goes on."""

import pytest

from streamdrift.errors import FencedError
from streamdrift.state import Ownership
from streamdrift.state.log import MemoryLog


def _claimed(log: MemoryLog, owner: str, deployment: str = "one") -> Ownership:
    ownership = Ownership(deployment, "journal", owner)
    ownership.claim(log)
    log.flush()
    return ownership


def test_whoever_claims_later_fences_the_earlier() -> None:
    log = MemoryLog()
    first = _claimed(log, "a")
    first.check(log)
    second = _claimed(log, "b")
    with pytest.raises(FencedError, match=r"\(b\) has taken over the deployment 'one'") as caught:
        first.check(log)
    assert "name=" in str(caught.value.hint)
    second.check(log)


def test_a_process_may_claim_again_and_again() -> None:
    log = MemoryLog()
    first = _claimed(log, "a")
    for _ in range(3):
        first.check(log)
        first.claim(log)
        log.flush()
    first.check(log)


def test_one_that_was_replaced_never_comes_back() -> None:
    log = MemoryLog()
    first = _claimed(log, "a")
    _claimed(log, "b")
    for _ in range(3):
        with pytest.raises(FencedError):
            first.check(log)


def test_of_two_that_start_at_once_one_goes_on() -> None:
    log = MemoryLog()
    first, second = Ownership("one", "journal", "a"), Ownership("one", "journal", "b")
    for each in (first, second):
        each.check(log)
        each.claim(log)
    log.flush()
    with pytest.raises(FencedError):
        first.check(log)
    second.check(log)


def test_other_deployments_claims_and_older_ones_count_for_nothing() -> None:
    log = MemoryLog()
    _claimed(log, "old")
    ownership = Ownership("one", "journal", "a")
    ownership.check(log)
    ownership.claim(log)
    log.flush()
    _claimed(log, "b", "two")
    ownership.check(log)
