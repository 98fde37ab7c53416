"""What is accepted here is accepted by Kubernetes' own schema: of the manifests in examples and tests, and of whatever
else our own schema allows."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import ManifestError, load_manifests
from runtime.manifest.kinds import KINDS, OLDER
from runtime.manifest.schema import Amount, Flag, Many, Object, Shape, Text, TextMap, Whole, WholeOrText

ROOT = Path(__file__).parents[2]
VERSION = kubernetes_validate.latest_version()


def accepted(data: dict[str, Any]) -> None:
    """Raises what Kubernetes' schema has against it; a field that it does not know is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kubernetes_validate.validate(data, VERSION, strict=True)


def texts(text: Text) -> st.SearchStrategy[str]:
    if text.choices:
        return st.sampled_from(text.choices)
    if text.pattern is not None:
        return st.from_regex(text.pattern, fullmatch=True)
    return st.text(alphabet="ab:/ $(").filter(bool)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Anything that the shape allows."""
    match shape:
        case Text():
            return texts(shape)
        case Whole():
            return st.integers(shape.low, shape.high)
        case Flag():
            return st.booleans()
        case Amount():
            return st.sampled_from(["500m", "1", 1, 0.5, "128Mi", "1e3"])
        case WholeOrText():
            return st.one_of(values(shape.whole), texts(shape.text))
        case TextMap():
            return st.dictionaries(texts(shape.keys), texts(shape.values), max_size=2)
        case Many():
            return st.lists(of(shape.item), min_size=shape.least, max_size=min(2, shape.most or 2))
        case Object():
            needed = {name: of(shape.fields[name]) for name in shape.required}
            rest = {name: of(item) for name, item in shape.fields.items() if name not in shape.required}
            return st.fixed_dictionaries(needed, optional=rest)


@cache
def _made(key: int) -> st.SearchStrategy[Any]:
    return values(_SHAPES[key])


_SHAPES: dict[int, Shape] = {}


def of(shape: Shape) -> st.SearchStrategy[Any]:
    """The same, made when it is drawn from and once for each shape."""
    _SHAPES[id(shape)] = shape
    return st.deferred(lambda: _made(id(shape)))


VERSIONS: dict[tuple[str, str], Shape] = {(kind, version): shape for kind, (version, shape) in KINDS.items()} | OLDER


@pytest.mark.parametrize(("kind", "version"), sorted(VERSIONS))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_kubernetes_accepts_whatever_our_schema_allows(kind: str, version: str, data: st.DataObject) -> None:
    shape = VERSIONS[kind, version]
    manifest = data.draw(of(shape))
    accepted({**manifest, "apiVersion": version, "kind": kind})


def written() -> Iterator[tuple[str, str]]:
    """(where, text) of the manifests in files of their own and in the tests' source."""
    for path in sorted(ROOT.glob("examples/**/*.y*ml")):
        yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted(ROOT.glob("tests/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "apiVersion:" in node.value:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_kubernetes_accepts_every_manifest_of_ours_that_we_accept() -> None:
    seen = 0
    for where, text in written():
        try:
            documents = load_manifests(text, where)
        except ManifestError:
            continue  # a part of one, or one that is to be refused
        for document, data in zip(documents, _plain(text), strict=True):
            seen += 1
            try:
                accepted(data)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{document.where}: {error.message}") from error
    assert seen > 10


def _plain(text: str) -> list[dict[str, Any]]:
    found = [item for item in yaml.safe_load_all(text) if item]
    return [each for item in found for each in (item["items"] if item["kind"] == "List" else [item])]


def test_what_kubernetes_refuses_is_noticed() -> None:
    for text in ("replicas: '3'", "replica: 3"):
        spec = f"selector: {{matchLabels: {{a: b}}}}\n  template: {{spec: {{containers: []}}}}\n  {text}"
        with pytest.raises(kubernetes_validate.ValidationError):
            accepted(yaml.safe_load(f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec:\n  {spec}"))
    assert re.match(r"\d+\.\d+", VERSION)
