"""Planned changes of a model: announced, and withdrawn."""

from uuid import uuid4

from fastapi import APIRouter

from streamdrift.operators import Asked, Command
from streamdrift.times import microseconds
from streamdrift.web.commands import Turns
from streamdrift.web.incidents import Clock, accepted
from streamdrift.web.models import ModelId, Watched
from streamdrift.web.names import name_of
from streamdrift.web.problems import RefusedError
from streamdrift.web.schemas import Accepted, Expectation, Withdrawal

_LATEST = 253_402_300_799_999_999


def planning_routes(watched: Watched, turns: Turns, now: Clock) -> APIRouter:
    """Return what is posted below `/models`."""

    async def write(command: Command, *, new: bool) -> Accepted:
        if not new:
            await watched.check_known(command.model)
        await turns.write(command)
        return accepted(command)

    routes = APIRouter(tags=["models"])

    @routes.post(
        "/models/{model}/expect",
        status_code=202,
        summary="Say that a model is about to change: incidents that begin then page nobody",
    )
    async def expect_change(model: ModelId, expectation: Expectation) -> Accepted:
        command = expected(name_of(model), expectation, now())
        return await write(command, new=expectation.new)

    @routes.post(
        "/models/{model}/withdraw",
        status_code=202,
        summary="Withdraw all planned changes of a model: incidents that begin then page again",
    )
    async def withdraw_change(model: ModelId, withdrawal: Withdrawal | None = None) -> Accepted:
        withdrawal = withdrawal or Withdrawal()
        command = Command(
            id=uuid4().hex,
            kind=Asked.WITHDRAW,
            model=name_of(model),
            by=withdrawal.by,
            note=withdrawal.note,
            at=now(),
        )
        return await write(command, new=withdrawal.new)

    return routes


def expected(model: str, expectation: Expectation, now: int) -> Command:
    """Return the command that says a planned change; raise RefusedError where it makes no sense."""
    since = now if expectation.since is None else microseconds(expectation.since)
    if (expectation.for_ is None) == (expectation.until is None):
        raise RefusedError(422, "give `for`, such as 2h, or `until`, a time; and not both")
    if expectation.for_ is not None:
        until = since + expectation.for_
    else:
        assert expectation.until is not None
        until = microseconds(expectation.until)
    if not 0 <= since < until <= _LATEST:
        raise RefusedError(422, "`until` must be later than `since`, both from 1970 to 9999")
    return Command(
        id=uuid4().hex,
        kind=Asked.EXPECT,
        model=model,
        since=since,
        until=until,
        by=expectation.by,
        note=expectation.note,
        at=now,
    )
