"""References: what Docker accepts is accepted, and what it refuses is refused with the part that is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidReference
from registry.reference import ImageRef

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest", "familiar"),
    [
        ("debian", "docker.io", "library/debian", None, None, "debian"),
        ("debian:12", "docker.io", "library/debian", "12", None, "debian:12"),
        ("imageforge/hello:1.0", "docker.io", "imageforge/hello", "1.0", None, "imageforge/hello:1.0"),
        ("index.docker.io/debian", "docker.io", "library/debian", None, None, "debian"),
        ("localhost/a", "localhost", "a", None, None, "localhost/a"),
        ("127.0.0.1:8705/a/b:c", "127.0.0.1:8705", "a/b", "c", None, "127.0.0.1:8705/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000", "a", None, None, "[::1]:5000/a"),
        (f"r.example/a@sha256:{HEX}", "r.example", "a", None, f"sha256:{HEX}", f"r.example/a@sha256:{HEX}"),
        (f"a:b@sha256:{HEX}", "docker.io", "library/a", "b", f"sha256:{HEX}", f"a:b@sha256:{HEX}"),
    ],
)
def test_what_docker_accepts(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None, familiar: str
) -> None:
    found = ImageRef.parse(text)
    assert found == ImageRef(registry=registry, repository=repository, tag=tag, digest=digest)
    assert found.familiar == familiar
    assert ImageRef.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no repository"),
        ("Debian", "lower case: debian"),
        ("a//b", "no repository"),
        ("a:", "no tag"),
        ("a:b c", "no tag"),
        ("a@sha256:abc", "no digest"),
        ("a@", "no digest"),
        ("-a", "no repository"),
        ("exa_mple.org/a", "no registry"),
        ("a" * 300, "more than 255"),
    ],
)
def test_what_docker_refuses(text: str, part: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageRef.parse(text)
    assert caught.value.code == "invalid-reference"
    assert part in f"{caught.value.message} {caught.value.hint}"


COMPONENT = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?", fullmatch=True)


@given(
    registry=st.sampled_from(["docker.io", "localhost:5000", "127.0.0.1:1", "r.example.org"]),
    repository=st.lists(COMPONENT, min_size=2, max_size=4).map("/".join),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)
def test_printing_and_parsing_are_inverse(registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    reference = ImageRef(registry=registry, repository=repository, tag=tag, digest=digest)
    assert ImageRef.parse(str(reference)) == reference


@given(st.text(max_size=80))
def test_nothing_but_the_one_error_is_raised(text: str) -> None:
    with contextlib.suppress(InvalidReference):
        assert ImageRef.parse(text).repository
