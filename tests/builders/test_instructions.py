"""Steps and the lines of a Dockerfile they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.instructions import find_image, find_step, instructions, syntax_line

DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG BASE=debian
FROM debian:bookworm AS build
RUN make
RUN apt-get update && \\
    # a comment in between

    apt-get install -y gcc
FROM build AS test
RUN make
COPY --from=build /a /b
FROM --platform=linux/amd64 docker.io/library/debian:bookworm
ENV V=1
WORKDIR /srv/$V
COPY $V /srv
RUN <<EOF
FROM nowhere
RUN nothing
EOF
run make
"""


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("[build 1/3] FROM docker.io/library/debian:bookworm@sha256:abc", 3),
        ("[build 2/3] RUN make", 4),
        ("[build 3/3] RUN apt-get update &&     apt-get install -y gcc", 5),
        ("[test 1/2] RUN make", 10),
        ("[test 2/2] COPY --from=build /a /b", 11),
        ("[stage-2 2/5] WORKDIR /srv/1", 14),
        ("[stage-2 3/5] COPY 1 /srv", 15),
        ("[stage-2 4/5] RUN <<EOF (FROM nowhere...)", 16),
        ("[stage-2 5/5] RUN make", 20),
    ],
)
def test_a_step_is_found(title: str, line: int) -> None:
    found = find_step(DOCKERFILE, title)
    assert found is not None
    assert found.line == line


@pytest.mark.parametrize("title", ["[internal] load build context", "exporting to image", "", "[9/9] RUN other"])
def test_what_is_no_step_of_the_file_is_not(title: str) -> None:
    assert find_step(DOCKERFILE, title) is None


def test_the_only_stage_has_no_name_in_the_title() -> None:
    found = find_step("FROM x\nRUN a\nRUN b\n", "[3/3] RUN b")
    assert found is not None
    assert found.line == 3


def test_an_image_is_found_by_its_short_name() -> None:
    for image in ("docker.io/library/debian:bookworm", "debian:bookworm"):
        found = find_image(DOCKERFILE, image)
        assert found is not None
        assert found.line == 3
    assert find_image(DOCKERFILE, "docker.io/library/alpine:3") is None


def test_another_escape_character() -> None:
    found = instructions("# escape=`\nFROM x\nRUN a `\n  b\nRUN c\\\n")
    assert [(item.line, item.text) for item in found] == [(2, "FROM x"), (3, "RUN a b"), (5, "RUN c\\")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# syntax=docker/dockerfile:1\nFROM x", 1),
        ("# a comment\n#Syntax = x\nFROM x", 2),
        ("FROM x\n# syntax=late", None),
        ("# syntax=\nFROM x", None),
        ("\n# syntax=x\n", None),
        ("", None),
    ],
)
def test_the_syntax_directive(text: str, line: int | None) -> None:
    assert syntax_line(text) == line


@given(st.text(alphabet="FROMRUN \\\n#<EOF`='\"x", max_size=120))
def test_any_text_is_survived(text: str) -> None:
    for item in instructions(text):
        assert 1 <= item.line <= len(text.splitlines())
    find_step(text, "[1/2] RUN x")
