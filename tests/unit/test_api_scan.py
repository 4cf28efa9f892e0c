"""Requests made up from the API's own document: none fails, and none gets in without the token."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from streamdrift.web.api import make_app
from tests.api import TOKEN, World, looped
from tests.api import settings as chosen

_EXAMPLES = 60
_BEARER = {"Authorization": f"Bearer {TOKEN}"}
_WRONG = {"Authorization": f"Bearer {TOKEN[::-1]}"}
_OPERATIONS = (
    "GET /api/v1/models",
    "GET /api/v1/models/{model}/signals",
    "GET /api/v1/signals/{signal}",
    "POST /api/v1/models/{model}/expect",
    "POST /api/v1/models/{model}/withdraw",
    "GET /api/v1/incidents",
    "GET /api/v1/incidents/{incident}",
    "POST /api/v1/incidents/{incident}/acknowledge",
    "POST /api/v1/incidents/{incident}/resolve",
    "POST /api/v1/incidents/{incident}/accept",
    "GET /api/v1/config",
)


@pytest.fixture(scope="module")
def app() -> Iterator[ASGIApp]:
    world = World(chosen=chosen(http={"token": TOKEN}))
    with looped(world.desk, world.watched):
        yield make_app(world.behind())


@pytest.fixture(scope="module")
def operations(app: ASGIApp) -> dict[str, Any]:
    """Return what there is to ask, by method and path."""
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", app, headers=_BEARER)
    found = (each.ok() for each in schema.get_all_operations())
    return {each.label: each for each in found}


def test_all_there_is_is_scanned(operations: dict[str, Any]) -> None:
    assert set(operations) == set(_OPERATIONS)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("label", _OPERATIONS)
def test_every_answer_is_as_the_document_says(
    operations: dict[str, Any], label: str, mode: schemathesis.GenerationMode
) -> None:
    @given(case=operations[label].as_strategy(generation_mode=mode))
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        # That a time is later than another is in no schema.
        excluded = [positive_data_acceptance] if label.endswith("/expect") else []
        if label.startswith("GET"):
            # In an address what is no text for a schema, a number or nothing, is text again.
            excluded.append(negative_data_rejection)
        case.call_and_validate(headers=_BEARER, excluded_checks=excluded)
        assert case.call(headers=_WRONG).status_code == 401

    ask()


def test_the_document_itself_needs_the_token(app: ASGIApp) -> None:
    with TestClient(app) as client:
        assert client.get("/openapi.json").status_code == 401
