"""Symbolic links of a tree: those that stay inside are kept, those that lead out are refused."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

from imageforge.sources.errors import SourceRefused

_STEPS = 2000
"""Names on the way from a link to its end. Linux gives up after 40 links and 4096 bytes."""


def refuse_escaping_links(root: Path, subject: str) -> None:
    """Look at every symbolic link below `root`, in the state that the tree ended up in.

    Raises SourceRefused (`archive-traversal`).
    """
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink():
                check_link(root, path, os.readlink(path), subject)  # noqa: PTH115 - Path's tidies up


def check_link(root: Path, path: Path, target: str, subject: str) -> None:
    """Refuse a link at `path` with this target if it leads out of `root`, as written or once other links are followed.

    Both are asked: what is written would decide on another machine, where the links on the way lead elsewhere.
    """
    name = path.relative_to(root).as_posix()
    target = target.replace(os.sep, "/")
    written = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if not target or _absolute(target) or written.split("/")[0] == ".." or not _stays_inside(root, name, target):
        raise SourceRefused(
            "archive-traversal",
            subject,
            f"the symbolic link {name!a} leads out of the folder, to {ascii(target)[:200]}",
            hint="make it relative and inside, or leave it out with a .dockerignore",
        )


def _absolute(target: str) -> bool:
    return target[0] in "/\\" or bool(Path(target).drive)


@dataclass(frozen=True, slots=True)
class _EndOf:
    """Marks where the target of a link ends."""

    link: str


def _stays_inside(root: Path, name: str, target: str) -> bool:
    """Follow a link step by step. One that leads to itself leads nowhere, and so not out.

    Not os.path.realpath: it calls itself for each link of a chain, and chains are as long as an archive likes.
    """
    here = name.split("/")[:-1]
    open_links = {name}
    todo: list[str | _EndOf] = [*reversed(target.split("/"))]
    for _ in range(_STEPS):
        if not todo:
            return True
        step = todo.pop()
        if isinstance(step, _EndOf):
            open_links.discard(step.link)
        elif step == "..":
            if not here:
                return False
            here.pop()
        elif step not in ("", "."):
            here.append(step)
            link = "/".join(here)
            path = root / link
            if path.is_symlink():
                if link in open_links:
                    return True
                onward = os.readlink(path).replace(os.sep, "/")  # noqa: PTH115 - Path's tidies up
                if _absolute(onward):
                    return False
                here.pop()
                open_links.add(link)
                todo += [_EndOf(link), *reversed(onward.split("/"))]
    return False
