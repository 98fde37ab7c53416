"""One Dockerfile in, one report out: our rules, then hadolint, then what the project and the file's author set aside.

`check` is for one file and refuses one that does not parse. `check_all` is for many: a file that does not parse has its
problems as findings, one that cannot be read is an error in its place, and hadolint works on all cores meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from linters.base import Bases, no_bases
from linters.catalog import rules
from linters.context import Context
from linters.context.folder import MOST
from linters.dockerfile import Dockerfile, Instruction, Problem, Span, parse, printable, read_text
from linters.errors import DockerfileError, LintError, RuleError, ToolError
from linters.hadolint import Answer, answers, find_hadolint
from linters.ignores import Names, Waivers, check_options, ignores
from linters.memory import Memory
from linters.model import Cause, Edit, Finding, LintReport, Principle, Severity, Suppressed
from linters.normalise import for_hadolint
from linters.policy import Policy
from linters.rule import Hit, Rule, Subject
from linters.second_opinion import ask, second_opinion
from linters.secret_text import known_tokens, passwords_of_addresses
from linters.stages import plan

_NO_ARGS: Mapping[str, str] = {}
SYNTAX = "IF002"
"""The rule that says what does not parse."""
MOST_INSTRUCTIONS = 2000
"""An image has 127 layers at most; what looks at each instruction beside all others must come to an end."""
MOST_HITS = 1000
"""Hits of one rule in one file. Nobody writes as many, and what is done for each must not add up."""
_LONGEST_EXCERPT = 400
_LONGEST_INSTRUCTION = 4096
_WIDEST = 160
_LEAST_PIECE = 6
"""Characters of a line's share of a secret; a shorter one tells little, and would be found in other words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file to check, and for what build of it: `context` is the folder that is built, `build_args` what the build
    is given, `name` what findings call the file, `text` what is checked in the file's place; `bases` and `squashed` as
    `check` has them."""

    dockerfile: Path
    name: str
    context: Path | None = None
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    policy: Policy = field(default_factory=Policy)
    bases: Bases = no_bases
    squashed: bool = False


Outcome = LintReport | LintError


def check(
    dockerfile: Path,
    *,
    context: Path | None = None,
    target: str | None = None,
    build_args: Mapping[str, str] = _NO_ARGS,
    display_name: str | None = None,
    text: str | None = None,
    memory: Path | None = None,
    policy: Policy | None = None,
    today: datetime.date | None = None,
    bases: Bases | None = None,
    squashed: bool = False,
) -> LintReport:
    """Lints `dockerfile`, or `text` in its place, for a build of `target` (the last stage where None).

    `context` is the folder that is built, `build_args` what the build is given, `display_name` what findings call the
    file, `memory` a folder of what hadolint said, which is not asked again about the same text; `policy` is what the
    project asks for, its waivers judged by `today`; `bases` tells the configuration of an image that is at hand,
    `squashed` that the layers become one later. Raises DockerfileError `dockerfile-missing`, `dockerfile-unreadable`,
    `dockerfile-empty`, `dockerfile-syntax` or `dockerfile-target-unknown`. A hadolint that does not run is a note in
    the report.
    """
    name = display_name or str(dockerfile)
    job = Job(
        dockerfile=dockerfile,
        name=name,
        context=context,
        target=target,
        build_args=build_args,
        text=text,
        policy=policy or Policy(),
        bases=bases or no_bases,
        squashed=squashed,
    )
    parsed = _parsed(job)
    _refuse_unsound(parsed, name)
    subject = _subject(job, parsed)
    question = ask(parsed, job.policy, memory=Memory(memory) if memory else None)
    try:
        own = _own(subject, name)
        return _report(job, subject, own, question.answer(), today)
    finally:
        question.forget()


def check_all(jobs: Sequence[Job], *, today: datetime.date | None = None) -> list[Outcome]:
    """Lints many files, in their order. What is wrong with one file, or with a line of it, is no loss to the others."""
    found: list[Outcome | None] = [None] * len(jobs)
    subjects: dict[int, Subject] = {}
    for at, job in enumerate(jobs):
        try:
            parsed = _parsed(job)
            if not parsed.instructions and not parsed.problems:
                _refuse_unsound(parsed, job.name)
            subjects[at] = _subject(job, parsed)
        except DockerfileError as error:
            found[at] = error
    own, said = _judged(subjects, jobs)
    for at, subject in subjects.items():
        mine = own[at]
        found[at] = mine if isinstance(mine, RuleError) else _report(jobs[at], subject, mine, said[at], today)
    return [one for one in found if one is not None]


_Own = list[tuple[Rule, Hit]]


def _judged(
    subjects: Mapping[int, Subject], jobs: Sequence[Job]
) -> tuple[dict[int, _Own | RuleError], dict[int, Answer]]:
    """What our rules say, and what hadolint says at the same time: it is a program of its own."""
    if len(subjects) == 1:
        # Without threads, which would wait for each other while the rules are loaded.
        ((at, subject),) = subjects.items()
        question = ask(subject.dockerfile, subject.policy)
        try:
            return {at: _own_or_error(subject, jobs[at].name)}, {at: question.answer()}
        finally:
            question.forget()
    texts = [(for_hadolint(one.dockerfile), one.policy.profile) for one in subjects.values()]
    said: list[Answer] = []
    asking = threading.Thread(target=lambda: said.extend(answers(texts)), name="hadolint")
    asking.start()
    try:
        own = {at: _own_or_error(subject, jobs[at].name) for at, subject in subjects.items()}
    finally:
        asking.join()
    return own, dict(zip(subjects, said, strict=True))


def warm() -> None:
    """Load and find what each check needs: processes that are forked afterwards have it."""
    rules()
    with contextlib.suppress(ToolError):
        find_hadolint()


def own_findings(job: Job | str) -> tuple[Finding, ...]:
    """What our rules alone say of a file, or of a text for its last stage, after ignore comments.

    What does not parse is a finding. Raises DockerfileError as `check_all` has it in a file's place.
    """
    if isinstance(job, str):
        job = Job(dockerfile=Path("Dockerfile"), name="Dockerfile", text=job)
    subject = _subject(job, _parsed(job))
    own = _own(subject, job.name)
    return _settle([_finding(rule, hit, job.name) for rule, hit in own], job, subject, own, None)[0]


def masker(job: Job) -> Callable[[str], str]:
    """What puts `***` in the place of the secrets that our rules see in a file, for whoever shows a part of it."""
    subject = _subject(job, _parsed(job))
    return _Mask(_secrets(subject.dockerfile, _own(subject, job.name)))


def _parsed(job: Job) -> Dockerfile:
    parsed = parse(read_text(job.dockerfile, subject=job.name) if job.text is None else job.text)
    if len(parsed.instructions) > MOST_INSTRUCTIONS:
        count = f"{len(parsed.instructions):,} instructions, expected at most {MOST_INSTRUCTIONS:,}"
        raise DockerfileError("dockerfile-unreadable", job.name, f"has {count}", hint="join those that belong together")
    return parsed


def _subject(job: Job, parsed: Dockerfile) -> Subject:
    """The file as its sound instructions make it; what is wrong with the others is said by the rule of syntax."""
    sound = parsed
    if parsed.problems:
        sound = replace(parsed, instructions=tuple(_sound(parsed)))
    staged = sound if _has_stage(sound) else parse("FROM scratch\n")
    planned = plan(staged, target=job.target, build_args=job.build_args, subject=job.name, bases=job.bases)
    context = Context(job.context, job.dockerfile) if job.context else None
    return Subject(sound, planned, context=context, policy=job.policy, squashed=job.squashed)


def _has_stage(dockerfile: Dockerfile) -> bool:
    return any(instruction.keyword == "FROM" for instruction in dockerfile.instructions)


def _sound(parsed: Dockerfile) -> Iterator[Instruction]:
    """The instructions without those that have a problem."""
    starts = [instruction.line for instruction in parsed.instructions]
    broken = {bisect_right(starts, problem.span.line) - 1 for problem in parsed.problems}
    for at, instruction in enumerate(parsed.instructions):
        if at not in broken:
            yield instruction


def _report(
    job: Job, subject: Subject, own: Sequence[tuple[Rule, Hit]], said: Answer, today: datetime.date | None
) -> LintReport:
    second, notes = second_opinion(
        subject,
        job.name,
        said,
        covered=((code, hit) for rule, hit in own if job.policy.on(rule.id) for code in rule.covers),
    )
    findings = [_finding(rule, hit, job.name) for rule, hit in own]
    kept, suppressed, expired = _settle([*findings, *second], job, subject, own, today)
    return LintReport(
        file=job.name,
        findings=kept,
        base_image=subject.plan.base_image,
        target=job.target,
        images=_images(subject),
        notes=(*_left_out(subject), *_unseen(subject), *notes, *expired),
        suppressed=suppressed,
    )


def _images(subject: Subject) -> tuple[str, ...] | None:
    named = {source.reference for source in subject.plan.sources()}
    known = sorted(name for name in named if name is not None and name.lower() != "scratch")
    return None if None in named else tuple(known)


def _left_out(subject: Subject) -> Iterator[str]:
    names = [stage.name or f"stage {stage.index}" for stage in subject.plan.unreachable()]
    if names:
        yield f"not checked, since the target does without: {', '.join(names)}"


def _unseen(subject: Subject) -> Iterator[str]:
    """What of the context the rules could not look at: that nothing was found there says nothing."""
    context = subject.context
    if context is not None and context.patterns is None:
        yield "the context was not checked, since its .dockerignore cannot be read as one"
    elif context is not None and not context.complete:
        yield f"of the context only the first {MOST:,} entries were checked"


def _own_or_error(subject: Subject, name: str) -> _Own | RuleError:
    try:
        return _own(subject, name)
    except RuleError as error:
        return error


def _own(subject: Subject, name: str) -> _Own:
    """What our rules find; of a file without a stage only that it is none. Raises RuleError `rule-failed`."""
    staged = _has_stage(subject.dockerfile)
    # Those that are off too: what they take for a secret is not shown by the others.
    asked = [rule for rule in rules() if staged or rule.id == SYNTAX]
    found = [(rule, hit) for rule in asked for hit in _hits(rule, subject, name)]
    kept = [(one.line, one.end_line) for one in subject.dockerfile.instructions if one.trigger is not None]
    return [(rule, _for_child(rule, hit, kept) if kept else hit) for rule, hit in found]


def _hits(rule: Rule, subject: Subject, name: str) -> list[Hit]:
    try:
        return list(islice(rule.check(subject), MOST_HITS)) if rule.check else []
    except Exception as error:
        if not subject.policy.on(rule.id):
            return []
        raise RuleError(
            "rule-failed",
            name,
            # What the exception says may be a part of the file.
            f"{rule.id} failed with {type(error).__name__}, so nothing is known of this file",
            hint=f'this is a bug of imageforge; rules = {{{rule.id} = "off"}} in [lint] goes around it',
        ) from error


def _for_child(rule: Rule, hit: Hit, kept: Sequence[tuple[int, int]]) -> Hit:
    """A hit of a design rule behind ONBUILD says so: the image that has the fault is another one, and this one is not
    stopped for it."""
    if hit.secrets:
        return hit  # what is kept for others is in this image, too
    if rule.principle is Principle.GENERAL or not any(first <= hit.span.line <= last for first, last in kept):
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
            _Mask(_written_secrets(dockerfile))(f"{printable(first.message)}\n{_caret(dockerfile, first)}{more}"),
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
        alias=rule.alias,
    )


def _settle(
    findings: Iterable[Finding],
    job: Job,
    subject: Subject,
    own: Sequence[tuple[Rule, Hit]],
    today: datetime.date | None,
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...], tuple[str, ...]]:
    """What counts, what does not, and what is to be said of waivers that are over: severities as the project has them,
    excerpts in, secrets masked, one of each, in file order."""
    dockerfile, policy = subject.dockerfile, job.policy
    judge = _Judge(job, dockerfile, today)
    texts = _Texts(dockerfile, _Mask(_secrets(dockerfile, own)))
    raised = _raised(dockerfile)
    # What a rule that is off stands for is off with it.
    off = {code for rule in rules() if not policy.on(rule.id) for code in rule.covers} - policy.severities.keys()
    unique: dict[tuple[str, int, int, str], tuple[Finding, Cause | None, str]] = {}
    for one in findings:
        if not policy.on(one.rule) or one.rule in off:
            continue
        severity = policy.severity(one.rule, one.severity)
        if one.alias and raised:
            severity = Severity.ERROR
        settled = texts.dress(replace(one, severity=severity))
        cause, reason = judge(settled)
        unique[one.rule, one.line, one.column, settled.message] = (settled, cause, reason)
    ordered = sorted(unique.values(), key=lambda one: (one[0].line, one[0].severity.rank, one[0].rule, one[0].column))
    suppressed = tuple(
        Suppressed(finding=one, cause=cause, reason=reason) for one, cause, reason in ordered if cause is not None
    )
    return tuple(one for one, cause, _ in ordered if cause is None), suppressed, tuple(judge.over)


def _raised(dockerfile: Dockerfile) -> bool:
    """Whether `# check=error=true` makes errors of what BuildKit's checks say."""
    return any(check_options(one.value.split()[0]).error for one in dockerfile.directives if one.name == "check")


class _Judge:
    """Whether a finding counts: an ignore comment first, then the project's waivers."""

    def __init__(self, job: Job, dockerfile: Dockerfile, today: datetime.date | None) -> None:
        self._job = job
        self._today = today or datetime.date.today()
        found = ignores(dockerfile) if job.policy.comments else ()
        self._comments = Waivers(found, strict=job.policy.strict)
        self._names = {rule.id: Names(covers=rule.covers, alias=rule.alias) for rule in rules()}
        self.over: dict[str, None] = {}

    def __call__(self, finding: Finding) -> tuple[Cause | None, str]:
        comment = self._comments.silence(finding, self._names.get(finding.rule, Names()))
        if comment is not None:
            return Cause.COMMENT, comment.reason or ""
        for waiver in self._job.policy.waivers:
            if not waiver.means(finding.rule, finding.file):
                continue
            if waiver.holds(self._today):
                return Cause.WAIVER, f"{waiver.reason} (until {waiver.until.isoformat()})"
            self.over[f"the waiver of {waiver.rule} ended on {waiver.until.isoformat()}: {waiver.reason}"] = None
        return None, ""


class _Texts:
    """What a finding quotes from the file, with secrets masked."""

    def __init__(self, dockerfile: Dockerfile, mask: _Mask) -> None:
        self._dockerfile = dockerfile
        self._mask = mask
        self._starts = [instruction.line for instruction in dockerfile.instructions]
        self._excerpts: dict[int, str] = {}
        self._whole: dict[int, str] = {}

    def dress(self, finding: Finding) -> Finding:
        """The finding with its excerpt, and nothing secret in it."""
        mask, line = self._mask, finding.line
        if line not in self._excerpts:
            self._excerpts[line] = printable(mask(self._dockerfile.line(line))[:_LONGEST_EXCERPT])
        return replace(
            finding,
            message=printable(mask(finding.message).replace("\n", " ")),
            excerpt=self._excerpts[line],
            fix=printable(mask(finding.fix).replace("\n", " ")) if finding.fix else None,
            # What would write a secret down again is told to nobody.
            edits=() if any(mask(edit.text) != edit.text for edit in finding.edits) else self._ended(finding.edits),
            instruction=self._instruction(line),
        )

    def _ended(self, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
        """Edits whose new lines end as those of the file do."""
        first = self._dockerfile.lines[0] if self._dockerfile.lines else ""
        if not first.endswith("\r\n") or not any("\n" in edit.text for edit in edits):
            return edits
        return tuple(replace(edit, text=re.sub(r"\r?\n", "\r\n", edit.text)) for edit in edits)

    def _instruction(self, line: int) -> str:
        at = bisect_right(self._starts, line) - 1
        if at < 0:
            return self._excerpts[line].strip()
        instruction = self._dockerfile.instructions[at]
        if line > instruction.end_line:
            return self._excerpts[line].strip()  # a comment's
        if at not in self._whole:
            lines = self._dockerfile.lines[instruction.line - 1 : instruction.end_line]
            text = " ".join("".join(lines)[:_LONGEST_INSTRUCTION].split())
            self._whole[at] = printable(self._mask(text))
        return self._whole[at]


def _secrets(dockerfile: Dockerfile, own: Iterable[tuple[Rule, Hit]]) -> Iterator[str]:
    """What nobody may print: of each rule's hits, line by line where one goes on, and what is one by its form wherever
    it stands, a comment or a line that does not parse."""
    for _, hit in own:
        yield from hit.secrets
        if hit.secrets and hit.span.end_line > hit.span.line:
            yield from _pieces(dockerfile, hit.span)
    yield from _written_secrets(dockerfile)


def _pieces(dockerfile: Dockerfile, span: Span) -> Iterator[str]:
    """The text of a place that goes over several lines, a line each, without what continues it."""
    for number in range(span.line, span.end_line + 1):
        line = dockerfile.line(number)
        line = line[: span.end_column - 1] if number == span.end_line else line
        line = line[span.column - 1 :] if number == span.line else line
        piece = line.rstrip(f" \t{dockerfile.escape}").lstrip()
        if len(piece) >= _LEAST_PIECE:
            yield piece


def _written_secrets(dockerfile: Dockerfile) -> Iterator[str]:
    text = "".join(dockerfile.lines)
    for match in known_tokens(text):
        yield from match.group().split("\n")
    yield from passwords_of_addresses(text)


class _Mask:
    """Puts `***` in the place of secrets; a longer one first, since it may hold a shorter one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({one.rstrip("\r") for one in secrets} - {""}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
