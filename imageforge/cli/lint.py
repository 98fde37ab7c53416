"""imageforge lint: the design rules and hadolint over Dockerfiles."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

from imageforge import __version__
from imageforge.cli.build_args import parse_build_args
from imageforge.cli.failure import EXIT_CODES, exit_code
from imageforge.cli.lint_jobs import Asked, Configs, job_of, texts
from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import UsageError
from imageforge.report.failure import render
from linters import (
    DockerfileError,
    Finding,
    Job,
    LintError,
    LintReport,
    Outcome,
    Policy,
    Profile,
    Severity,
    check_all,
    masker,
    own_findings,
)
from linters.dockerfile import printable, read_text

_SURROGATE = re.compile("[\ud800-\udfff]")
_Choice = TypeVar("_Choice", bound=StrEnum)
DESCRIPTION = """Check Dockerfiles against the container design rules.

Exit code 0: none is refused; 2: one has a finding at --fail-on or graver. imageforge.toml says what a project asks for.
"""


class LintFormat(StrEnum):
    """The values of --format."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"
    GITHUB = "github"
    MARKDOWN = "markdown"


def lint(arguments: Sequence[str]) -> int:
    """Check Dockerfiles against the container design rules.

    `arguments` are those behind `lint`; gives the exit code, 2 where a file is refused.
    """
    try:
        options = _parser().parse_intermixed_args(list(arguments))
    except SystemExit as done:  # --help was asked for
        return int(done.code or 0)
    return _lint(Options(**vars(options)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The command line."""

    paths: list[Path]
    context: Path | None
    target: str | None
    build_args: list[str]
    image: str | None
    base: str | None
    profile: Profile | None
    fail_on: Severity | None
    fix: bool
    unsafe: bool
    no_ignore: bool
    baseline: Path | None
    write_baseline: Path | None
    stdin_name: str
    form: LintFormat


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError("usage", self.prog, message, hint=f"{self.prog} --help")


class _Help(argparse.Action):
    """As the help of the other commands looks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from imageforge.cli.lint_help import page  # noqa: PLC0415 - for who asks

        sys.stdout.write(f"{page(parser, parser._actions)}\n")
        parser.exit()


def one_of(values: type[_Choice]) -> Callable[[str], _Choice]:
    """What reads one of these words, and says which there are where it is none of them."""

    def read(word: str) -> _Choice:
        try:
            return values(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(values)}") from None

    return read


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="imageforge lint", description=DESCRIPTION, add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("paths", nargs="*", type=Path, metavar="PATH…", help="Dockerfiles, folders that hold some, or - for stdin.")
    add("--context", type=Path, metavar="DIR", help="The build context, where it is elsewhere.")
    add("--target", metavar="STAGE", help="The stage that would be built.")
    add("--build-arg", dest="build_args", action="append", default=[], metavar="NAME=VALUE", help="As for build.")
    add("--image", metavar="IMAGE", help="A built image in the place of files.")
    add("--base", metavar="IMAGE", help="With --image: its base image, or scratch.")
    add(
        "--profile",
        type=one_of(Profile),
        choices=list(Profile),
        help="default, strict (pinned versions and reasons), or hadolint (all that hadolint says).",
    )
    add(
        "--fail-on",
        type=one_of(Severity),
        choices=list(Severity),
        help="The mildest that fails: error, or what [lint] has.",
    )
    add("--fix", action="store_true", help="Mend what can be mended safely; the changes go to stderr.")
    add("--unsafe", action="store_true", help="With --fix, also by what may change the image.")
    add("--no-ignore", action="store_true", help="Ignore comments count for nothing.")
    add("--baseline", type=Path, metavar="FILE", help="Fail only on what is not in this file.")
    add("--write-baseline", type=Path, metavar="FILE", help="Write what is found to this file, and do not fail.")
    add("--stdin-name", default="stdin", metavar="NAME", help="What findings call stdin.")
    add(
        "--format",
        "-o",
        dest="form",
        type=one_of(LintFormat),
        choices=list(LintFormat),
        default=LintFormat.TABLE,
        help="How to show it.",
    )
    add("-h", "--help", action=_Help, nargs=0, default=argparse.SUPPRESS, help="Show this message and exit.")
    return parser


def _lint(options: Options) -> int:
    _refuse_mistakes(options)
    asked = Asked(
        context=options.context,
        target=options.target,
        build_args=parse_build_args(options.build_args),
        profile=options.profile,
        comments=not options.no_ignore,
    )
    known = _read_baseline(options.baseline, options) if options.baseline else None
    configs = Configs()
    if options.image is not None:
        _refuse_beside_image(options)
        jobs = [job_of(Path("Dockerfile"), options.image, "", asked, configs)]
    else:
        given = texts(options.paths or [Path()], options.stdin_name)
        jobs = [job_of(path, name, text, asked, configs) for path, name, text in given]
    to_stdout = options.fix and any(job.text is not None for job in jobs)
    failed: list[LintError] = []
    if options.fix:
        jobs = [_mended(job, failed, unsafe=options.unsafe) for job in jobs]
    outcomes = check_all(jobs) if options.image is None else [_of_image(options.image, options.base, jobs[0].policy)]
    if options.write_baseline:
        _write_baseline(options.write_baseline, outcomes)
    if known is not None:
        outcomes = _without(outcomes, known)
    shown = _render(outcomes, jobs, options.form)
    if shown:
        # Bytes that are no UTF-8 are in what a fix writes, and in no text.
        shown = _SURROGATE.sub(lambda one: f"\\u{ord(one.group()):04x}", shown)
        (sys.stderr if to_stdout else sys.stdout).write(f"{shown}\n")
    for error in failed:
        sys.stderr.write(f"{render(error)}\n")
    codes = [exit_code(error) for error in failed]
    if not options.write_baseline:
        codes += [_exit_code(*pair, options.fail_on, configs) for pair in zip(outcomes, jobs, strict=True)]
    return max(codes, default=0)


def _refuse_mistakes(options: Options) -> None:
    """Options that say nothing where they stand, and what would be lost."""
    if options.unsafe and not options.fix:
        raise UsageError("needs-fix", "--unsafe", "it says what --fix does", hint="--fix --unsafe")
    if options.base is not None and options.image is None:
        raise UsageError("needs-image", "--base", "it is the base of --image", hint="--image IMAGE --base IMAGE")
    if options.context is not None and not options.context.is_dir():
        message = "no such folder, expected the build context"
        raise UsageError("context-missing", str(options.context), message, hint="name the folder that is built")
    if options.write_baseline:
        _spare_others(options.write_baseline)


def _refuse_beside_image(options: Options) -> None:
    if options.paths or options.context or options.target or options.build_args or options.fix:
        raise UsageError(
            "image-or-files",
            "--image",
            "it is checked in the place of files",
            hint="leave out the paths and their options",
        )


def _of_image(image: str, base: str | None, policy: Policy) -> LintReport:
    """What is to be said of a built image, by what the folder that we are in asks for."""
    from imageforge.cli.lint_image import lint_image  # noqa: PLC0415 - opening images takes half a second to load
    from linters import Budget, settle  # noqa: PLC0415

    budget = Budget(size=policy.size_budget, waste=policy.waste_budget)
    return settle(lint_image(image, base=base, budget=budget), policy, file="Dockerfile")


def _mended(job: Job, failed: list[LintError], *, unsafe: bool) -> Job:
    """Mend one file; the job of its new text. What cannot be written is told with the rest."""
    from linters.fixes import fix as fixed_by  # noqa: PLC0415
    from linters.rewrite import rewrite  # noqa: PLC0415

    try:
        before = job.text if job.text is not None else read_text(job.dockerfile, subject=job.name)
        fixed = fixed_by(before, lambda text: own_findings(replace(job, text=text)), unsafe=unsafe)
    except LintError:
        if job.text is not None:
            _pass_on(job.text)
        return job  # the check says it
    if job.text is not None:
        _pass_on(fixed.text)
    elif fixed.text != before:
        try:
            rewrite(job.dockerfile, before, fixed.text, subject=job.name)
        except LintError as error:
            failed.append(error)
            return job
    if fixed.text != before:
        mask = masker(replace(job, text=before))
        _tell(job.name, mask(before), mask(fixed.text), fixed.applied)
    return replace(job, text=fixed.text)


def _pass_on(text: str) -> None:
    """The text of stdin to stdout, its bytes as they were."""
    sys.stdout.buffer.write(text.encode("utf-8", errors="surrogateescape"))
    sys.stdout.buffer.flush()


def _tell(name: str, before: str, after: str, applied: Sequence[Finding]) -> None:
    """What was changed, on stderr. The texts come without secrets: a change shows the lines around it."""
    import difflib  # noqa: PLC0415 - for who mends

    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} (before)", f"{name} (mended)", lineterm="", n=1
    )
    rules = sorted({finding.rule for finding in applied})
    _say("\n".join(printable(line) for line in lines))
    count = f"{len(applied)} finding{'' if len(applied) == 1 else 's'}"
    _say(f"mended   {name}: {count} of {', '.join(rules)}")


def _say(text: str) -> None:
    if not VERBOSITY.quiet:
        sys.stderr.write(f"{text}\n")


def _read_baseline(file: Path, options: Options) -> Counter[str]:
    from linters import baseline as baseline_of  # noqa: PLC0415

    checked = ["--image", options.image] if options.image is not None else [str(path) for path in options.paths]
    again = ["imageforge", "lint", *checked, "--write-baseline", str(file)]
    try:
        return baseline_of.read(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            "baseline-missing",
            str(file),
            "no such file, expected a baseline",
            hint=f"{shlex.join(again)} makes it",
        ) from error
    except (OSError, UnicodeDecodeError, baseline_of.NotABaseline) as error:
        raise UsageError(
            "baseline-invalid",
            str(file),
            str(error),
            hint="name a file that imageforge lint --write-baseline has made",
        ) from error


def _spare_others(file: Path) -> None:
    """Nothing but a baseline is written over. Raises UsageError (`baseline-taken`)."""
    from linters import baseline as baseline_of  # noqa: PLC0415

    try:
        text = file.read_text(encoding="utf-8")
        if text.strip():
            baseline_of.read(text)
    except (UnicodeDecodeError, baseline_of.NotABaseline) as error:
        raise UsageError(
            "baseline-taken",
            str(file),
            "there is a file that is no baseline, which would be lost",
            hint="name another file, or remove it first",
        ) from error
    except OSError:
        return  # not there yet, or told when it is written


def _write_baseline(file: Path, outcomes: Sequence[Outcome]) -> None:
    from linters import baseline as baseline_of  # noqa: PLC0415

    known = baseline_of.entries(one for one in outcomes if isinstance(one, LintReport))
    try:
        file.write_text(baseline_of.write(known), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "baseline-unwritable", str(file), f"cannot be written: {error.strerror}", hint="name another file"
        ) from error
    _say(f"wrote    {file}: {sum(one.count for one in known)} findings that are known from now on")


def _without(outcomes: Iterable[Outcome], known: Counter[str]) -> list[Outcome]:
    from linters.baseline import without  # noqa: PLC0415

    return [without(one, known) if isinstance(one, LintReport) else one for one in outcomes]


def _render(outcomes: Sequence[Outcome], jobs: Sequence[Job], form: LintFormat) -> str:
    # Each form is loaded by who asks for it.
    if form is LintFormat.TABLE:
        from linters.reporters.table import table  # noqa: PLC0415

        terminal = sys.stdout.isatty()
        # Who reads a pipe has a finding in each line that is not indented further.
        width = shutil.get_terminal_size().columns if terminal else None
        return table(outcomes, colour=terminal and not os.environ.get("NO_COLOR"), width=width)
    if form is LintFormat.SARIF:
        from linters.reporters.sarif import sarif  # noqa: PLC0415

        return sarif(outcomes, version=__version__, texts=_texts_of(jobs))
    if form is LintFormat.GITHUB:
        from linters.reporters.github import github  # noqa: PLC0415

        return github(outcomes)
    if form is LintFormat.MARKDOWN:
        from linters.reporters.markdown import markdown  # noqa: PLC0415

        return markdown(outcomes)
    from linters.reporters.document import document as data_of  # noqa: PLC0415

    data = data_of(outcomes)
    if form is LintFormat.YAML:
        import yaml  # noqa: PLC0415

        return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip("\n")
    return json.dumps(data, indent=2, ensure_ascii=False)


def _texts_of(jobs: Iterable[Job]) -> dict[str, str]:
    """The texts by the names that findings have."""
    texts: dict[str, str] = {}
    for job in jobs:
        with contextlib.suppress(DockerfileError):
            texts[job.name] = read_text(job.dockerfile, subject=job.name) if job.text is None else job.text
    return texts


def _exit_code(outcome: Outcome, job: Job, asked: Severity | None, configs: Configs) -> int:
    """What one file comes to."""
    if not isinstance(outcome, LintReport):
        return exit_code(outcome)
    found = configs.of(job.dockerfile)
    fail_on = asked or Severity(found[1].lint.fail_on if found else Severity.ERROR)
    return EXIT_CODES["refused"] if outcome.at_least(fail_on) else 0
