"""What a refused request is told: the field, what was expected, what was there; and never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from imageforge.config.validation import PATTERNS
from tests.imageforge.api.service import Api, running_api

GIT = {"url": "https://git.example.org/acme/shop.git"}
SECRET = "hunter2-hunter2"


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with running_api() as running:
        assert running.ask("POST", "/v1/apps", json={"name": "shop"}).status_code == 201
        yield running


@pytest.mark.parametrize(
    ("method", "path", "body", "subject", "message"),
    [
        ("POST", "/v1/apps", {"name": "Shop!"}, "body.name", "expected 1 to 40 of a-z, 0-9 and -"),
        ("POST", "/v1/apps", {"name": "Shop!"}, "body.name", "got 'Shop!'"),
        ("POST", "/v1/apps", {}, "body.name", "it is missing"),
        ("POST", "/v1/apps", {"name": "shop", "colour": 1}, "body.colour", "unknown field `colour`"),
        ("POST", "/v1/apps", {"name": "shop", "priority": 101}, "body.priority", "expected at most 100, got 101"),
        ("POST", "/v1/apps", {"name": "a", "on_newer": "x"}, "body.on_newer", "expected 'finish' or 'cancel', got 'x'"),
        ("POST", "/v1/apps", [], "body", "expected an object, got a list"),
        ("POST", "/v1/apps", {"name": "x" * 41}, "body.name", "expected at most 40 characters"),
        ("POST", "/v1/apps/shop/scale", {"replicas": "many"}, "body.replicas", "expected a whole number, got 'many'"),
        ("POST", "/v1/builds", {"app": "shop", "git": {}}, "body.git.url", "it is missing"),
        (
            "POST",
            "/v1/builds",
            {"app": "shop", "git": GIT, "options": {"deploy": "perhaps"}},
            "body.options.deploy",
            "expected true or false, got 'perhaps'",
        ),
        (
            "POST",
            "/v1/builds",
            {"app": "shop", "git": {**GIT, "commit": "main"}},
            "body.git.commit",
            "expected a whole commit: 40 or 64 of 0-9 and a-f, got 'main'",
        ),
        ("GET", "/v1/builds?limit=0", None, "query.limit", "expected at least 1, got '0'"),
        ("GET", "/v1/builds/none", None, "path.build", "expected a whole number, got 'none'"),
    ],
)
def test_a_refused_request_names_field_expectation_and_value(
    method: str, path: str, body: Any, subject: str, message: str, served: Api
) -> None:
    answer = served.ask(method, path, **({} if body is None else {"json": body}))
    told = answer.json()
    assert (answer.status_code, told["code"], told["subject"]) == (422, "invalid-request", subject)
    assert message in told["message"]
    assert "/docs" in told["hint"]
    assert re.search(r"Input should|should match|Field required|not permitted", answer.text) is None


def test_a_body_that_is_no_json_says_so(served: Api) -> None:
    for path in ("/v1/apps", "/v1/builds"):
        answer = served.ask("POST", path, content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["message"].startswith("not JSON: ")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/apps/shop/secrets", {"values": {"KEY": {"value": [SECRET]}}}),
        ("PATCH", "/v1/apps/shop/secrets", {"values": {"KEY": {"valu": SECRET}}}),
        ("PATCH", "/v1/apps/shop/secrets", {"values": {"KEY": SECRET}}),
        ("PATCH", "/v1/apps/shop/secrets", {"values": SECRET}),
        ("PATCH", "/v1/apps/shop/secrets", {"values": [SECRET]}),
        ("PATCH", "/v1/apps/shop/env", {"values": {"KEY": f"{SECRET}\x00"}}),
        ("PUT", "/v1/apps/shop/source/token", {"value": SECRET * 9000}),
        ("PUT", "/v1/apps/shop/source/token", {"value": [SECRET]}),
        ("PATCH", "/v1/apps/shop", {"git_url": f"https://me:{SECRET}@example.org\n"}),
        ("POST", "/v1/builds", {"app": "shop", "git": {"url": f"https://me:{SECRET}@example.org\n"}}),
        ("POST", "/v1/builds", {"app": "shop", "git": GIT, "options": {"args": {"KEY": f"{SECRET}\x00"}}}),
    ],
)
def test_what_may_be_a_secret_is_not_repeated(method: str, path: str, body: Any, served: Api) -> None:
    answer = served.ask(method, path, json=body)
    assert answer.status_code == 422
    assert SECRET not in answer.text


def test_every_pattern_of_the_api_has_its_words(served: Api) -> None:
    found: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            found.update(item for key, item in value.items() if key == "pattern" and isinstance(item, str))
            found.update(value.get("patternProperties", ()))
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(item)

    look(served.app.openapi())
    assert found == set(PATTERNS)
