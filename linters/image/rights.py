"""Files that give their user another one's rights."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.image.model import LayerFile
from linters.model import Severity
from linters.rule import ImageHit

_SETUID = 0o4000
_SHELLS = re.compile(
    r"(?:sh|bash|dash|ash|zsh|busybox|env|perl|python|find|vim?|[gm]?awk|tar|cp|dd|nsenter|node|ruby|php|gdb)[0-9.]*"
)
"""Programs that run what they are told: with setuid root each of them is root for everybody."""
MOST = 20


def raising(evidence: Evidence) -> Iterator[ImageHit]:
    """IF406: setuid and setgid files that are not so in the base."""
    for file in evidence.raising[:MOST]:
        bit = "setuid" if file.mode & _SETUID else "setgid"
        owner = file.uid if file.mode & _SETUID else file.gid
        yield ImageHit(
            message=f"{file.path} is {bit} for {'root' if owner == 0 else owner} (mode {file.mode & 0o7777:04o}), "
            "and not so in the base image",
            fix=f"chmod ug-s {file.path} in the RUN that makes it, or leave out its package",
            severity=Severity.ERROR if _gives_root(file) else None,
            excerpt=file.path,
        )


def _gives_root(file: LayerFile) -> bool:
    runs = bool(file.mode & _SETUID) and file.uid == 0 and bool(file.mode & 0o111)
    return runs and _SHELLS.fullmatch(file.path.rpartition("/")[2]) is not None
