"""imageforge build: lint, build, squash, push; with --deploy, release and roll out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from builders import SquashMode
from imageforge.cli.backend import active_server
from imageforge.cli.build_args import parse_build_args
from imageforge.cli.output import Format, FormatOption
from imageforge.cli.run_there import execute_there
from imageforge.pipeline.plan import Request

PathArgument = Annotated[Path, typer.Argument(help="The folder to build: its context, and imageforge.toml.")]
FileOption = Annotated[Path | None, typer.Option("-f", "--file", help="The Dockerfile, where it is not in PATH.")]
BuildArgOption = Annotated[
    list[str] | None, typer.Option("--build-arg", help="NAME=VALUE, or NAME from the environment.")
]
TargetOption = Annotated[str | None, typer.Option("--target", help="The stage to build.")]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Run every step again.")]


class SquashChoice(StrEnum):
    """The values of --squash: what can be said of an image before it is there."""

    AUTO = SquashMode.AUTO.value
    FROM_BASE = SquashMode.FROM_BASE.value
    ALL = SquashMode.ALL.value
    NONE = SquashMode.NONE.value


SquashOption = Annotated[SquashChoice | None, typer.Option("--squash", help="Which layers to merge.")]
NameOption = Annotated[str | None, typer.Option("--name", help="The app's name.")]
PortOption = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Where the app listens.")]
ReplicasOption = Annotated[int | None, typer.Option("--replicas", min=0, max=100, help="How many copies run.")]


def build(
    path: PathArgument = Path(),
    file: FileOption = None,
    tag: Annotated[
        str | None, typer.Option("-t", "--tag", help="Where to push it, or with --no-push its name.")
    ] = None,
    build_arg: BuildArgOption = None,
    target: TargetOption = None,
    no_cache: NoCacheOption = False,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push the result to the registry.")] = True,
    squash: SquashOption = None,
    deploy: Annotated[bool, typer.Option("--deploy", help="Release and roll out what was built.")] = False,
    name: NameOption = None,
    port: PortOption = None,
    replicas: ReplicasOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Lint, build, squash and push the folder PATH. Prints the image by digest."""
    request = Request(
        path=path,
        dockerfile=file,
        tag=tag,
        target=target,
        build_args=parse_build_args(build_arg),
        no_cache=no_cache,
        push=push,
        deploy=deploy,
        squash=SquashMode(squash.value) if squash else None,
        name=name,
        port=port,
        replicas=replicas,
    )
    execute(request, form)


def execute(request: Request, form: Format) -> None:
    """Carry a request out: at the server of the active context, or here."""
    server = active_server() if request.push else None
    if server is not None:
        execute_there(request, form, server)
        return
    from imageforge.cli.run_here import execute_here  # noqa: PLC0415 - a client has no engine

    execute_here(request, form)
