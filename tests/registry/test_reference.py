"""References: what is refused, what is completed, and that printing and parsing are inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidReference
from registry.reference import ImageRef, is_digest

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "nothing was given"),
        ("Debian", "upper-case"),
        ("localhost:5000/Team/app", "upper-case"),
        ("a//b", "two slashes"),
        ("a/", "two slashes"),
        ("/a", "two slashes"),
        ("localhost:5000/", "names no repository"),
        (":tag", "names no repository"),
        ("a b", "not valid"),
        ("a..b", "not valid"),
        ("a___b", "not valid"),
        ("-a", "not valid"),
        ("a:.tag", "the tag '.tag'"),
        ("a:" + "t" * 129, "the tag"),
        ("a:tag\n", "the tag"),
        ("a:", "the tag ''"),
        ("a@", "is not a digest"),
        ("a@sha256:abc", "64 lower-case"),
        ("a@sha256:" + "A" * 64, "64 lower-case"),
        ("a@md5:" + "a" * 32, "is not a digest"),
        ("a@" + DIGEST + "@" + DIGEST, "lower-case hexadecimal"),
        ("-host.example/a", "not a host"),
        ("host.example:port/a", "not a host"),
        ("[::1/a", "not a host"),
        ("a/" * 130 + "a", "longer than 255"),
        ("é", "not valid"),
        ("f" * 64, "image ID"),
        ("https://example.org/a", "not a host"),
    ],
)
def test_refuses_and_says_why(text: str, part_of_message: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageRef.parse(text)
    assert caught.value.code == "invalid-reference"
    assert part_of_message in caught.value.message


def test_upper_case_gets_the_lower_case_spelling_as_hint() -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageRef.parse("MyApp:v1")
    assert caught.value.hint == "write myapp:v1"


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
        ("library/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/debian", "docker.io/library/debian", "debian"),
        ("team/app:v1", "docker.io/team/app:v1", "team/app:v1"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        ("127.0.0.1:8705/a/b:x", "127.0.0.1:8705/a/b:x", "127.0.0.1:8705/a/b:x"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("ghcr.io/o/r@" + DIGEST, "ghcr.io/o/r@" + DIGEST, "ghcr.io/o/r@" + DIGEST),
        ("a:t@" + DIGEST, "docker.io/library/a:t@" + DIGEST, "a:t@" + DIGEST),
        ("HOST/app", "HOST/app", "HOST/app"),
        ("a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g", "a__b/c--d/e.f_g"),
    ],
)
def test_completes_as_docker_does(text: str, canonical: str, familiar: str) -> None:
    ref = ImageRef.parse(text)
    assert str(ref) == canonical
    assert ref.familiar == familiar
    assert ImageRef.parse(ref.familiar) == ref


def test_neither_tag_nor_digest_is_invented() -> None:
    ref = ImageRef.parse("localhost:5000/app")
    assert (ref.registry, ref.repository, ref.tag, ref.digest) == ("localhost:5000", "app", None, None)


def test_with_tag_and_with_digest_give_new_values() -> None:
    ref = ImageRef.parse("localhost:5000/app:v1")
    assert str(ref.with_digest(DIGEST)) == f"localhost:5000/app:v1@{DIGEST}"
    assert str(ref.with_digest(DIGEST).with_tag("v2")) == "localhost:5000/app:v2"
    assert ref.tag == "v1"
    with pytest.raises(InvalidReference):
        ref.with_tag("no/slash")
    with pytest.raises(InvalidReference):
        ref.with_digest("sha256:0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(DIGEST, True), ("sha512:" + "a" * 128, True), ("sha256:" + "g" * 64, False), ("sha256:", False), ("", False)],
)
def test_is_digest(text: str, expected: bool) -> None:
    assert is_digest(text) is expected


parts = st.from_regex(r"[a-z0-9]{1,8}(?:(?:\.|_|__|-)[a-z0-9]{1,8})?", fullmatch=True)
registries = st.sampled_from(["docker.io", "localhost", "localhost:5000", "127.0.0.1:8705", "ghcr.io", "[::1]:80"])


@given(
    registry=registries,
    repository=st.lists(parts, min_size=2, max_size=4).map("/".join),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.none() | st.just(DIGEST),
)
def test_printing_and_parsing_are_inverse(registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    ref = ImageRef(registry=registry, repository=repository, tag=tag, digest=digest)
    assert ImageRef.parse(str(ref)) == ref
    assert ImageRef.parse(ref.familiar).tag == tag


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except InvalidReference:
        return
    assert ImageRef.parse(str(ref)) == ref
