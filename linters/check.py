"""One Dockerfile in, one report out: our rules, then hadolint, then what the file's author waived."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from linters import hadolint
from linters.catalog import rules
from linters.dockerfile import Dockerfile, Instruction, Problem, parse, printable, read_text
from linters.errors import DockerfileError, ToolError
from linters.ignores import ignores
from linters.model import Finding, LintReport, Principle
from linters.normalise import for_hadolint
from linters.rule import Hit, Rule, Subject
from linters.stages import plan

_log = logging.getLogger(__name__)
_NO_ARGS: Mapping[str, str] = {}
_LONGEST_EXCERPT = 400


def check(
    dockerfile: Path,
    *,
    context: Path | None = None,
    target: str | None = None,
    build_args: Mapping[str, str] = _NO_ARGS,
    display_name: str | None = None,
    text: str | None = None,
) -> LintReport:
    """Lints `dockerfile`, or `text` in its place, for a build of `target` (the last stage where None).

    `context` is the folder that is built, `build_args` what the build is given, `display_name` what findings call the
    file. Raises DockerfileError `dockerfile-missing`, `dockerfile-unreadable`, `dockerfile-empty`,
    `dockerfile-syntax` or `dockerfile-target-unknown`. A hadolint that does not run is a note in the report.
    """
    name = display_name or str(dockerfile)
    parsed = parse(read_text(dockerfile, subject=name) if text is None else text)
    _refuse_unsound(parsed, name)
    subject = Subject(parsed, plan(parsed, target=target, build_args=build_args, subject=name), context=context)
    own = _own(subject)
    second, notes = _second_opinion(parsed, name)
    findings = [_finding(rule, hit, parsed, name) for rule, hit in own]
    findings += _without_repeats(second, own, parsed)
    return LintReport(
        file=name,
        findings=_settle(findings, parsed, own),
        base_image=subject.plan.base_image,
        target=target,
        notes=notes,
    )


def own_findings(text: str) -> tuple[Finding, ...]:
    """What our rules alone say of a text, for the last stage and without build arguments. Raises as `check` does."""
    parsed = parse(text)
    _refuse_unsound(parsed, "Dockerfile")
    own = _own(Subject(parsed, plan(parsed, target=None, build_args={}, subject="Dockerfile")))
    return _settle([_finding(rule, hit, parsed, "Dockerfile") for rule, hit in own], parsed, own)


def _own(subject: Subject) -> list[tuple[Rule, Hit]]:
    return [(rule, hit) for rule in rules() for hit in rule.check(subject)]


def _refuse_unsound(dockerfile: Dockerfile, name: str) -> None:
    if not dockerfile.instructions and not dockerfile.problems:
        message = "has no instruction, expected at least FROM"
        raise DockerfileError("dockerfile-empty", name, message, hint="begin with FROM and the base image")
    if dockerfile.problems:
        first, others = dockerfile.problems[0], len(dockerfile.problems) - 1
        more = f"\n({others} more like it)" if others else ""
        raise DockerfileError(
            "dockerfile-syntax",
            f"{name}:{first.span.line}",
            f"{first.message}\n{_caret(dockerfile, first)}{more}",
            hint=first.hint or "https://docs.docker.com/reference/dockerfile/",
        )


def _caret(dockerfile: Dockerfile, problem: Problem) -> str:
    """Two lines: the source line with its number, and a caret under the offending token."""
    span = problem.span
    line = printable(dockerfile.line(span.line))
    end = span.end_column if span.end_line == span.line else len(line) + 1
    gutter = str(span.line)
    lead = "".join("\t" if char == "\t" else " " for char in line[: span.column - 1])
    carets = "^" * max(1, end - span.column)
    return f"  {gutter} | {line}\n  {' ' * len(gutter)} | {lead}{carets}"


def _finding(rule: Rule, hit: Hit, dockerfile: Dockerfile, name: str) -> Finding:
    span = hit.span
    return Finding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        principle=rule.principle,
        message=hit.message,
        file=name,
        line=span.line,
        column=span.column,
        end_column=span.end_column if span.end_line == span.line else None,
        excerpt=dockerfile.line(span.line),
        fix=hit.fix,
    )


def _second_opinion(dockerfile: Dockerfile, name: str) -> tuple[list[Finding], tuple[str, ...]]:
    try:
        said = hadolint.opinions(for_hadolint(dockerfile))
    except ToolError as error:
        _log.warning("hadolint did not run", extra={"code": error.code, "reason": error.message})
        return [], (f"hadolint {error.message}; {error.kept}",)
    notes = tuple(
        f"hadolint could not read line {one.line}, and so checked nothing; {one.message.splitlines()[0]}"
        for one in said
        if one.code == hadolint.PARSE_ERROR
    )
    scripted = [one for one in dockerfile.instructions if _foreign_script(one)]
    findings = [
        Finding(
            rule=one.code,
            severity=one.severity,
            principle=Principle.GENERAL,
            message=one.message,
            file=name,
            line=one.line,
            excerpt=dockerfile.line(one.line),
            source="hadolint",
        )
        for one in said
        if one.code != hadolint.PARSE_ERROR and not _misread(one, scripted)
    ]
    return findings, notes


def _foreign_script(instruction: Instruction) -> bool:
    """Whether a heredoc goes to an interpreter, which hadolint takes for a script of the shell all the same."""
    inner = instruction.trigger or instruction
    if inner.keyword != "RUN":
        return False
    return any(one.body.lstrip().startswith("#!") for one in inner.heredocs) or (
        bool(inner.heredocs) and len(inner.words) > len(inner.heredocs)
    )


def _misread(opinion: hadolint.Opinion, scripted: Sequence[Instruction]) -> bool:
    return opinion.code.startswith("SC") and any(one.line <= opinion.line <= one.end_line for one in scripted)


def _without_repeats(
    second: Iterable[Finding], own: Sequence[tuple[Rule, Hit]], dockerfile: Dockerfile
) -> list[Finding]:
    """Hadolint's findings but those that a rule of ours makes on the same instruction."""
    said = {(code, _instruction_line(dockerfile, hit.span.line)) for rule, hit in own for code in rule.covers}
    return [one for one in second if (one.rule, _instruction_line(dockerfile, one.line)) not in said]


def _instruction_line(dockerfile: Dockerfile, line: int) -> int:
    for instruction in dockerfile.instructions:
        if instruction.line <= line <= instruction.end_line:
            return instruction.line
    return line


def _settle(
    findings: Iterable[Finding], dockerfile: Dockerfile, own: Sequence[tuple[Rule, Hit]]
) -> tuple[Finding, ...]:
    """Waived findings out, secrets masked, one of each, in file order."""
    # A longer secret first, since it may hold a shorter one.
    secrets = sorted({secret for _, hit in own for secret in hit.secrets}, key=len, reverse=True)
    waivers = tuple(ignores(dockerfile))
    kept = (_masked(one, secrets) for one in findings if not any(waiver.silences(one) for waiver in waivers))
    unique = {(one.rule, one.line, one.column, one.message): one for one in kept}
    return tuple(sorted(unique.values(), key=lambda one: (one.line, one.severity.rank, one.rule, one.column)))


def _masked(finding: Finding, secrets: Sequence[str]) -> Finding:
    def mask(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return Finding(
        rule=finding.rule,
        severity=finding.severity,
        principle=finding.principle,
        message=printable(mask(finding.message).replace("\n", " ")),
        file=finding.file,
        line=finding.line,
        column=finding.column,
        end_column=finding.end_column,
        excerpt=printable(mask(finding.excerpt))[:_LONGEST_EXCERPT],
        fix=mask(finding.fix) if finding.fix else None,
        source=finding.source,
    )
