"""imageforge lint: the design rules and hadolint over Dockerfiles."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, document, show
from imageforge.errors import UsageError
from imageforge.pipeline.event import EventKind, Recorder
from imageforge.pipeline.gate import finding_data, summary
from imageforge.report.progress import Progress
from linters import Budget, LintReport, Severity, check


def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="Dockerfiles, or folders that hold one.")] = None,
    context: Annotated[Path | None, typer.Option("--context", help="The build context, where it is elsewhere.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="The stage that would be built.")] = None,
    build_arg: Annotated[list[str] | None, typer.Option("--build-arg", help="NAME=VALUE, as for build.")] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="A built image in the place of files.")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="IMAGE", help="With --image: its base image, or `scratch`.")
    ] = None,
    fail_on: Annotated[Severity, typer.Option("--fail-on", help="The mildest severity that fails.")] = Severity.ERROR,
    form: FormatOption = Format.TABLE,
) -> None:
    """Check Dockerfiles against the container design rules. Exit code 2 when one is refused."""
    if image is not None:
        reports = [_image(image, base, others=bool(paths or context or target or build_arg))]
    else:
        files = [found for path in paths or [Path()] for found in dockerfiles(path)]
        arguments = parse_build_args(build_arg)
        reports = [
            check(file, context=context or file.parent, target=target, build_args=arguments, display_name=str(file))
            for file in files
        ]
    if form in (Format.JSON, Format.YAML):
        document([asdict(report) for report in reports], form)
    elif form is Format.MARKDOWN:
        rows = [asdict(finding) for report in reports for finding in report.findings]
        show(rows, columns=("file", "line", "severity", "rule", "message", "fix"), form=form)
    else:
        _print(reports)
    if any(report.at_least(fail_on) for report in reports):
        raise typer.Exit(2)


def _image(image: str, base: str | None, *, others: bool) -> LintReport:
    """Raises UsageError (`image-or-files`)."""
    if others:
        raise UsageError(
            "image-or-files",
            "--image",
            "it is checked in the place of files",
            hint="leave out the paths and their options",
        )
    from imageforge.cli.lint_image import lint_image  # noqa: PLC0415 - opening images takes half a second to load

    return lint_image(image, base=base, budget=Budget())


def dockerfiles(path: Path) -> list[Path]:
    """The Dockerfiles that a path means. Raises UsageError (`dockerfile-missing`)."""
    if path.is_dir():
        patterns = ("Dockerfile", "*.Dockerfile", "Dockerfile.*", "Containerfile")
        found = sorted({file for pattern in patterns for file in path.rglob(pattern) if file.is_file()})
        # Not what others keep in the folder: .git, .venv, node_modules.
        found = [file for file in found if not _is_foreign(file.relative_to(path))]
        # Dockerfile.dockerignore is BuildKit's name for an ignore file.
        found = [file for file in found if file.suffix != ".dockerignore"]
        if not found:
            raise UsageError(
                "dockerfile-missing", str(path), "no Dockerfile in this folder or below", hint="name the file"
            )
        return found
    return [path]


def _is_foreign(file: Path) -> bool:
    return any(part.startswith(".") or part == "node_modules" for part in file.parts[:-1])


def parse_build_args(values: list[str] | None) -> dict[str, str]:
    """NAME=VALUE pairs; NAME alone takes its value from the environment. Raises UsageError (`invalid-build-arg`)."""
    parsed: dict[str, str] = {}
    for text in values or []:
        name, separator, value = text.partition("=")
        if not name.isidentifier():
            raise UsageError("invalid-build-arg", name, "expected NAME=VALUE", hint="--build-arg BASE_IMAGE=debian:12")
        if separator:
            parsed[name] = value
        elif name in os.environ:
            parsed[name] = os.environ[name]
    return parsed


def _print(reports: list[LintReport]) -> None:
    with Progress(stream=sys.stdout, everything=True) as progress:
        recorder = Recorder(listeners=(progress,))
        for report in reports:
            for finding in report.findings:
                recorder.emit("lint", EventKind.FINDING, finding.message, **finding_data(finding))
            for note in report.notes:
                recorder.emit("lint", EventKind.NOTE, note)
            recorder.emit("lint", EventKind.STAGE_FINISHED, summary(report))
