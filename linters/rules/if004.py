"""IF004: ADD of what COPY copies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.edits import Edits, replaced
from linters.instructions import each, like, written
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|[^/]+\.git(?:$|[#?/])|.*\.git(?:$|[#?])", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(?:tar(?:\.[A-Za-z0-9]+)?|t[abglx]z2?|tbz2?|txz|tzst|gz|bz2|xz|zst|lzma|Z)$", re.IGNORECASE)
_ONLY_ADD = ("checksum", "keep-git-dir", "unpack")
_EXTENSION = re.compile(r"[^/.]\.[A-Za-z0-9_-]+$")


def _check(subject: Subject) -> Iterator[Hit]:
    for step, instruction in each(subject, "ADD"):
        sources = _sources(step, instruction)
        if sources is None or any(instruction.flag(name) for name in _ONLY_ADD):
            continue
        edits = _edits(subject, instruction)
        yield Hit(
            span=instruction.span(),
            message="ADD copies files as COPY does, and also fetches addresses and unpacks archives",
            fix="write COPY",
            edits=edits,
            safe=bool(edits) and all(_no_archive(source) for source in sources),
        )


def _sources(step: Step, instruction: Instruction) -> list[str] | None:
    """The sources where each is a local file or folder and by its name no archive; None else."""
    words = instruction.exec_form or tuple(word.text for word in instruction.words)
    found: list[str] = []
    for raw in words[:-1]:
        if raw.startswith("<<"):
            continue
        source = step.expand(raw)
        if not source or _REMOTE.match(source) or _ARCHIVE.search(source):
            return None
        last = source.rstrip("/").rpartition("/")[2]
        if any(char in last for char in "*?[") and not _EXTENSION.search(last):
            return None  # `ADD build/* /`: an archive may be among them
        if any(char in (_EXTENSION.search(last) or [""])[0] for char in "*?["):
            return None
        found.append(source)
    return found


def _no_archive(source: str) -> bool:
    """Whether a name is surely none of an archive: the builder looks at what is in a file, not at its name."""
    name = source.rstrip("/").rpartition("/")[2]
    return source.endswith("/") or name in ("", ".", "..") or bool(_EXTENSION.search(name))


def _edits(subject: Subject, instruction: Instruction) -> Edits:
    text = like(written(instruction), "COPY")
    return replaced(subject.dockerfile, instruction, instruction.keyword_start, instruction.keyword_end, text)


RULE = Rule(
    id="IF004",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="Files are copied by COPY",
    check=_check,
    covers=frozenset({"DL3020"}),
)
