"""IF010: a variable that nothing sets."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Option, Rule, Subject
from linters.rules.if009 import GIVEN, declared
from linters.stages import Stage, Step
from linters.suggest import nearest
from linters.variables import Reference, references

# Of these the builder replaces the variables; of RUN, CMD and ENTRYPOINT the shell does.
_EXPANDED = frozenset({"ADD", "COPY", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
_USUAL = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "HOSTNAME", "TERM", "PWD", "USER", "SHELL", "TZ"})


def _check(subject: Subject) -> Iterator[Hit]:
    if "$" not in "".join(one.arguments for one in subject.dockerfile.instructions if one.keyword in _EXPANDED):
        return
    above = declared(subject)
    arguments: dict[int, set[str]] = {}
    for stage in built(subject):
        inherited = arguments.get(stage.parent, set()) if stage.parent is not None else set()
        mine = arguments[stage.index] = set(inherited)
        told: set[str] = set()
        for step in stage.steps:
            instruction = step.instruction
            if instruction.keyword == "ARG":
                mine |= {pair.name for pair in instruction.assignments}
            elif instruction.keyword in _EXPANDED:
                for hit, name in _instruction(subject, stage, step, mine, above):
                    if name not in told:
                        told.add(name)
                        yield hit


def _instruction(
    subject: Subject, stage: Stage, step: Step, arguments: set[str], above: dict[str, Instruction]
) -> Iterator[tuple[Hit, str]]:
    instruction = step.instruction
    if instruction.exec_form is not None and instruction.keyword == "VOLUME":
        return
    for reference in references(instruction.arguments, escape=step.escape):
        name = reference.name
        known = name in arguments or name in step.scope.values or name in GIVEN | _USUAL
        if reference.optional or known or name in subject.policy.names("IF010", "given"):
            continue
        hit = _hit(subject, stage, step, reference, arguments, above)
        if hit is not None:
            yield hit, name


def _hit(
    subject: Subject,
    stage: Stage,
    step: Step,
    reference: Reference,
    arguments: set[str],
    above: dict[str, Instruction],
) -> Hit | None:
    name = reference.name
    known = arguments | {one for one in step.scope.values if one not in GIVEN}
    meant = nearest(name, known)
    if name in above and not _of_base_image(subject, stage, name):
        message = f"${name} is empty here: ARG {name} above the first FROM counts for FROM alone"
        fix = f"repeat ARG {name} in this stage"
    elif meant is not None:
        message, fix = f"${name} is set by nothing in this file, ${meant} is", f"write ${meant}"
    elif step.scope.closed:
        message, fix = f"${name} is set by nothing", f"declare it by ARG {name} or ENV {name}=… above"
    else:
        return None  # the base image may set it
    start = step.instruction.arguments_start
    return Hit(span=step.instruction.span(start + reference.start, start + reference.end), message=message, fix=fix)


def _of_base_image(subject: Subject, stage: Stage, name: str) -> bool:
    """Whether the image that the stage is built on probably sets it, as `node` does with NODE_VERSION."""
    while stage.parent is not None:
        stage = subject.plan.stages[stage.parent]
    written = stage.start.words[0].text.lower()
    # A word of the image's name: `FROM node:$NODE_VERSION` names the variable too, so those are left out.
    image = (stage.base or written).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return any(len(part) > 1 and part in image for part in name.lower().split("_"))


RULE = Rule(
    id="IF010",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="Variables are set before they are used",
    check=_check,
    alias="UndefinedVar",
    options=(Option(name="given", default=(), help="variables that the base images set"),),
)
