"""Hadolint's opinions as findings: those that hold for this build and that no rule of ours says already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from linters.dockerfile import Dockerfile, Instruction
from linters.errors import ToolError
from linters.hadolint import PARSE_ERROR, Answer, Opinion, Question
from linters.memory import Memory
from linters.model import Finding, Principle
from linters.normalise import for_hadolint
from linters.policy import Policy, Profile
from linters.rule import Hit, Subject


def ask(dockerfile: Dockerfile, policy: Policy, *, memory: Memory | None = None) -> Question:
    """Have hadolint begin with a file, before our own rules do. `memory` has what was said of the same text before."""
    return Question(for_hadolint(dockerfile), profile=policy.profile, memory=memory)


def second_opinion(
    subject: Subject, name: str, said: Answer, *, covered: Iterable[tuple[str, Hit]]
) -> tuple[list[Finding], tuple[str, ...]]:
    """Hadolint's findings in the file called `name`, without excerpts, and notes on what it could not check.

    `covered` are the hadolint codes that a hit of ours stands for; such a finding on the same instruction is left out.
    In the profile ``hadolint`` nothing is left out.
    """
    if isinstance(said, ToolError):
        import logging  # noqa: PLC0415 - for this alone

        logging.getLogger(__name__).warning("hadolint did not run", extra={"code": said.code, "reason": said.message})
        return [], (f"hadolint {said.message}; {said.kept}" + (f"; {said.hint}" if said.hint else ""),)
    notes = tuple(
        f"hadolint could not read line {one.line}, and so checked nothing; {one.message.splitlines()[0]}"
        for one in said
        if one.code == PARSE_ERROR
    )
    places = _Places(subject)
    plain = subject.policy.profile is Profile.HADOLINT
    known = set() if plain else {(code, places.start(hit.span.line)) for code, hit in covered}
    findings = [
        Finding(
            rule=one.code,
            severity=one.severity,
            principle=Principle.GENERAL,
            message=one.message,
            file=name,
            line=one.line,
            source="hadolint",
        )
        for one in said
        if one.code != PARSE_ERROR
        and (one.code, places.start(one.line)) not in known
        and (plain or places.applies(one))
    ]
    return findings, notes


class _Places:
    """Where hadolint's word counts: it knows neither the target nor what a heredoc is fed to."""

    def __init__(self, subject: Subject) -> None:
        self._starts = [instruction.line for instruction in subject.dockerfile.instructions]
        self._instructions = subject.dockerfile.instructions
        built = [step for stage in subject.plan.stages for step in stage.steps]
        self._steps = {step.instruction.line: step for step in built}
        self._left_out = {stage.start.line for stage in subject.plan.unreachable()} | {
            step.instruction.line for stage in subject.plan.unreachable() for step in stage.steps
        }

    def instruction(self, line: int) -> Instruction | None:
        """The instruction that holds a line, or None."""
        index = bisect_right(self._starts, line) - 1
        return self._instructions[index] if index >= 0 else None

    def start(self, line: int) -> int:
        """The first line of the instruction that holds a line."""
        instruction = self.instruction(line)
        return instruction.line if instruction else line

    def applies(self, opinion: Opinion) -> bool:
        """Whether the opinion holds for this build."""
        instruction = self.instruction(opinion.line)
        if instruction is None:
            return True
        if instruction.line in self._left_out:
            return False
        if opinion.code.startswith("SC") and _foreign_script(instruction):
            return False
        # A relative WORKDIR below an absolute one of the same chain says where it is.
        step = self._steps.get(instruction.line)
        return not (opinion.code == "DL3000" and step is not None and step.workdir.startswith("/"))


def _foreign_script(instruction: Instruction) -> bool:
    """Whether a heredoc goes to an interpreter, which hadolint takes for a script of the shell all the same."""
    inner = instruction.trigger or instruction
    if inner.keyword != "RUN":
        return False
    return any(one.body.lstrip().startswith("#!") for one in inner.heredocs) or (
        bool(inner.heredocs) and len(inner.words) > len(inner.heredocs)
    )
