"""The command line of a build. Pure: a test reads what would be run."""

from __future__ import annotations

from pathlib import Path

from builders.buildkit.client import BuildClient, ClientKind
from builders.model import BuildRequest


def build_argv(
    request: BuildRequest, *, client: BuildClient, context: Path, dockerfile: Path, image_id_file: Path
) -> list[str]:
    """The arguments for `client`. Values of build args are not among them; see `environment.with_build_args`."""
    command = [str(client.path)]
    if client.kind is ClientKind.BUILDX:
        # The default builder is the engine's own, whatever `buildx use` chose; the attestation that newer versions add
        # by default would make an index of the image.
        command += ["buildx", "build", "--builder", "default", "--load", "--provenance=false"]
    else:
        command += ["build"]
    command += ["--progress", "plain", "--iidfile", str(image_id_file)]
    command += ["--file", str(dockerfile), "--tag", request.tag]
    if request.target:
        command += ["--target", request.target]
    if request.no_cache:
        command.append("--no-cache")
    for name in sorted(request.build_args):
        command += ["--build-arg", name]
    for name, value in sorted(request.labels.items()):
        command += ["--label", f"{name}={value}"]
    for name, file in sorted(request.secrets.items()):
        command += ["--secret", f"id={name},src={file}"]
    return [*command, str(context)]
