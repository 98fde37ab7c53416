"""IF211: a file of the context that holds a secret is copied into the image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.context import Context, File
from linters.model import Basis, Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.secret_text import assignments, is_literal, is_secret_name

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_MOST_FILES = 2000
"""Files that are looked at for one Dockerfile; few of them are read."""
_LARGEST = 64 * 1024
_ENVIRONMENT = re.compile(r"^\.env(?:\.(?!example|sample|template|dist|tmpl|tpl|test|default|demo)[^/]*)?$")
_FIX = (
    "add it to .dockerignore; RUN --mount=type=secret lends it to the build, and a secret of the app to the container"
)


def _check(subject: Subject) -> Iterator[Hit]:
    context = subject.context
    if context is None:
        return
    seen: set[str] = set()
    for copy in subject.copies:
        for source, place in zip(copy.sources, copy.step.instruction.words, strict=False):
            if source is None or source not in copy.local_sources:
                continue
            for file in context.taken(source, copy.excluded)[:_MOST_FILES]:
                if file.path in seen or file.folder or not 0 < file.size <= _LARGEST:
                    continue
                seen.add(file.path)
                what, severity = _secret(context, file)
                if what is not None:
                    yield Hit(
                        span=copy.step.instruction.span(place.start, place.end),
                        message=f"{file.path} goes into the image and holds {what}",
                        fix=_FIX,
                        severity=severity,
                        basis=Basis.CONTEXT,
                    )


def _secret(context: Context, file: File) -> tuple[str | None, Severity | None]:
    """What a file holds; a password that a person chose for a .env is less sure than what looks real."""
    from linters.image.secret_files import secret_in  # noqa: PLC0415 - few files are looked at

    what = secret_in(f"/{file.path}", lambda most: context.read_bytes(file.path, most) or b"")
    if what is None and _ENVIRONMENT.match(posixpath.basename(file.path)):
        text = context.read(file.path, _LARGEST) or ""
        for name, value in assignments(text):
            if is_secret_name(name) and is_literal(value):
                return f"a value for {name}", Severity.WARNING
    return what, None


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.secrets import secret_files  # noqa: PLC0415 - who judges a file has no use for it

    return secret_files(evidence)


RULE = Rule(
    id="IF211",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="No file with a secret is copied into an image",
    check=_check,
    image=_image,
)
