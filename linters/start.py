"""The shell script of the image's own that a container starts with, read where the build takes it from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from linters.context import Context
from linters.copies import Copy, copy_of
from linters.dockerfile import Span
from linters.entry import Entry
from linters.model import Basis
from linters.programs import SHELLS, name_of, unwrap
from linters.shell import Command, commands
from linters.stages import Plan, Stage, Step

_LARGEST = 128 * 1024
_SHEBANG = re.compile(r"#!\s*(\S+)(?:[ \t]+(\S+))?")
_PATHS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_DEEPEST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StartScript:
    """A script with its commands. `place` is the word of ENTRYPOINT or CMD that names it; `basis` says whether its text
    stands in the Dockerfile or in the context."""

    name: str
    text: str
    commands: tuple[Command, ...]
    place: Span
    basis: Basis

    def line_of(self, command: Command) -> int:
        """The line of the script that a command begins on."""
        return self.text.count("\n", 0, command.start) + 1

    def where(self, command: Command) -> str:
        """`docker-entrypoint.sh line 12`."""
        return f"{self.name} line {self.line_of(command)}"


def start_script(plan: Plan, entry: Entry, context: Context | None) -> StartScript | None:
    """The script that the entry names, where its text is at hand and is one of a POSIX shell."""
    named = _named(entry)
    if named is None:
        return None
    program, place, step = named
    for path in _candidates(program, step):
        found = _text(plan, plan.chain, path, context, 0)
        if found is not None:
            text, basis = found
            if not _is_shell(text):
                return None
            name = posixpath.basename(path)
            return StartScript(name=name, text=text, commands=commands(text), place=place, basis=basis)
    return None


def _named(entry: Entry) -> tuple[str, Span, Step] | None:
    """The file that the entry runs, with its place: a program, or what a shell is given to read."""
    main = entry.main
    if main is None:
        return None
    instruction = main.instruction
    if instruction.exec_form is None:
        for script in entry.scripts[:1]:
            for command in script.commands[-1:]:
                inner = _program(command.argv)
                word = next((one for one in command.words if inner and one.text == inner[0]), None)
                if word is not None:
                    return word.text, script.span(word.start, word.end), main
        return None
    argv = entry.argv or instruction.exec_form
    inner = _program(argv)
    if not inner or "$" in inner[0]:
        return None
    step, index = entry.origin(len(argv) - len(inner))
    word_at = step.instruction.words[index]
    return inner[0], step.instruction.span(word_at.start, word_at.end), step


def _program(argv: Sequence[str]) -> tuple[str, ...]:
    """The words from the program on, from the script on where a shell reads one."""
    inner = unwrap(argv)
    if inner and name_of(inner[0]) in SHELLS:
        position = 1
        while position < len(inner) and inner[position].startswith("-"):
            if inner[position].endswith("c") and not inner[position].startswith("--"):
                return ()
            position += 2 if inner[position] in ("-o", "+o") else 1
        return inner[position:]
    return inner


def _candidates(program: str, step: Step) -> Iterator[str]:
    if "/" in program:
        path = step.path(program)
        if path is not None and path.startswith("/"):
            yield posixpath.normpath(path)
        return
    if step.workdir.startswith("/"):  # `sh entrypoint.sh` looks here first
        yield posixpath.normpath(posixpath.join(step.workdir, program))
    for folder in _PATHS:
        yield f"{folder}/{program}"


def _text(
    plan: Plan, chain: Sequence[Stage], path: str, context: Context | None, depth: int
) -> tuple[str, Basis] | None:
    """The text of the image's file `path`, by the last COPY that makes it; None where something else may have."""
    if depth > _DEEPEST:
        return None
    steps = [step for stage in chain for step in stage.steps if step.instruction.keyword in ("COPY", "ADD")]
    for step in reversed(steps):
        copy = copy_of(step)
        if copy is None:
            continue
        inline = _inline(copy, path)
        if inline is not None:
            return inline, Basis.FILE
        for source in copy.sources_of(path):
            found = _from(plan, copy, source, context, depth)
            if found is not None:
                return found
    return None


def _inline(copy: Copy, path: str) -> str | None:
    for heredoc in copy.heredocs:
        whole = copy.destination if not copy.folder else posixpath.join(copy.destination, heredoc.name)
        # What is expanded is another text than the one that stands there.
        if whole == path and not (heredoc.expand and "$" in heredoc.body):
            return heredoc.body
    return None


def _from(plan: Plan, copy: Copy, source: str, context: Context | None, depth: int) -> tuple[str, Basis] | None:
    if copy.from_context:
        text = context.read(source, _LARGEST) if context is not None else None
        return (text, Basis.CONTEXT) if text is not None else None
    stage = plan.stage_named(copy.origin) if copy.origin is not None else None
    if stage is None or stage.index >= copy.step.stage:
        return None
    chain = [stage]
    while chain[-1].parent is not None:
        chain.append(plan.stages[chain[-1].parent])
    return _text(plan, list(reversed(chain)), posixpath.normpath("/" + source), context, depth + 1)


def _is_shell(text: str) -> bool:
    match = _SHEBANG.match(text)
    if match is None:
        return False
    program = match.group(2) if name_of(match.group(1)) == "env" and match.group(2) else match.group(1)
    return name_of(program) in SHELLS
