"""One Dockerfile in, one report out: our rules, then hadolint, then what the file's author waived."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from linters.base import Bases, no_bases
from linters.catalog import rules
from linters.context import Context
from linters.dockerfile import Dockerfile, Problem, parse, printable, read_text
from linters.errors import DockerfileError, ToolError
from linters.hadolint import find_hadolint
from linters.ignores import Waivers, ignores
from linters.memory import Memory
from linters.model import Finding, LintReport, Severity
from linters.rule import Hit, Rule, Subject
from linters.second_opinion import second_opinion
from linters.stages import plan

_NO_ARGS: Mapping[str, str] = {}
_LONGEST_EXCERPT = 400
_WIDEST = 160


def check(
    dockerfile: Path,
    *,
    context: Path | None = None,
    target: str | None = None,
    build_args: Mapping[str, str] = _NO_ARGS,
    display_name: str | None = None,
    text: str | None = None,
    memory: Path | None = None,
    bases: Bases | None = None,
    squashed: bool = False,
) -> LintReport:
    """Lints `dockerfile`, or `text` in its place, for a build of `target` (the last stage where None).

    `context` is the folder that is built, `build_args` what the build is given, `display_name` what findings call the
    file, `memory` a folder of what hadolint said, which is not asked again about the same text. `bases` tells the
    configuration of an image that is at hand, `squashed` that the layers become one later. Raises DockerfileError
    `dockerfile-missing`, `dockerfile-unreadable`, `dockerfile-empty`, `dockerfile-syntax` or
    `dockerfile-target-unknown`. A hadolint that does not run is a note in the report.
    """
    name = display_name or str(dockerfile)
    parsed = parse(read_text(dockerfile, subject=name) if text is None else text)
    _refuse_unsound(parsed, name)
    planned = plan(parsed, target=target, build_args=build_args, subject=name, bases=bases or no_bases)
    folder = Context(context, dockerfile) if context else None
    subject = Subject(parsed, planned, context=folder, squashed=squashed)
    own = _own(subject)
    second, notes = second_opinion(
        subject,
        name,
        covered=((code, hit) for rule, hit in own for code in rule.covers),
        memory=Memory(memory) if memory else None,
    )
    findings = [_finding(rule, hit, name) for rule, hit in own]
    findings += second
    return LintReport(
        file=name,
        findings=_settle(findings, parsed, own),
        base_image=subject.plan.base_image,
        target=target,
        images=_images(subject),
        notes=(*_left_out(subject), *notes),
    )


def warm() -> None:
    """Load and find what each check needs: processes that are forked afterwards have it."""
    rules()
    with contextlib.suppress(ToolError):
        find_hadolint()


def _images(subject: Subject) -> tuple[str, ...] | None:
    named = {source.reference for source in subject.plan.sources()}
    known = sorted(name for name in named if name is not None and name.lower() != "scratch")
    return None if None in named else tuple(known)


def _left_out(subject: Subject) -> Iterator[str]:
    names = [stage.name or f"stage {stage.index}" for stage in subject.plan.unreachable()]
    if names:
        yield f"not checked, since the target does without: {', '.join(names)}"


def own_findings(
    text: str, *, context: Path | None = None, bases: Bases = no_bases, squashed: bool = False
) -> tuple[Finding, ...]:
    """What our rules alone say of a text, for the last stage and without build arguments. Raises as `check` does."""
    parsed = parse(text)
    _refuse_unsound(parsed, "Dockerfile")
    planned = plan(parsed, target=None, build_args={}, subject="Dockerfile", bases=bases)
    own = _own(Subject(parsed, planned, context=Context(context) if context else None, squashed=squashed))
    return _settle([_finding(rule, hit, "Dockerfile") for rule, hit in own], parsed, own)


def _own(subject: Subject) -> list[tuple[Rule, Hit]]:
    kept = [(one.line, one.end_line) for one in subject.dockerfile.instructions if one.trigger is not None]
    found = ((rule, hit) for rule in rules() if rule.check for hit in rule.check(subject))
    return [(rule, _for_child(rule, hit, kept) if kept else hit) for rule, hit in found]


def _for_child(rule: Rule, hit: Hit, kept: Sequence[tuple[int, int]]) -> Hit:
    """A hit behind ONBUILD says so: the image that has the fault is another one, and this one is not stopped for it."""
    if not any(first <= hit.span.line <= last for first, last in kept):
        return hit
    severity = max(hit.severity or rule.severity, Severity.WARNING, key=lambda one: one.rank)
    return replace(hit, message=f"for child images: {hit.message}", severity=severity)


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
            f"{printable(first.message)}\n{_caret(dockerfile, first)}{more}",
            hint=first.hint or "https://docs.docker.com/reference/dockerfile/",
        )


def _caret(dockerfile: Dockerfile, problem: Problem) -> str:
    """Two lines: the source line with its number, and a caret under the offending token."""
    span = problem.span
    whole = printable(dockerfile.line(span.line))
    end = span.end_column if span.end_line == span.line else len(whole) + 1
    cut = max(0, span.column - 1 - _WIDEST // 2)  # a line may be as long as the file
    line = whole[cut : cut + _WIDEST]
    gutter = str(span.line)
    lead = "".join("\t" if char == "\t" else " " for char in line[: span.column - 1 - cut])
    carets = "^" * max(1, min(end - cut - 1, len(line)) - len(lead))
    return f"  {gutter} | {line}\n  {' ' * len(gutter)} | {lead}{carets}"


def _finding(rule: Rule, hit: Hit, name: str) -> Finding:
    span = hit.span
    return Finding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        principle=rule.principle,
        message=hit.message,
        file=name,
        line=span.line,
        column=span.column,
        end_column=span.end_column,
        end_line=span.end_line,
        fix=hit.fix,
        basis=hit.basis,
        edits=hit.edits,
        safe=hit.safe,
    )


def _settle(
    findings: Iterable[Finding], dockerfile: Dockerfile, own: Sequence[tuple[Rule, Hit]]
) -> tuple[Finding, ...]:
    """Waived findings out, excerpts in, secrets masked, one of each, in file order."""
    waivers = Waivers(ignores(dockerfile))
    mask = _Mask(secret for _, hit in own for secret in hit.secrets)
    excerpts: dict[int, str] = {}
    unique: dict[tuple[str, int, int, str], Finding] = {}
    for one in findings:
        if waivers.silence(one):
            continue
        if one.line not in excerpts:
            excerpts[one.line] = printable(mask(dockerfile.line(one.line))[:_LONGEST_EXCERPT])
        message = printable(mask(one.message).replace("\n", " "))
        kept = replace(one, message=message, excerpt=excerpts[one.line], fix=mask(one.fix) if one.fix else None)
        unique[one.rule, one.line, one.column, message] = kept
    return tuple(sorted(unique.values(), key=lambda one: (one.line, one.severity.rank, one.rule, one.column)))


class _Mask:
    """Puts `***` in the place of secrets; a longer one first, since it may hold a shorter one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted(set(secrets), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
