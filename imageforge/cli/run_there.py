"""A run at a server: the context is packed and sent, and the build followed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from imageforge.cli.follow import follow
from imageforge.cli.output import Format, say
from imageforge.client.server import Server
from imageforge.config import load_repository
from imageforge.errors import UsageError
from imageforge.pipeline.own_manifests import names
from imageforge.pipeline.plan import Request, app_name
from imageforge.report.units import megabytes
from imageforge.sources import pack


def execute_there(request: Request, form: Format, server: Server) -> None:
    """Pack, send, follow. Ctrl-C after that leaves the build running, and says how to see it."""
    if not request.path.is_dir():
        raise UsageError(
            "context-missing", str(request.path), "there is no such folder", hint="name the folder with the Dockerfile"
        )
    config = load_repository(request.path)
    name = app_name(request, config)
    dockerfile = request.dockerfile
    with server, tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "context.tar.gz"
        with archive.open("wb") as out:
            packed = pack(
                request.path,
                out,
                dockerfile=dockerfile.resolve() if dockerfile else None,
                also=names(request.path, config.manifests) if config.manifests is not None else (),
            )
        options = {
            "dockerfile": _inside(request.path, dockerfile) if dockerfile else None,
            "tag": request.tag,
            "target": request.target,
            "args": dict(request.build_args),
            "no_cache": request.no_cache,
            "deploy": request.deploy,
            "squash": request.squash.value if request.squash else None,
            "port": request.port,
            "replicas": request.replicas,
        }
        build = server.upload(name, archive, {key: value for key, value in options.items() if value is not None})
        say(f"sent {packed.files} files, {megabytes(packed.bytes)}: build {build} at {server.url}")
        follow(build, server.events(build), form)


def _inside(folder: Path, dockerfile: Path) -> str:
    """Where the packed archive has the Dockerfile."""
    try:
        return dockerfile.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return ".imageforge/Dockerfile"
