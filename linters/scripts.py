"""The shell scripts of an instruction: its shell form, the script behind `sh -c`, or a heredoc's body."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from linters.dockerfile import Heredoc, Span
from linters.programs import SHELLS, name_of, shell_script, unwrap
from linters.shell import Command, ShellWord, commands
from linters.stages import Step

_SAME_USER = frozenset({"-E", "-H", "-n", "-S", "-i"})
"""Options of sudo that leave it root who acts."""
_QUOTES = re.compile("[\"']")
_SHEBANG = re.compile(r"#!\s*(\S+)(?:[ \t]+(\S+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """Shell text with the way back to the file. `shift` maps an offset; None where only the whole place is known. Where
    no `shell` reads it, it is the one command of a RUN in exec form. `carried` are the names that are set in front of
    the shell that reads it, and so for each of its commands."""

    step: Step
    text: str
    commands: tuple[Command, ...]
    place: Span
    shift: int | None = None
    body_line: int | None = None
    shell: bool = True
    carried: frozenset[str] = frozenset()

    def span(self, start: int, end: int) -> Span:
        """The place of the script's characters `start` up to `end`."""
        if self.body_line is not None:
            line, column = self.locate(start)
            last_line, last_column = self.locate(max(start, end - 1))
            return Span(line=line, column=column, end_line=last_line, end_column=last_column + 1)
        if self.shift is not None:
            return self.step.instruction.span(start + self.shift, end + self.shift)
        return self.place

    def span_of(self, command: Command) -> Span:
        """The place of one command."""
        return self.span(command.start, command.end)

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset` of a heredoc's body."""
        before = self.text[:offset]
        assert self.body_line is not None
        return self.body_line + before.count("\n"), offset - (before.rfind("\n") + 1) + 1


def scripts_of(step: Step) -> tuple[Script, ...]:
    """The scripts of a RUN, CMD or ENTRYPOINT; none where the shell is not a POSIX one."""
    instruction = step.instruction
    if step.escape == "`" or name_of(step.shell[0]) not in SHELLS:
        return ()
    if instruction.exec_form is not None:
        return _of_exec_form(step)
    only_heredocs = instruction.heredocs and _without_heredocs(step).strip() == ""
    if only_heredocs:
        return tuple(_of_heredoc(step, one) for one in instruction.heredocs[:1] if _is_shell(one))
    start = instruction.arguments_start
    found = [
        Script(
            step=step,
            text=instruction.arguments,
            commands=commands(instruction.arguments),
            place=instruction.span(start, start + len(instruction.arguments)),
            shift=start,
        )
    ]
    within = _only_script(found[0])
    if within is not None:
        # That it is done as another user is for whoever judges the line around it.
        return (found[0], within) if name_of(found[0].commands[0].argv[0]) == "sudo" else (within,)
    inner = unwrap(found[0].commands[0].argv) if found[0].commands else ()
    if instruction.heredocs and inner and name_of(inner[0]) in SHELLS:
        # `bash -ex <<EOF`: the body is the script; the line around it has nothing else to say.
        found += [_of_heredoc(step, one) for one in instruction.heredocs if _is_shell(one)]
    return tuple(found)


def _only_script(around: Script) -> Script | None:
    """The script behind `bash -c` where a shell form has nothing else to say; the shell around it only reads quotes."""
    if len(around.commands) != 1:
        return None
    one = around.commands[0]
    index = shell_script(one.argv)
    if index is None or one.after or one.depth or name_of(one.argv[0]) not in {*SHELLS, "exec", "sudo"}:
        return None
    if name_of(one.argv[0]) == "sudo" and not _SAME_USER.issuperset(_before_shell(one.argv)):
        return None  # `sudo -u app sh -c`: what may be done there is another matter
    before = _QUOTES.sub("", around.text[: one.start])
    if before.split() != " ".join(one.assignments).split() or around.step.instruction.heredocs:
        return None  # `! bash -c`, `V=$(x) || bash -c`
    word = one.words[index]
    raw = around.text[word.start : word.end]
    if not raw.startswith("'") and ("$(" in raw or "`" in raw):
        return None  # what the shell around it makes of that is not known
    plain = around.text[word.start + 1 : word.end - 1] == word.text
    return replace(
        around,
        text=word.text,
        # What is set in front of the shell is in the environment of all that it runs.
        commands=tuple(replace(each, assignments=one.assignments + each.assignments) for each in commands(word.text)),
        carried=frozenset(assignment.partition("=")[0] for assignment in one.assignments),
        place=around.span(word.start, word.end),
        shift=around.shift + word.start + 1 if plain and around.shift is not None else None,
    )


def _before_shell(argv: tuple[str, ...]) -> tuple[str, ...]:
    return argv[1 : next((at for at, word in enumerate(argv) if name_of(word) in SHELLS), 1)]


def _of_exec_form(step: Step) -> tuple[Script, ...]:
    argv = step.instruction.exec_form or ()
    index = shell_script(argv)
    if index is None:
        return (_of_words(step),) if argv and step.instruction.keyword == "RUN" else ()
    return (script_in(step, index),)


def script_in(step: Step, index: int) -> Script:
    """The script that word `index` of an exec form is."""
    text, word = (step.instruction.exec_form or ())[index], step.instruction.words[index]
    plain = "\\" not in word.text
    return Script(
        step=step,
        text=text,
        commands=commands(text),
        place=step.instruction.span(word.start, word.end),
        shift=word.start + 1 if plain else None,
    )


def _of_words(step: Step) -> Script:
    """The one command of a RUN that no shell reads."""
    instruction = step.instruction
    start = instruction.arguments_start
    words = tuple(
        ShellWord(text=text, start=word.start - start, end=word.end - start, quoted=True)
        for text, word in zip(instruction.exec_form or (), instruction.words, strict=False)
    )
    return Script(
        step=step,
        text=instruction.arguments,
        commands=(Command(words=words),),
        place=instruction.span(start, start + len(instruction.arguments)),
        shift=start,
        shell=False,
    )


def _of_heredoc(step: Step, heredoc: Heredoc) -> Script:
    place = Span(line=heredoc.body_line, column=1, end_line=heredoc.end_line, end_column=1)
    return Script(
        step=step, text=heredoc.body, commands=commands(heredoc.body), place=place, body_line=heredoc.body_line
    )


def _without_heredocs(step: Step) -> str:
    instruction = step.instruction
    text = instruction.logical.text[instruction.arguments_start :]
    for heredoc in reversed(instruction.heredocs):
        start = heredoc.start - instruction.arguments_start
        text = text[:start] + text[heredoc.end - instruction.arguments_start :]
    return text


def _is_shell(heredoc: Heredoc) -> bool:
    match = _SHEBANG.match(heredoc.body.lstrip())
    if match is None:
        return True
    program = match.group(2) if name_of(match.group(1)) == "env" and match.group(2) else match.group(1)
    return name_of(program) in SHELLS
