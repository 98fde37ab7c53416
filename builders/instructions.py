"""A Dockerfile's instructions with their lines, and which of them a build step stands for.

BuildKit titles a step with the instruction's text, continuation lines joined: ``[build 2/5] RUN pip install flask``.
Newer engines print the line themselves; for the others it is found by that text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TITLE = re.compile(r"\[(?:(?P<stage>\S+) )?(?:(?P<index>\d+)/(?P<total>\d+))\] (?P<text>.*)", re.DOTALL)
_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*(?P<quote>[\"']?)(?P<word>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(?P<mark>[\\`])\s*", re.IGNORECASE)
_SYNTAX = re.compile(r"#\s*syntax\s*=\s*\S", re.IGNORECASE)
_TITLED = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction: the `line` where it begins (from 1), its text with continuation lines joined and white space
    collapsed, the name of its stage (``stage-2`` where it has none), and its number among the stage's titled ones."""

    line: int
    text: str
    stage: str
    index: int

    @property
    def keyword(self) -> str:
        """The instruction's first word, in capitals."""
        return self.text.partition(" ")[0].upper()


def instructions(dockerfile: str) -> list[Instruction]:
    """The instructions of a Dockerfile, in order. Never fails: what cannot be understood is skipped."""
    found: list[Instruction] = []
    names: set[str] = set()
    stage, count, stages = "", 0, -1
    for line, text in _logical_lines(dockerfile):
        keyword = text.partition(" ")[0].upper()
        if keyword == "FROM" and (match := _FROM.match(text)):
            stages += 1
            stage = (match["name"] or f"stage-{stages}").lower()
            # A stage that starts from another stage has no step of its own for that.
            count = 0 if match["image"].lower() in names else 1
            names.add(stage)
        elif keyword in _TITLED:
            count += 1
        found.append(Instruction(line=line, text=text, stage=stage, index=count))
    return found


def find_step(dockerfile: str, title: str) -> Instruction | None:
    """The instruction that BuildKit titled `title`: by its text, else (variables are expanded in some titles) by its
    stage and number. None for steps that are not in the file, such as loading the context."""
    match = _TITLE.fullmatch(title)
    if match is None:
        return None
    everything = instructions(dockerfile)
    stage = match["stage"].lower() if match["stage"] else None
    text = _collapse(match["text"])
    same_text = [item for item in everything if _normal(item.text) == _normal(text)]
    in_stage = [item for item in same_text if stage in (None, item.stage)]
    same_place = [
        item
        for item in everything
        if stage in (None, item.stage)
        and item.index == int(match["index"])
        and item.keyword in (*_TITLED, "FROM")
        and item.keyword == text.partition(" ")[0].upper()
    ]
    both = [item for item in in_stage if item in same_place]
    return next(iter(both or in_stage or same_place or same_text), None)


def find_image(dockerfile: str, image: str) -> Instruction | None:
    """The first FROM that names `image`, compared without ``docker.io/`` and ``library/``."""
    wanted = _familiar(image)
    for item in instructions(dockerfile):
        match = _FROM.match(item.text)
        if match and _familiar(match["image"]) == wanted:
            return item
    return None


def syntax_line(dockerfile: str) -> int | None:
    """The line of the ``# syntax=`` directive, which stands in the comments at the top; None where there is none."""
    for number, line in enumerate(dockerfile.removeprefix("\ufeff").splitlines(), 1):
        if _SYNTAX.match(line.strip()):
            return number
        if not line.strip().startswith("#"):
            return None
    return None


def _familiar(image: str) -> str:
    return image.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


def _logical_lines(dockerfile: str) -> list[tuple[int, str]]:
    """Each instruction's first line and its text. Comments and empty lines within one do not end it."""
    found: list[tuple[int, str]] = []
    lines = dockerfile.splitlines()
    escape = next((match["mark"] for line in lines[:3] if (match := _ESCAPE.fullmatch(line.strip()))), "\\")
    parts: list[str] = []
    start, position = 0, 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not parts:
            start = position
        stripped = line.rstrip()
        if stripped.endswith(escape):
            parts.append(stripped[:-1])
            continue
        parts.append(stripped)
        text = _collapse(" ".join(parts) if len(parts) == 1 else "".join(f"{part} " for part in parts))
        found.append((start, text))
        parts = []
        position = _after_heredocs(lines, position, text)
    if parts:
        found.append((start, _collapse(" ".join(parts))))
    return found


def _after_heredocs(lines: list[str], position: int, text: str) -> int:
    """The line after the heredocs that `text` opens."""
    if text.partition(" ")[0].upper() not in _TITLED:
        return position
    for match in _HEREDOC.finditer(text):
        for number in range(position, len(lines)):
            if lines[number].strip() == match["word"]:
                position = number + 1
                break
    return position


def _normal(text: str) -> str:
    """BuildKit prints an instruction's first word in capitals, however it was written."""
    keyword, _, rest = text.partition(" ")
    return f"{keyword.upper()} {rest}"


def _collapse(text: str) -> str:
    return " ".join(text.split())
