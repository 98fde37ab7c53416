"""IF306: the whole folder is copied, with what the image has no use for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.context import Context, File
from linters.dockerfile import Span
from linters.model import Basis, Principle, Severity
from linters.rule import Hit, ImageHit, Option, Rule, Subject

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_LARGEST = 200
"""Megabytes of a context that is copied as a whole, from which on it is worth a word."""
_SECRET_FILE = re.compile(
    r"\.env(?:\.(?!example|sample|template|dist|tmpl|tpl).*)?$|.*\.(?:pem|key)$|id_(?:rsa|ed25519|ecdsa)$"
)
_PUBLIC = re.compile(r"ca(?:[-_.].*)?\.pem$|.*public.*|cacert.*")
_FOLDERS = {
    ".git": "the whole history",
    "node_modules": "what npm ci makes anew",
    ".venv": "this machine's environment",
}
_MOST_NAMED = 4


def _check(subject: Subject) -> Iterator[Hit]:
    context = subject.context
    if context is None or context.patterns is None:
        return
    for copy in subject.copies:
        for source, word in zip(copy.sources, copy.step.instruction.words, strict=False):
            if source is None or not copy.from_context or posixpath.normpath(source.lstrip("/")) != ".":
                continue
            files = context.taken(source, copy.excluded)
            where = copy.step.instruction.span(word.start, word.end)
            largest = subject.policy.number("IF306", "megabytes", _LARGEST)
            hit = _judge(context, files, where, largest, excluded=bool(copy.excluded))
            if hit is not None:
                yield hit
                return


def _judge(context: Context, files: tuple[File, ...], where: Span, largest: int, *, excluded: bool) -> Hit | None:
    unwanted = _unwanted(files)
    size = sum(file.size for file in files)
    if unwanted:
        named = ", ".join(unwanted[:_MOST_NAMED]) + (" …" if len(unwanted) > _MOST_NAMED else "")
        message, severity = f"the whole folder is copied, and with it {named}", Severity.WARNING
    elif size > largest * 1_000_000:
        message = f"the whole folder is copied, {size // 1_000_000} MB of it"
        severity = Severity.WARNING
    elif context.ignore is None and not excluded:
        message = "the whole folder is copied, and there is no .dockerignore: what comes to lie there, the image has"
        severity = Severity.INFO
    else:
        return None
    lines = unwanted[:_MOST_NAMED] or [".git", ".env*", "node_modules"]
    fix = (
        f"{'add to' if context.ignore else 'write a'} .dockerignore: {', '.join(lines)}; or copy what is needed by name"
    )
    return Hit(span=where, message=message, fix=fix, severity=severity, basis=Basis.CONTEXT)


def _unwanted(files: tuple[File, ...]) -> list[str]:
    found: dict[str, None] = {}
    names = {file.path for file in files}
    for file in files:
        name = posixpath.basename(file.path)
        if file.folder:
            if name in _FOLDERS:
                found[file.path] = None
        elif _SECRET_FILE.match(name) and not _PUBLIC.match(name):
            found[file.path] = None
        else:
            # What Cargo and Maven have built lies in a folder that others may use for something else.
            head, middle, _ = file.path.partition("target/")
            if middle and (head == "" or head.endswith("/")) and names & {f"{head}Cargo.toml", f"{head}pom.xml"}:
                found[f"{head}target"] = None
    return list(found)


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.remains import repositories  # noqa: PLC0415 - who judges a file has no use for it

    return repositories(evidence)


RULE = Rule(
    id="IF306",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A .dockerignore keeps out what the image has no use for",
    check=_check,
    image=_image,
    options=(Option(name="megabytes", default=_LARGEST, help="of a whole folder, from which on it is told"),),
)
