"""What each instruction demands of its flags and arguments, as BuildKit's `instructions/parse.go` does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from linters.dockerfile.model import Instruction, Problem

FLAGS: dict[str, frozenset[str]] = {
    "ADD": frozenset({"chown", "chmod", "link", "keep-git-dir", "checksum", "unpack", "exclude"}),
    "ARG": frozenset(),
    "CMD": frozenset(),
    "COPY": frozenset({"chown", "from", "chmod", "link", "exclude", "parents"}),
    "ENTRYPOINT": frozenset(),
    "ENV": frozenset(),
    "EXPOSE": frozenset(),
    "FROM": frozenset({"platform"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "start-interval", "retries"}),
    "LABEL": frozenset(),
    "MAINTAINER": frozenset(),
    "ONBUILD": frozenset(),
    "RUN": frozenset({"mount", "network", "security", "device"}),
    "SHELL": frozenset(),
    "STOPSIGNAL": frozenset(),
    "USER": frozenset(),
    "VOLUME": frozenset(),
    "WORKDIR": frozenset(),
}
_BOOLEAN = frozenset({"link", "keep-git-dir", "unpack", "parents"})
_REPEATABLE = frozenset({"exclude", "mount", "device"})
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*$")
_LONGEST_NAME = 40
_NEEDS = {
    "ARG": "a name, such as ARG VERSION=1.0",
    "CMD": None,
    "ENTRYPOINT": None,
    "ENV": "name=value",
    "EXPOSE": "a port, such as EXPOSE 8080",
    "FROM": "an image, such as FROM debian:bookworm",
    "HEALTHCHECK": "CMD and a command, or NONE",
    "LABEL": "name=value",
    "MAINTAINER": "a name",
    "ONBUILD": "an instruction",
    "RUN": "a command",
    "SHELL": 'a JSON array, such as SHELL ["/bin/bash", "-c"]',
    "STOPSIGNAL": "a signal, such as STOPSIGNAL SIGTERM",
    "USER": "a user, such as USER 10001",
    "VOLUME": "a path",
    "WORKDIR": "a path",
}


def check(instruction: Instruction) -> Problem | None:
    """The first thing wrong with one instruction, or None. The body of an ONBUILD is checked as itself."""
    if instruction.keyword not in FLAGS:
        return _unknown(instruction)
    problem = _flags(instruction) or _missing(instruction) or _form(instruction)
    if problem is None and instruction.trigger is not None:
        trigger = instruction.trigger.keyword
        if trigger in ("ONBUILD", "FROM", "MAINTAINER"):
            return _at_keyword(instruction.trigger, f"{trigger} is not allowed behind ONBUILD")
        return check(instruction.trigger)
    if problem is not None and any(word.text.startswith("#") for word in instruction.words):
        return replace(problem, hint="put the comment on a line of its own: behind an instruction `#` begins none")
    return problem


def check_order(instructions: Iterable[Instruction]) -> list[Problem]:
    """What stands before the first FROM and is no ARG, and a file without any FROM.

    The latter must never reach an engine: BuildKit 0.8 takes the last of no stages, and Engine 20.10.24 ends with it.
    """
    for instruction in instructions:
        if instruction.keyword == "FROM":
            return []
        if instruction.keyword in FLAGS and instruction.keyword != "ARG":
            message = f"{instruction.keyword} stands before the first FROM, expected FROM or ARG"
            hint = "begin with FROM and the base image"
            return [Problem(message=message, span=instruction.span(), hint=hint)]
    last = max(instructions, key=lambda one: one.line, default=None)
    if last is None or last.keyword not in FLAGS:
        return []
    message = "the file has no FROM, expected at least one"
    return [Problem(message=message, span=last.span(), hint="begin with FROM and the base image")]


def get_close_matches(word: str, known: Iterable[str], *, n: int, cutoff: float) -> list[str]:
    """difflib's; it is loaded for a file that is wrong."""
    import difflib  # noqa: PLC0415

    return difflib.get_close_matches(word, list(known), n=n, cutoff=cutoff)


def _at_keyword(instruction: Instruction, message: str, hint: str | None = None) -> Problem:
    return Problem(message=message, span=instruction.span(), hint=hint)


def _at_arguments(instruction: Instruction, message: str, hint: str | None = None) -> Problem:
    start = instruction.arguments_start
    return Problem(message=message, span=instruction.span(start, start + len(instruction.arguments)), hint=hint)


def _unknown(instruction: Instruction) -> Problem:
    name = instruction.logical.text[instruction.keyword_start : instruction.keyword_end]
    name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    close = get_close_matches(instruction.keyword[:_LONGEST_NAME], FLAGS, n=1, cutoff=0.5)
    meant = f", did you mean {close[0]}?" if close else ", expected an instruction such as FROM, RUN or COPY"
    hint = None if close else "a command that goes on over the line needs `\\` at the end of the line above"
    return replace(_at_keyword(instruction, f"unknown instruction `{name}`{meant}", hint), foreign=not close)


def _flags(instruction: Instruction) -> Problem | None:
    known = FLAGS[instruction.keyword]
    seen: set[str] = set()
    for flag in instruction.flags:
        where = instruction.span(flag.start, flag.end)
        if flag.name not in known:
            close = get_close_matches(flag.name, known, n=1, cutoff=0.5)
            meant = f", did you mean --{close[0]}?" if close else ""
            return Problem(message=f"{instruction.keyword} has no flag --{flag.name}{meant}", span=where)
        if flag.name in seen and flag.name not in _REPEATABLE:
            return Problem(message=f"--{flag.name} is given twice", span=where)
        if flag.name not in _BOOLEAN and not flag.value:
            return Problem(message=f"--{flag.name} has no value, expected --{flag.name}=…", span=where)
        if flag.name in _BOOLEAN and flag.value not in (None, "true", "false"):
            message = f"--{flag.name}={flag.value}, expected true or false"
            return Problem(message=message, span=where)
        seen.add(flag.name)
    return None


def _missing(instruction: Instruction) -> Problem | None:
    if instruction.arguments:
        return None
    keyword = instruction.keyword
    if keyword in ("COPY", "ADD"):
        return _at_keyword(instruction, f"{keyword} has no argument, expected sources and a destination")
    # BuildKit takes a bare CMD, ENTRYPOINT or RUN for one with an empty command; only RUN is then of no use.
    needs = _NEEDS[keyword]
    return _at_keyword(instruction, f"{keyword} has no argument, expected {needs}") if needs else None


def _form(instruction: Instruction) -> Problem | None:
    form = _FORMS.get(instruction.keyword)
    return form(instruction) if form else None


def _from(instruction: Instruction) -> Problem | None:
    words = instruction.words
    if len(words) == 1:
        return None
    if len(words) != 3 or words[1].text.upper() != "AS":
        return _at_arguments(instruction, "FROM takes an image, or an image AS a name")
    if not _STAGE_NAME.match(words[2].text.lower()):
        message = f"`{words[2].text}` is no name for a stage, expected a letter, then letters, digits, `-`, `_` or `.`"
        return Problem(message=message, span=instruction.span(words[2].start, words[2].end))
    return None


def _copy(instruction: Instruction) -> Problem | None:
    count = len(instruction.exec_form if instruction.exec_form is not None else instruction.words)
    if count < 2:
        return _at_arguments(instruction, f"{instruction.keyword} has one argument, expected sources and a destination")
    if instruction.exec_form is None and any(one.end == instruction.words[-1].end for one in instruction.heredocs):
        last = instruction.words[-1]
        message = f"{instruction.keyword} has a heredoc as destination, expected a path"
        return Problem(message=message, span=instruction.span(last.start, last.end))
    return None


def _pairs(instruction: Instruction) -> Problem | None:
    for pair in instruction.assignments:
        where = instruction.span(pair.start, pair.end)
        if not pair.name:
            return Problem(message=f"{instruction.keyword} has a blank name, expected name=value", span=where)
        if pair.value is None and instruction.keyword != "ARG":
            message = f"`{pair.name}` has no value, expected {instruction.keyword} name=value"
            return Problem(message=message, span=where, hint="quote a value that holds blanks")
    return None


def _healthcheck(instruction: Instruction) -> Problem | None:
    kind = instruction.arguments.split()[0]
    rest = instruction.arguments[len(kind) :].strip()
    if kind.upper() == "NONE":
        return _at_arguments(instruction, "HEALTHCHECK NONE takes no arguments") if rest else None
    if kind.upper() != "CMD":
        return _at_arguments(instruction, f"HEALTHCHECK has `{kind}`, expected CMD or NONE")
    if not rest or instruction.exec_form == ():
        return _at_arguments(instruction, "HEALTHCHECK CMD has no command")
    return None


def _shell(instruction: Instruction) -> Problem | None:
    if not instruction.exec_form:
        return _at_arguments(instruction, 'SHELL expects a JSON array, such as ["/bin/bash", "-c"]')
    return None


def _volume(instruction: Instruction) -> Problem | None:
    if instruction.exec_form is not None and not all(path.strip() for path in instruction.exec_form or ("",)):
        return _at_arguments(instruction, "VOLUME has an empty path")
    return None


_FORMS = {
    "ADD": _copy,
    "ARG": _pairs,
    "COPY": _copy,
    "ENV": _pairs,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _pairs,
    "SHELL": _shell,
    "VOLUME": _volume,
}
