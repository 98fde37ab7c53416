"""What a container of the target starts: ENTRYPOINT and CMD in effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

from linters.programs import shell_script
from linters.scripts import Script, script_in, scripts_of
from linters.stages import Plan, Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The instructions in effect; either may be missing, which leaves it to the base image.

    `inherited` is what the base image's configuration says in their place, where it is at hand: the words in front of
    the file's own, and those behind. `scripts` are the shell scripts that a container starts with.
    """

    entrypoint: Step | None
    command: Step | None
    inherited: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    scripts: tuple[Script, ...] = ()

    @property
    def main(self) -> Step | None:
        """The instruction that names the program: ENTRYPOINT, else CMD where the base image has no ENTRYPOINT."""
        return self.entrypoint or (None if self.inherited[0] else self.command)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The instructions that have a say. An ENTRYPOINT in shell form leaves CMD without one."""
        if self.entrypoint is not None and self.entrypoint.instruction.exec_form is None:
            return (self.entrypoint,)
        return tuple(step for step in (self.entrypoint, self.command) if step is not None)

    @property
    def argv(self) -> tuple[str, ...] | None:
        """The command line where it is in exec form throughout, variables not replaced, as Docker leaves them."""
        parts: list[str] = []
        for step in self.steps:
            if step.instruction.exec_form is None:
                return None
            parts += step.instruction.exec_form
        return tuple(parts)

    @property
    def whole(self) -> tuple[str, ...] | None:
        """`argv` with the words that the base image gives, None where the file's own are not in exec form."""
        argv = self.argv
        return None if argv is None else (*self.inherited[0], *argv, *self.inherited[1])

    def origin(self, index: int) -> tuple[Step, int]:
        """The step that holds word `index` of `argv`, and the word's index there."""
        for step in self.steps:
            size = len(step.instruction.exec_form or ())
            if index < size:
                return step, index
            index -= size
        raise IndexError(index)


def entry_of(plan: Plan) -> Entry:
    """The entry of the plan's target. An ENTRYPOINT resets the CMD that its stage inherited, as Docker does."""
    entrypoint: Step | None = None
    command: Step | None = None
    config = plan.base_config
    before = config.entrypoint if config else ()
    behind = config.cmd if config else ()
    for stage in plan.chain:
        own_command = False
        for step in stage.steps:
            if step.instruction.keyword == "CMD":
                command, own_command, behind = step, True, ()
            elif step.instruction.keyword == "ENTRYPOINT":
                entrypoint, before, behind = step, (), ()
                command = command if own_command else None
    if entrypoint is not None and not entrypoint.instruction.arguments.strip("[] \t"):
        entrypoint = None
    if command is not None and not command.instruction.arguments.strip("[] \t"):
        command = None
    entry = Entry(entrypoint=entrypoint, command=command, inherited=(before, behind))
    apart = _script_apart(entry)
    return replace(entry, scripts=apart or tuple(script for step in entry.steps for script in scripts_of(step)))


def _script_apart(entry: Entry) -> tuple[Script, ...]:
    """The script where one instruction, or the base image, says `sh -c`, and another what it reads."""
    argv, before = entry.argv, entry.inherited[0]
    index = shell_script([*before, *argv]) if argv else None
    if index is None or index < len(before):
        return ()
    step, word = entry.origin(index - len(before))
    return () if shell_script(step.instruction.exec_form or ()) == word else (script_in(step, word),)
