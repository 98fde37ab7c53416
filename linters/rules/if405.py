"""IF405: everyone may write to the program's files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.modes import Change, changes
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

_CODE = re.compile(r"\.(?:sh|bash|py|js|mjs|cjs|ts|rb|pl|php|jar|war|so|dll|exe|conf|cfg|ini|ya?ml|json|toml|xml)$")
_PROGRAMS = re.compile(r"/(?:s?bin|libexec)/[^/]+$|/etc/")


def _check(subject: Subject) -> Iterator[Hit]:
    folders = {copy.destination for copy in subject.copies}
    files = {path for copy in subject.copies for path in copy.files()}
    for script in subject.run_scripts():
        for change in changes(script.commands):
            if not change.writable_by_all:
                continue
            code = None if change.recursive else _code(script.step, change, folders, files)
            if change.recursive or code:
                what = f"{change.paths[0]} and all below it" if change.recursive else code
                yield Hit(
                    span=script.span_of(change.command),
                    message=f"mode {change.mode} lets every user of the container change {what}",
                    fix="give the folder to the program's user (chown), or to group 0 (chmod g=u)",
                )


def _code(step: Step, change: Change, folders: set[str], files: set[str]) -> str | None:
    """The first path that is a program, a configuration, or was copied; a folder for data may be open to all."""
    for word in change.paths:
        path = posixpath.normpath(posixpath.join(step.workdir, word))
        if path in files or path in folders or _CODE.search(path) or _PROGRAMS.search(path):
            return word
    return None


RULE = Rule(
    id="IF405",
    severity=Severity.WARNING,
    principle=Principle.NON_ROOT,
    title="Not everyone may write to the program's files",
    check=_check,
)
