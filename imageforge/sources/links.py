"""Symbolic links of a tree: those that stay inside are kept, those that lead out are refused."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from imageforge.sources.errors import SourceRefused


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
    written = posixpath.normpath(posixpath.join(posixpath.dirname(name), target.replace(os.sep, "/")))
    base = os.path.realpath(root)
    followed = os.path.realpath(os.path.join(os.path.realpath(path.parent), target))  # noqa: PTH118 - Path drops no ".."
    inside = followed == base or followed.startswith(base + os.sep)
    if not target or target[0] in "/\\" or Path(target).drive or written.split("/")[0] == ".." or not inside:
        raise SourceRefused(
            "archive-traversal",
            subject,
            f"the symbolic link {name!a} leads out of the folder, to {ascii(target)[:200]}",
            hint="make it relative and inside, or leave it out with a .dockerignore",
        )
