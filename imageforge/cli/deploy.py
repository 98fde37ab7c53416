"""imageforge deploy: build, release, roll out, report."""

from __future__ import annotations

from pathlib import Path

from builders import SquashMode
from imageforge.cli.build import (
    BuildArgOption,
    FileOption,
    NameOption,
    NoCacheOption,
    PathArgument,
    PortOption,
    ReplicasOption,
    SquashOption,
    TargetOption,
    execute,
)
from imageforge.cli.build_args import parse_build_args
from imageforge.cli.output import Format, FormatOption
from imageforge.pipeline.plan import Request


def deploy(
    path: PathArgument = Path(),
    file: FileOption = None,
    build_arg: BuildArgOption = None,
    target: TargetOption = None,
    no_cache: NoCacheOption = False,
    squash: SquashOption = None,
    name: NameOption = None,
    port: PortOption = None,
    replicas: ReplicasOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Build the folder PATH, release it and roll it out.

    The running replicas are replaced without losing a request, and a report says how that went.
    """
    request = Request(
        path=path,
        dockerfile=file,
        target=target,
        build_args=parse_build_args(build_arg),
        no_cache=no_cache,
        deploy=True,
        squash=SquashMode(squash.value) if squash else None,
        name=name,
        port=port,
        replicas=replicas,
    )
    execute(request, form)
