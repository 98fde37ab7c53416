"""Text to Dockerfile. Never raises: what does not parse is a Problem, and reading goes on with the next instruction."""

from __future__ import annotations

import re
from dataclasses import replace

from linters.dockerfile import grammar
from linters.dockerfile.heredocs import KEYWORDS as HEREDOC_KEYWORDS
from linters.dockerfile.heredocs import read_heredocs
from linters.dockerfile.lines import LineReader
from linters.dockerfile.model import Dockerfile, Heredoc, Instruction, LogicalLine, Problem
from linters.dockerfile.words import NotStrings, assignments, json_array, json_words, split_blank, split_flags

_KEYWORD = re.compile(r"\s*([^\t\v\f\r ]+)")
_MARK = "\ufeff"
_PAIRS = frozenset({"ENV", "ARG", "LABEL"})
_JSON = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})


def parse(text: str) -> Dockerfile:
    """Reads `text` as BuildKit does. Problems come in file order."""
    mark = _MARK if text.startswith(_MARK) else ""
    lines = tuple(re.findall(r"[^\n]*\n|[^\n]+", text.removeprefix(mark)))
    reader = LineReader(lines)
    instructions: list[Instruction] = []
    problems: list[Problem] = []
    while (logical := reader.next()) is not None:
        comments = reader.pending_comments()
        if not logical.text.strip():
            continue  # a continuation of nothing by nothing
        instruction, problem = _instruction(logical, 0, reader.escape)
        if problem is not None:
            problems.append(problem)
        carrier = instruction.trigger or instruction
        if carrier.keyword in HEREDOC_KEYWORDS and carrier.exec_form is None:
            heredocs, problem = read_heredocs(logical, reader)
            if problem is not None:
                problems.append(problem)
            instruction = _with_heredocs(instruction, heredocs)
        end_line = instruction.heredocs[-1].end_line if instruction.heredocs else logical.end_line
        instruction = replace(instruction, comments=comments, end_line=end_line)
        problem = grammar.check(instruction)
        if problem is not None:
            problems.append(problem)
        instructions.append(instruction)
    problems += reader.problems
    problems += grammar.check_order(instructions)
    return Dockerfile(
        lines=lines,
        mark=mark,
        escape=reader.escape,
        directives=tuple(reader.directives),
        instructions=tuple(instructions),
        comments=tuple(reader.comments),
        problems=tuple(sorted(problems, key=lambda problem: (problem.span.line, problem.span.column))),
    )


def _with_heredocs(instruction: Instruction, heredocs: tuple[Heredoc, ...]) -> Instruction:
    if instruction.trigger is not None:
        trigger = replace(instruction.trigger, heredocs=heredocs)
        return replace(instruction, heredocs=heredocs, trigger=trigger)
    return replace(instruction, heredocs=heredocs)


def _instruction(logical: LogicalLine, offset: int, escape: str) -> tuple[Instruction, Problem | None]:
    """The instruction that starts at `offset` of `logical`."""
    match = _KEYWORD.match(logical.text, offset)
    if match is None:
        raise AssertionError("a logical line holds a word")
    keyword = match.group(1).upper()
    flags, skipped = split_flags(logical.text[match.end() :], match.end(), escape)
    start = match.end() + skipped
    body = logical.text[start:]
    start += len(body) - len(body.lstrip())
    arguments = logical.text[start:].rstrip()
    problem = None
    exec_form: tuple[str, ...] | None = None
    pairs = assignments(keyword, arguments, start, escape) if keyword in _PAIRS else ()
    words = split_blank(arguments, start)
    json_start = _json_start(keyword, arguments)
    if json_start is not None:
        try:
            exec_form = json_array(arguments[json_start:])
        except NotStrings:
            message = f"{keyword} holds a JSON array with something else than strings"
            problem = Problem(message=message, span=logical.span(start + json_start, len(logical.text)))
        if exec_form is not None:
            words = json_words(arguments[json_start:], start + json_start)
    instruction = Instruction(
        keyword=keyword,
        logical=logical,
        keyword_start=match.start(1),
        keyword_end=match.end(1),
        arguments=arguments,
        arguments_start=start,
        flags=flags,
        words=words,
        exec_form=exec_form,
        assignments=pairs,
    )
    if keyword == "ONBUILD" and arguments and offset == 0:
        # One behind another is refused, however many there are.
        trigger, problem = _instruction(logical, start, escape)
        instruction = replace(instruction, trigger=trigger)
    return instruction, problem


def _json_start(keyword: str, arguments: str) -> int | None:
    """Where a JSON array may begin in `arguments`: behind CMD for HEALTHCHECK; None where there can be none."""
    if keyword in _JSON:
        return 0
    match = re.match(r"CMD\s+", arguments, re.IGNORECASE) if keyword == "HEALTHCHECK" else None
    return match.end() if match else None
