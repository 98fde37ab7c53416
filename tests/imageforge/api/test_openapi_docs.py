"""The description of the API: whole, and true to the source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imageforge.api import document, problems
from imageforge.api.app import create_app
from imageforge.config import Home, Settings
from tests.conftest import ROOT

PACKAGES = ("imageforge", "linters", "builders", "registry", "runtime")
PUBLIC = {"/v1/health", "/v1/ready", "/v1/webhooks/{app}"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    app = create_app(Home(tmp_path_factory.mktemp("api") / "home"), Settings())
    app.state.site.database.close()
    app.state.site.waker.close()
    found: dict[str, object] = app.openapi()
    assert app.openapi() == found
    return found


def operations(described: dict[str, object]) -> list[tuple[str, dict[str, object]]]:
    paths = described["paths"]
    assert isinstance(paths, dict)
    return [(f"{method} {path}", each) for path, methods in paths.items() for method, each in methods.items()]


def test_every_route_says_what_it_does(described: dict[str, object]) -> None:
    found = operations(described)
    assert len(found) > 30
    assert [name for name, each in found if not each.get("summary") or not each.get("description")] == []


def test_every_schema_that_is_named_is_there(described: dict[str, object]) -> None:
    components = described["components"]
    assert isinstance(components, dict)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert {"NewBuild", "Problem"} <= named
    assert named <= set(components["schemas"])
    assert document.REFERENCE.format(model="Problem") in json.dumps(problems.RESPONSES)


def test_every_route_that_asks_for_a_token_says_so(described: dict[str, object]) -> None:
    open_ones = {name.partition(" ")[2] for name, each in operations(described) if not each.get("security")}
    assert open_ones == PUBLIC


def test_every_status_of_an_error_is_described() -> None:
    answered = {*problems.STATUS.values(), *problems.BY_KIND.values(), 404} - {500}
    assert answered <= set(problems.RESPONSES)


def test_every_code_with_a_status_is_raised_somewhere() -> None:
    source = "\n".join(file.read_text() for package in PACKAGES for file in Path(ROOT, package).rglob("*.py"))
    assert [code for code in problems.STATUS if source.count(f'"{code}"') < 2] == []
