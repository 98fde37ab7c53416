"""The page at /docs, which must do without any other server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from imageforge.api.routes.docs import START
from tests.imageforge.api.service import Api, running_api


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with running_api() as running:
        yield running


def test_the_page_has_all_it_needs_from_here(served: Api) -> None:
    with served.client("") as client:
        page = client.get("/docs")
        assert page.status_code == 200
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(named) == 5
        for path in (*named, *re.findall(r'url: "([^"]+)"', START)):
            answer = client.get(path)
            assert re.match(r"/\w", path)
            assert (path, answer.status_code) == (path, 200)
            assert len(answer.content) > 100
        assert client.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
        assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text


def test_its_policy_allows_nothing_from_elsewhere_and_no_script_inside_the_page(served: Api) -> None:
    page = served.ask("GET", "/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {word for value in policy.values() for word in value.split()} == {"'none'", "'self'", "data:"}
    assert policy["script-src"] == "'self'"
    assert re.findall(r"<script[^>]*>[^<]+|<style| style=| on\w+=", page.text) == []


@pytest.mark.parametrize("name", ["swagger-ui.js.map", "__init__.py", "..%2Fmain.py", "%2E%2E/main.py", ""])
def test_no_other_file_is_served(name: str, served: Api) -> None:
    status, _, _ = served.raw("GET", f"/docs/{name}")
    assert status == 404
