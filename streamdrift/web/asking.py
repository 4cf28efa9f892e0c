"""From a request's coroutine to the loop, and back in time."""

import asyncio
from typing import TypeVar

from streamdrift.errors import LaterError
from streamdrift.serving.desk import Desk, Question

T = TypeVar("T")
ANSWER_SECONDS = 3.0
"""Time the loop has to answer: turns are long while it reads a backlog."""


async def ask(desk: Desk, question: Question[T]) -> T:
    """Return what the loop answers; raise LaterError where it does not in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(desk.ask(question)), ANSWER_SECONDS)
    except TimeoutError:
        raise LaterError(
            f"the loop did not answer within {ANSWER_SECONDS:g} s",
            "ask again in a few seconds; streamdrift_commit_seconds and "
            "streamdrift_stage_seconds_total in /metrics show what it is busy with",
        ) from None
