"""Scalars as Kubernetes reads them, and text that is read back as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError
from runtime.manifest.tree import node_of, read, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("1e3", 1000.0), ("0o17", 15), ("017", 15), ("0x1F", 31),
        ("0b11", 3), ("1_000", 1000), ("-7", -7), ("+7", 7), ("0", 0), ("08", 8.0), ("1.5", 1.5), (".5", 0.5),
        ("yes", True), ("on", True), ("y", True), ("Off", False), ("N", False), ("nO", "nO"), ("~", None), ("", None),
        ("null", None), ("'8080'", "8080"), ('"yes"', "yes"), ("v1.2", "v1.2"), ("1.2.3", "1.2.3"), ("!!str 5", "5"),
        ("=", "="), ("1.5e", "1.5e"), ("0x", "0x"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    (node,) = read(f"a: {text}\nb: 1", "x.yaml")
    plain = node.plain()
    assert isinstance(plain, dict)
    assert plain["a"] == value
    assert type(plain["a"]) is type(value)


def test_infinity_and_not_a_number() -> None:
    (node,) = read("[.inf, -.Inf, .NaN]", "x.yaml")
    plus, minus, nan = node.plain()  # type: ignore[misc]
    assert (plus, minus) == (float("inf"), float("-inf"))
    assert nan != nan


def test_lines_are_those_of_keys_and_values() -> None:
    (node,) = read("a:\n  b:\n    - 1\n\n    - 2\n", "x.yaml")
    assert isinstance(node.value, dict)
    inner = node.value["a"].node
    assert isinstance(inner.value, dict)
    items = inner.value["b"].node.value
    assert isinstance(items, list)
    assert (node.value["a"].line, inner.value["b"].line, [item.line for item in items]) == (1, 2, [3, 5])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
        max_leaves=20,
    )
)
def test_what_was_written_reads_back_the_same(value: object) -> None:
    (node,) = read(write([{"value": value}]), "x.yaml")  # type: ignore[dict-item]
    assert node.plain() == {"value": value}
    assert node_of({"value": value}).plain() == {"value": value}  # type: ignore[dict-item]


@given(st.text())
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    def read_all() -> None:
        list(read(text, "x.yaml"))
        raise ManifestError("read", "x.yaml", "read without an error")

    with pytest.raises(ManifestError, match=r"^x\.yaml"):
        read_all()
