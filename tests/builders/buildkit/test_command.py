"""What is run, and in which environment: nothing secret in the arguments, nothing that redirects the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import BuildClient, BuildRequest, ClientKind, ContextError, Endpoint
from builders.buildkit.argv import build_argv
from builders.buildkit.environment import client_environment, with_build_args

REQUEST = BuildRequest(
    context=Path("/c"),
    dockerfile=Path("Dockerfile"),
    tag="imageforge-test/x:1",
    target="web",
    build_args={"TOKEN": "s3cret", "A": "b"},
    labels={"io.imageforge.instance": "i"},
    no_cache=True,
)
ENDPOINT = Endpoint(host="unix:///run/e.sock", origin="test")


def argv(kind: ClientKind) -> list[str]:
    client = BuildClient(path=Path("/usr/bin/docker"), kind=kind, version="1")
    return build_argv(
        REQUEST, client=client, context=Path("/c"), dockerfile=Path("/c/Dockerfile"), image_id_file=Path("/t/id")
    )


@pytest.mark.parametrize("kind", list(ClientKind))
def test_values_of_build_args_are_not_in_the_arguments(kind: ClientKind) -> None:
    command = argv(kind)
    assert "s3cret" not in " ".join(command)
    assert command[command.index("TOKEN") - 1] == "--build-arg"
    assert command[-1] == "/c"


def test_the_built_in_client() -> None:
    assert argv(ClientKind.BUILTIN) == [
        *("/usr/bin/docker", "build", "--progress", "plain", "--iidfile", "/t/id", "--file", "/c/Dockerfile"),
        *("--tag", "imageforge-test/x:1", "--target", "web", "--no-cache", "--build-arg", "A", "--build-arg", "TOKEN"),
        *("--label", "io.imageforge.instance=i", "/c"),
    ]


def test_buildx_uses_the_engines_own_builder_and_makes_no_index() -> None:
    expected = ["buildx", "build", "--builder", "default", "--load", "--provenance=false"]
    assert argv(ClientKind.BUILDX)[1:7] == expected


def test_the_environment_redirects_nothing() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/root",
        "DOCKER_CONFIG": "/cfg",
        "DOCKER_HOST": "tcp://other",
        "DOCKER_CONTEXT": "other",
        "BUILDX_BUILDER": "other",
        "DOCKER_DEFAULT_PLATFORM": "linux/arm64",
        "BUILDKIT_PROGRESS": "tty",
        "AWS_SECRET_ACCESS_KEY": "x",
        "https_proxy": "http://p",
    }
    assert client_environment(environ, ENDPOINT) == {
        "PATH": "/bin",
        "HOME": "/root",
        "DOCKER_CONFIG": "/cfg",
        "https_proxy": "http://p",
        "DOCKER_HOST": "unix:///run/e.sock",
        "DOCKER_BUILDKIT": "1",
        "DOCKER_CLI_HINTS": "false",
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("A B", "", "invalid-build-arg"),
        ("A=B", "", "invalid-build-arg"),
        ("", "", "invalid-build-arg"),
        ("-x", "", "invalid-build-arg"),
        ("A", "x\0y", "invalid-build-arg"),
        ("DOCKER_HOST", "tcp://evil", "reserved-build-arg"),
        ("DOCKER_CONFIG", "x", "reserved-build-arg"),
        ("PATH", "/x", "reserved-build-arg"),
        ("HOME", "/x", "reserved-build-arg"),
        ("LD_PRELOAD", "/x.so", "reserved-build-arg"),
        ("GODEBUG", "x", "reserved-build-arg"),
        ("BUILDX_BUILDER", "x", "reserved-build-arg"),
        ("BUILDKIT_HOST", "x", "reserved-build-arg"),
    ],
)
def test_build_args_that_would_steer_the_client_are_refused(name: str, value: str, code: str) -> None:
    with pytest.raises(ContextError) as caught:
        with_build_args({}, {name: value})
    assert caught.value.code == code
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "BUILDKIT_INLINE_CACHE", "VERSION", "GOOS", "GOFLAGS", "_x"])
def test_other_build_args_travel(name: str) -> None:
    assert with_build_args({"A": "1"}, {name: "v"}) == {"A": "1", name: "v"}
