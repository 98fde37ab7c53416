"""The command line of a build, and its environment. Pure, so that tests can read it.

Values of build arguments go by the environment: argv can be read by every user of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builders.buildkit.client import BuildClient, ClientKind
from builders.locate import Endpoint
from builders.model import BuildRequest


def build_argv(request: BuildRequest, client: BuildClient, iid_file: Path) -> list[str]:
    """What is run. The image goes into the engine's own store; provenance would make an index of it."""
    head = [str(client.path), "buildx", "build", "--load", "--provenance=false"]
    if client.kind is ClientKind.BUILT_IN:
        head = [str(client.path), "build"]
    options = ["--progress=plain", f"--iidfile={iid_file}", f"--file={request.dockerfile}", f"--tag={request.tag}"]
    if request.target:
        options.append(f"--target={request.target}")
    if request.no_cache:
        options.append("--no-cache")
    options += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    options += [word for name in sorted(request.build_args) for word in ("--build-arg", name)]
    return [*head, *options, "--", str(request.context)]


def build_environ(
    request: BuildRequest, client: BuildClient, endpoint: Endpoint, environ: Mapping[str, str]
) -> dict[str, str]:
    """The client's environment: its own needs, the engine, and the build arguments, whatever else was set."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("DOCKER_", "BUILDKIT_", "BUILDX_"))}
    for name in ("DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "BUILDX_CONFIG"):
        if name in environ:
            kept[name] = environ[name]
    own = {"DOCKER_HOST": endpoint.host, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    if client.kind is ClientKind.BUILDX:
        # The builder that belongs to the engine itself; another one keeps its images elsewhere.
        own["BUILDX_BUILDER"] = "default"
    return {**kept, **request.build_args, **own}
