"""Requests made up from the API's own document: none fails, and none gets in without the token."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from streamdrift.records import Alert
from streamdrift.web.api import make_app
from streamdrift.web.schemas import INCIDENT_EXAMPLE
from tests.api import TOKEN, World, alerts, looped, table
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
    world = World(chosen=chosen(http={"token": TOKEN}), incidents=table([_example()]))
    with looped(world.desk, world.watched):
        yield make_app(world.behind())


def _example() -> Alert:
    """Return an alert of the incident that the document has as its example."""
    (opened,) = (each for each in alerts() if each.model == "fraud")
    return replace(opened, data={**opened.data, "incident": INCIDENT_EXAMPLE})


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
    statuses = set[int]()
    there = _there(operations[label]) if mode.is_positive else {}

    @given(
        case=operations[label].as_strategy(generation_mode=mode),
        ids=st.sampled_from([{}, there]) if there else st.just({}),
    )
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, ids: dict[str, str]) -> None:
        case.path_parameters.update(ids)
        # That a time is later than another is in no schema.
        excluded = [positive_data_acceptance] if label.endswith("/expect") else []
        if label.startswith("GET"):
            # In an address what is no text for a schema, a number or nothing, is text again.
            excluded.append(negative_data_rejection)
        answer = case.call_and_validate(headers=_BEARER, excluded_checks=excluded)
        statuses.add(answer.status_code)
        assert case.call(headers=_WRONG).status_code == 401

    ask()
    if mode.is_positive:
        assert any(200 <= each < 300 for each in statuses), statuses


def _there(operation: Any) -> dict[str, str]:
    """Return the ids in an operation's address that the document has as examples: what is there."""
    parameters = operation.definition.raw.get("parameters", [])
    return {
        each["name"]: each["schema"]["examples"][0] for each in parameters if each["in"] == "path"
    }


def test_the_document_itself_needs_the_token(app: ASGIApp) -> None:
    with TestClient(app) as client:
        assert client.get("/openapi.json").status_code == 401
