"""Explanations for failures that cannot be had at will on a healthy engine, from what clients printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.buildkit.failure import broke_off, explain
from builders.buildkit.progress import ProgressParser
from builders.errors import BuilderError, DiskFull, StepFailed


def explained(tmp_path: Path, said: str, dockerfile: str = "FROM x\nRUN a\nRUN b\n") -> BuilderError:
    path = tmp_path / "Dockerfile"
    path.write_text(dockerfile)
    parser = ProgressParser()
    list(parser.feed(said.encode()))
    list(parser.finish())
    return explain(parser, dockerfile=path, exit_code=1)


@pytest.mark.parametrize(
    "said",
    [
        "#4 [2/3] RUN a\n#4 0.3 cp: write error: No space left on device\n#4 ERROR: executor failed: exit code: 1\n",
        "#4 [2/3] RUN a\n#4 ERROR: mkdir /var/lib/docker/x: no space left on device\n",
        "error: failed to solve: write /x: no space left on device\n",
    ],
)
def test_a_full_disk(tmp_path: Path, said: str) -> None:
    error = explained(tmp_path, said)
    assert isinstance(error, DiskFull)
    assert error.code == "disk-full"
    assert error.kind == "environment"


def test_the_line_that_a_newer_client_prints_is_used(tmp_path: Path) -> None:
    said = (
        '#5 [2/3] RUN generated\n#5 ERROR: process "/bin/sh -c x" did not complete successfully: exit code: 7\n'
        "------\n > [2/3] RUN generated:\n------\nDockerfile:3\n-----\n   3 | >>> RUN b\n-----\n"
    )
    error = explained(tmp_path, said)
    assert (error.subject, error.code) == ("Dockerfile:3", "build-step-failed")
    assert "exit code 7" in error.message


@pytest.mark.parametrize(("code", "part"), [(126, "cannot be executed"), (127, "not found"), (137, "memory")])
def test_codes_that_say_more(tmp_path: Path, code: int, part: str) -> None:
    error = explained(tmp_path, f"#4 [2/3] RUN a\n#4 ERROR: executor failed running [a]: exit code: {code}\n")
    assert part in (error.hint or "")


@pytest.mark.parametrize(
    ("said", "broke"),
    [
        ("cannot write /tmp/x/image-id because server did not provide an image ID\n", True),
        (
            "ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF\n",
            True,
        ),
        ("#4 [2/3] RUN a\n#4 0.1 error reading from server\n#4 ERROR: executor failed: exit code: 1\n", False),
        ("", False),
    ],
)
def test_a_client_whose_engine_ended_says_so(said: str, broke: bool) -> None:
    parser = ProgressParser()
    list(parser.feed(said.encode()))
    list(parser.finish())
    assert broke_off(parser) is broke


@pytest.mark.parametrize("said", ["", "error: something new happened\n", "#1 [internal] load x\n#1 ERROR: strange\n"])
def test_what_is_not_understood_is_passed_on(tmp_path: Path, said: str) -> None:
    error = explained(tmp_path, said)
    assert isinstance(error, StepFailed)
    assert error.code == "build-failed"
    assert "exit code 1" in error.message
    for word in ("something new happened", "strange"):
        assert (word in error.message) == (word in said)


def test_a_dockerfile_that_vanished_is_survived(tmp_path: Path) -> None:
    parser = ProgressParser()
    list(parser.feed(b"#4 [2/3] RUN a\n#4 ERROR: executor failed running [a]: exit code: 2\n"))
    error = explain(parser, dockerfile=tmp_path / "gone", exit_code=1)
    assert error.subject == "gone"
