"""The API against its own description: whatever is sent, the answer is one of those that are documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imageforge.api.routes import apps, builds, deployments, domains, health, objects, registry, tokens, webhooks
from imageforge.stack import tidy
from tests.imageforge.api.service import Api, running_api

load_all_checks()
ABSENT = (503, 507)
"""What may be answered beyond 500: the controller is not there, the disk may be full."""
CONFORMS = [status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN = {"app": "shop", "build": 1, "number": 1, "name": "token"}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
EXAMPLES = 40


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    """An API that knows an app and two builds of it."""
    # There is no controller, and nobody need wait for one.
    with pytest.MonkeyPatch.context() as patch, running_api() as api:
        patch.setattr(tidy, "PATIENCE", 0.0)
        assert api.ask("POST", "/v1/apps", json={"name": "shop"}).status_code == 201
        for _ in range(2):
            body = {"app": "shop", "git": {"url": "https://git.example.org/acme/shop.git"}}
            assert api.ask("POST", "/v1/builds", json=body).status_code == 202
        # Thousands of calls are no hurry here.
        api.site.calls._burst = 1_000_000
        yield api


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@pytest.fixture(scope="module")
def document(served: Api) -> Any:
    return schemathesis.openapi.from_dict(served.app.openapi())


OPERATIONS = [
    pytest.param(method, route.path, id=f"{method} {route.path}")
    for module in (health, apps, domains, builds, objects, deployments, webhooks, tokens, registry)
    for route in module.router.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in sorted(route.methods or ())
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_a_documented_one(
    method: str, path: str, served: Api, session: requests.Session, document: Any
) -> None:
    operation = document[path][method]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES))

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @seed(1)
    @given(case=cases, known=st.booleans())
    def holds(case: schemathesis.Case[Any], known: bool) -> None:
        if known:  # a generated name is hardly ever that of something
            parameters = case.path_parameters
            parameters.update({name: value for name, value in KNOWN.items() if name in parameters})
        if path.endswith(("/events", "/logs")):
            case.query["follow"] = "false"  # nothing ends here, and so no stream would
        answer = case.call(
            base_url=served.url, session=session, headers={"Authorization": f"Bearer {served.token}"}, timeout=30
        )
        case.validate_response(answer, checks=CONFORMS)
        assert answer.status_code < 500 or answer.status_code in ABSENT, answer.text
        if answer.status_code >= 400 and path != "/v1/ready":
            assert answer.headers["content-type"] == ["application/problem+json"]
            assert answer.json()["code"]

    holds()
