"""Expansion: what is known, what is not, and the shell as oracle."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linters.expand import Scope

KNOWN = Scope(values={"A": "a", "EMPTY": "", "MAYBE": None, "V": "v1.2.3"}, closed=True)
OPEN = Scope(values={"A": "a"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A/${A}b", "a/ab"),
        ("'$A'", "$A"),
        ('"$A b"', "a b"),
        ("\\$A", "$A"),
        ("$NONE", ""),
        ("${NONE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${A:+yes}", "yes"),
        ("${NONE:+yes}", ""),
        ("${NONE:-${A}-${NONE:-x}}", "a-x"),
        ("${A:-$MAYBE}", "a"),
        ("${NONE:-$MAYBE}", None),
        ("${V#v}", "1.2.3"),
        ("${V%.*}", "v1.2"),
        ("${V%%.*}", "v1"),
        ("${V##*.}", "3"),
        ("${V/1/9}", "v9.2.3"),
        ("${V//./-}", "v1-2-3"),
        ("$MAYBE", None),
        ("x${MAYBE}y", None),
        ("${MAYBE:-d}", None),
        ("${NONE:?must}", None),
        ("${A", None),
        ("'open", None),
        ("${A!x}", None),
        ("cost: $", "cost: $"),
        ("$1", None),
    ],
)
def test_known_scope(text: str, expected: str | None) -> None:
    assert KNOWN.expand(text) == expected


def test_an_open_scope_does_not_know_unlisted_names() -> None:
    assert OPEN.expand("$A") == "a"
    assert OPEN.expand("$B") is None
    assert OPEN.expand("${B:-d}") is None


def test_other_escape_character() -> None:
    assert KNOWN.expand("c:\\$A`$", escape="`") == "c:\\a$"


def test_texts_that_grow_without_end_are_undetermined() -> None:
    text = "x" * 1000
    for _ in range(40):
        grown = Scope(values={"T": text}, closed=True).expand("$T$T")
        if grown is None:
            break
        text = grown
    assert grown is None


@given(st.text(alphabet="ab$AV{}:-+#%/*.'\"\\ ", max_size=40))
def test_never_raises(text: str) -> None:
    KNOWN.expand(text)


def test_deep_nesting_is_undetermined() -> None:
    assert KNOWN.expand("${N:-" * 5000 + "}" * 5000) is None


_TRIMS = st.sampled_from(["#", "##", "%", "%%"])
_WORD = st.text(alphabet="ab.", max_size=4)
_PART = st.one_of(
    _WORD,
    st.builds("${{{}:-{}}}".format, st.sampled_from(["A", "EMPTY", "NONE"]), _WORD),
    st.builds("${{{}-{}}}".format, st.sampled_from(["A", "EMPTY", "NONE"]), _WORD),
    st.builds("${{{}:+{}}}".format, st.sampled_from(["A", "EMPTY", "NONE"]), _WORD),
    st.builds("${{{}+{}}}".format, st.sampled_from(["A", "EMPTY", "NONE"]), _WORD),
    st.builds("${{V{}{}}}".format, _TRIMS, st.text(alphabet="v1.*", min_size=1, max_size=3)),
    st.builds("'{}'".format, _WORD),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PART, max_size=5).map("".join))
def test_the_shell_agrees(text: str) -> None:
    environment = {"A": "a", "EMPTY": "", "V": "v1.2.3"}
    said = subprocess.run(["/bin/sh", "-fc", f"printf %s {text}"], env=environment, capture_output=True, check=True)
    assert KNOWN.expand(text) == said.stdout.decode()
