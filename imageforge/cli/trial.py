"""imageforge trial: an image run without rights, read-only and watched; what was measured, and the verdict."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imageforge.cli.lint_jobs import Asked, Configs, job_of
from imageforge.cli.output import Format, FormatOption, document, say, show, write
from imageforge.cli.state import Workplace
from imageforge.config.names import DEFAULT_PORT
from imageforge.errors import StackError
from imageforge.images.name import ImageName, Transport
from imageforge.pipeline.interrupt import cancelled_by_interrupt
from imageforge.pipeline.trials import tried
from imageforge.stack import engine_choice
from linters import (
    LintReport,
    Policy,
    Severity,
    TrialError,
    TrialLimits,
    TrialReport,
    TrialRequest,
    Verdict,
    by_policy,
)

EXIT = {Verdict.PASSED: 0, Verdict.REFUSED: 2, Verdict.UNMADE: 1}


def trial(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image in the engine, by name or ID.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD…]", help="In the place of the image's CMD.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="What the program is told by PORT.")
    ] = DEFAULT_PORT,
    seconds: Annotated[int, typer.Option("--seconds", min=5, max=600, help="How long it may take in all.")] = 30,
    again: Annotated[bool, typer.Option("--again", help="Measure, though it was measured before.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run an image and measure what no file tells.

    It runs twice at once, without network, capabilities and secrets, once with a read-only root: does it stay up, what
    does it write, which processes and users, how does it end, where does it listen. Exit code 0: it passed; 2: it is
    refused; 1: it could not be measured. Severities and waivers are those of [lint] in this folder's imageforge.toml.
    """
    policy, fail_on = _wishes(image)
    here = Workplace.here()
    here.home.prepare()
    name = ImageName.parse(image)
    request = TrialRequest(
        image=_in_engine(name),
        name=image,
        command=tuple(command) if command else None,
        port=port,
        limits=TrialLimits(seconds=float(seconds)),
    )
    with cancelled_by_interrupt() as cancelled:
        try:
            endpoint = engine_choice.answering(here.home, here.settings)
            report = tried(request, here.home, endpoint, cancelled=cancelled, again=again)
        except TrialError as error:
            if error.code == "trial-cancelled":
                raise KeyboardInterrupt from None
            raise
    report, settled = by_policy(report, policy, fail_on=fail_on)
    _show(report, settled, form)
    raise typer.Exit(EXIT[report.verdict])


def _wishes(image: str) -> tuple[Policy, Severity]:
    """What the folder that we are in asks for, as `lint --image` takes it."""
    configs, dockerfile = Configs(), Path("Dockerfile")
    asked = Asked(context=None, target=None, build_args={}, profile=None, comments=True)
    found = configs.of(dockerfile)
    fail_on = Severity(found[1].lint.fail_on) if found else Severity.ERROR
    return job_of(dockerfile, image, "", asked, configs).policy, fail_on


def _in_engine(name: ImageName) -> str:
    """How the engine calls it. Raises StackError (`image-not-in-engine`)."""
    if name.transport is not Transport.ENGINE:
        raise StackError(
            "image-not-in-engine",
            str(name),
            "an image is tried in the engine",
            hint=f"imageforge image copy {name} docker-daemon:NAME:TAG",
        )
    return name.tag or str(name.named)


def _show(report: TrialReport, settled: LintReport, form: Format) -> None:
    if form in (Format.JSON, Format.YAML):
        aside = [asdict(one) for one in settled.suppressed]
        document({**asdict(report), "suppressed": aside, "notes": list(settled.notes)}, form)
        return
    rows = [{"measured": one.name, "result": one.result.value, "what was seen": one.detail} for one in report.measures]
    if rows:
        show(rows, columns=("measured", "result", "what was seen"), form=form)
    for finding in report.findings:
        write("\n" + _folded(f"{finding.severity.value} {finding.rule}: {finding.message}"))
        write(_folded(f"  fix: {finding.fix}"))
    for one in settled.suppressed:
        write("\n" + _folded(f"set aside {one.finding.rule}: {one.finding.message}"))
        write(_folded(f"  {one.cause.value}: {one.reason}"))
    for note in settled.notes:
        write("\n" + _folded(f"note: {note}"))
    if report.last_words:
        write("\nits last words:")
        for line in report.last_words:
            write(f"  | {line}")
    kept = ", as it was measured before (--again measures)" if report.cached else f", {report.seconds:.1f} s"
    reason = f": {report.reason}" if report.reason else ""
    say(f"{report.name}: {report.verdict.value}{reason}{kept}")
    if report.hint:
        say(_folded(f"  hint: {report.hint}"))


def _folded(text: str) -> str:
    """A sentence within a terminal's width; a pipe gets it in one line."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
