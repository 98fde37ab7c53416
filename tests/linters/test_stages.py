"""The chain of a target, what is known at each step, and what a container starts."""

from __future__ import annotations

import time

import pytest

from linters import DockerfileError
from linters.dockerfile import parse
from linters.entry import entry_of
from linters.stages import Plan, mount_options, plan


def planned(text: str, target: str | None = None, **build_args: str) -> Plan:
    parsed = parse(text)
    assert parsed.problems == ()
    return plan(parsed, target=target, build_args=build_args, subject="Dockerfile")


THREE = """
ARG TAG=1
FROM a:${TAG} AS base
USER 1
FROM b:2 AS Tools
RUN x
FROM base AS web
COPY --from=tools /x /x
FROM base AS worker
RUN --mount=from=c:3,target=/c x
"""


def test_unknown_target_names_the_stages() -> None:
    with pytest.raises(DockerfileError) as caught:
        planned(THREE, "wev")
    assert caught.value.code == "dockerfile-target-unknown"
    assert caught.value.hint is not None
    assert "base, tools, web, worker" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "chain", "reachable", "images"),
    [
        (None, [0, 3], {0, 3}, ["a:1", "c:3"]),
        ("web", [0, 2], {0, 1, 2}, ["a:1", "b:2"]),
        ("WEB", [0, 2], {0, 1, 2}, ["a:1", "b:2"]),
        ("1", [1], {1}, ["b:2"]),
        ("base", [0], {0}, ["a:1"]),
    ],
)
def test_chain_and_reach(target: str | None, chain: list[int], reachable: set[int], images: list[str]) -> None:
    found = planned(THREE, target)
    assert [stage.index for stage in found.chain] == chain
    assert found.reachable == reachable
    assert [source.reference for source in found.sources()] == images


@pytest.mark.parametrize(
    ("text", "args", "base"),
    [
        ("ARG B=imageforge/python:3.11\nFROM ${B}\n", {}, "imageforge/python:3.11"),
        ("ARG B=imageforge/python:3.11\nFROM ${B}\n", {"B": "x:1"}, "x:1"),
        ("ARG B\nFROM ${B:-x:1}\n", {}, "x:1"),
        ("ARG B\nFROM ${B}\n", {}, None),
        ("ARG A=1\nARG B=x:$A\nFROM $B\n", {}, "x:1"),
        ("FROM x:$TARGETARCH\n", {}, None),
        ("FROM scratch\n", {}, "scratch"),
        ("FROM --platform=$BUILDPLATFORM x:1 AS b\nFROM b\n", {}, "x:1"),
        ("FROM x:1 AS x\nFROM x\n", {}, "x:1"),
    ],
)
def test_base_image(text: str, args: dict[str, str], base: str | None) -> None:
    assert planned(text, **args).base_image == base


def user(text: str, **build_args: str) -> str | None:
    step = planned(text, **build_args).last("USER")
    assert step is not None
    return step.expand(step.instruction.arguments)


def test_scope_of_arg_and_env() -> None:
    assert user("ARG U=1\nFROM a:1\nUSER $U\n") is None  # a global ARG has to be declared again
    assert user("ARG U=1\nFROM a:1\nARG U\nUSER $U\n") == "1"
    assert user("ARG U=1\nFROM a:1\nARG U=2\nUSER $U\n") == "2"
    assert user("ARG U=1\nFROM a:1\nARG U=2\nUSER $U\n", U="3") == "3"
    assert user("FROM a:1\nARG U=2\nENV U=4\nUSER $U\n", U="3") == "4"
    assert user("FROM a:1\nENV U=1\nENV U=2 V=$U\nUSER $V\n") == "1"
    assert user("FROM a:1 AS b\nENV U=1\nARG W=9\nFROM b\nUSER $U$W\n") is None  # ARG is not inherited
    assert user("FROM a:1 AS b\nENV U=1\nFROM b\nUSER $U\n") == "1"
    assert user("FROM scratch\nUSER ${U:-5}\n") == "5"
    assert user("FROM a:1\nUSER ${U:-5}\n") is None  # the base image may set it
    assert user("FROM a:1\nUSER 1\nENV U=2\n") == "1"


def test_workdir() -> None:
    steps = list(planned("FROM a:1\nWORKDIR x\nRUN 1\nWORKDIR /a\nWORKDIR b\nRUN 2\nWORKDIR $Q\nRUN 3\n").steps("RUN"))
    assert [step.workdir for step in steps] == ["?/x", "/a/b", "?"]
    assert steps[1].path("../c") == "/a/b/../c"
    assert planned("FROM scratch\nRUN x\n").chain[0].steps[0].workdir == "/"


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("FROM a:1\n", ()),
        ('FROM a:1\nCMD ["a"]\nCMD ["b"]\n', ("b",)),
        ('FROM a:1\nCMD ["x"]\nENTRYPOINT ["e"]\n', ("e", "x")),
        ('FROM a:1 AS b\nCMD ["x"]\nFROM b\nENTRYPOINT ["e"]\n', ("e",)),
        ('FROM a:1 AS b\nENTRYPOINT ["e"]\nFROM b\nCMD ["x"]\n', ("e", "x")),
        ('FROM a:1\nENTRYPOINT ["e"]\nENTRYPOINT []\nCMD ["x"]\n', ("x",)),
        ("FROM a:1\nCMD x\n", None),
        ('FROM a:1\nENTRYPOINT e\nCMD ["x"]\n', None),
    ],
)
def test_entry(text: str, argv: tuple[str, ...] | None) -> None:
    assert entry_of(planned(text)).argv == argv


def test_mount_options() -> None:
    assert mount_options("type=cache,dst=/x,ro") == {"type": "cache", "dst": "/x", "ro": "", "target": "/x"}


def test_a_file_with_many_variables_takes_no_square_of_time() -> None:
    text = "FROM a:1\n" + "".join(f"ENV N{number}=$N{number - 1}\n" for number in range(20_000))
    started = time.process_time()
    assert len(planned(text).target.steps) == 20_000
    assert time.process_time() - started < 20
