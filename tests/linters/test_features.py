"""Frontend features, by version; and the engine as the judge of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import docker
import pytest

from linters import DockerfileError, frontend_features, syntax_directive


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError) as caught:
        frontend_features(tmp_path / "Dockerfile")
    assert caught.value.code == "dockerfile-missing"
    with pytest.raises(DockerfileError):
        syntax_directive(tmp_path / "Dockerfile")


# One instruction, the feature's name, the version that has it.
FEATURES = [
    ("COPY --chmod=644 f /", "COPY --chmod", (1, 2)),
    ("ADD --chmod=0644 f /", "ADD --chmod", (1, 2)),
    ("COPY --chmod=u+x f /", "COPY --chmod=u+x", (1, 14)),
    ("COPY --link f /", "COPY --link", (1, 4)),
    ("ADD --link f /", "ADD --link", (1, 4)),
    ("COPY --parents f /", "COPY --parents", (1, 20)),
    ("COPY --exclude=x f /", "COPY --exclude", (1, 19)),
    ("ADD --exclude=x f /", "ADD --exclude", (1, 19)),
    ("ADD --checksum=sha256:00 http://127.0.0.1:9/x /", "ADD --checksum", (1, 6)),
    ("ADD --keep-git-dir=true f /", "ADD --keep-git-dir", (1, 6)),
    ("ADD --unpack=true f /", "ADD --unpack", (1, 17)),
    ("RUN --network=none true", "RUN --network", (1, 3)),
    ("RUN --security=insecure true", "RUN --security", (1, 20)),
    ("RUN --device=x true", "RUN --device", (1, 14)),
    ("RUN --mount=type=secret,id=x,env=X true", "RUN --mount=…,env=", (1, 10)),
    ("HEALTHCHECK --start-interval=5s CMD true", "HEALTHCHECK --start-interval", (1, 6)),
    ("COPY <<EOF /x\nhi\nEOF", "COPY <<EOF", (1, 4)),
    ("ENV A=${B-x}", "${B-…}", (1, 6)),
    ("ENV A=1\nENV B=${A#v}", "${A#…}", (1, 7)),
    ("ENV A=1\nENV B=${A/v/w}", "${A/…}", (1, 7)),
]


@pytest.mark.parametrize(("instruction", "name", "needs"), FEATURES)
def test_each_feature(instruction: str, name: str, needs: tuple[int, int]) -> None:
    (feature,) = frontend_features(f"FROM scratch\n{instruction}\n")
    line = 2 + (instruction.count("\n") if instruction.startswith("ENV A=1") else 0)
    assert (feature.name, feature.needs, feature.line) == (name, needs, line)
    assert feature.remedy
    assert feature.excerpt == instruction.splitlines()[line - 2]


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN echo ${A#x} ${B-y}",
        "ENV A=${B:-x} C=${D:+y} E=\\${F#x}",
        "COPY --chown=1 --chmod=$MODE a b",
        'RUN ["cat", "<<EOF"]',
        "HEALTHCHECK --interval=1s CMD x",
    ],
)
def test_what_every_frontend_has(instruction: str) -> None:
    assert [one for one in frontend_features(f"FROM a:1\n{instruction}\n") if one.needs > (1, 2)] == []


def test_lines_inside_a_continued_instruction_and_onbuild(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    run = "RUN --mount=type=cache,target=/x \\\n  --network=none \\\n  x"
    path.write_text(f"FROM a:1\n{run}\nONBUILD COPY --link a b\n", encoding="utf-8")
    assert [(one.name, one.line) for one in frontend_features(path)] == [
        ("RUN --mount", 2),
        ("RUN --network", 3),
        ("COPY --link", 5),
    ]


@pytest.mark.parametrize(
    ("text", "image", "line"),
    [
        ("# syntax=docker/dockerfile:1\nFROM a\n", "docker/dockerfile:1", 1),
        ("# check=skip=all\n#SYNTAX = x/y:2 more\nFROM a\n", "x/y:2", 2),
    ],
)
def test_syntax_directive(text: str, image: str, line: int) -> None:
    directive = syntax_directive(text)
    assert directive is not None
    assert (directive.image, directive.line) == (image, line)


@pytest.mark.parametrize("text", ["FROM a\n", "# a comment\n# syntax=x\nFROM a\n", "\n# syntax=x\nFROM a\n", ""])
def test_no_syntax_directive(text: str) -> None:
    assert syntax_directive(text) is None


@pytest.mark.engine
@pytest.mark.parametrize(("instruction", "name", "needs"), FEATURES)
def test_an_old_engine_lacks_what_is_said_to_be_newer(
    docker_client: docker.DockerClient,
    engine_host: str,
    buildkit_cli: str,
    instance: str,
    tmp_path: Path,
    instruction: str,
    name: str,
    needs: tuple[int, int],
) -> None:
    """On an engine of 20.10 (frontend 1.2) a newer feature fails, an older one builds; newer engines know them all."""
    (tmp_path / "f").write_text("x")
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nCOPY f /f\n{instruction}\n")
    label = f"io.imageforge.instance={instance}"
    done = subprocess.run(
        [buildkit_cli, "build", "-q", "--label", label, "-t", f"imageforge-test/{instance}", "."],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": engine_host, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if not docker_client.version()["Version"].startswith("20.10."):
        assert "nknown flag" not in done.stderr or needs > (1, 4)
    elif needs <= (1, 2) or "chmod=u+x" in name:  # the symbolic mode is taken, and left out
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode != 0
        assert "parse error" in done.stderr or "missing ':'" in done.stderr or "nknown flag" in done.stderr, done.stderr
