"""The files of a context in one order, and the digest of them.

What counts is what a build can see of it and git can keep: names, types, the executable bit, targets and contents.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imageforge.sources.dockerignore import Ignore
from imageforge.sources.errors import SourceFailed, SourceRefused

MAX_DEPTH = 200
"""Folders in folders. Deeper trees exist only to break what walks them: shutil.rmtree holds a file for each level."""
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A file, link or folder. `name` is relative, with `/`."""

    name: str
    path: Path
    kind: Literal["file", "link", "folder"]
    executable: bool = False
    target: str = ""


def walk(folder: Path, ignore: Ignore | None) -> Iterator[Leaf]:
    """All that is in the context, sorted, a folder before what it holds.

    `.git`, sockets, pipes and devices are not. A folder that is left out comes all the same when something below it
    is in, as it will exist wherever the context is unpacked. Memory goes with the largest folder, not with the tree.
    """
    yield from _below(folder, "", ignore, [])


def tree_digest(folder: Path, *, ignore: Ignore | None) -> str:
    """ "sha256:…" of the tree, without times and owners: a checkout, an archive of it once unpacked, and the folder
    that was packed have the same."""
    whole = hashlib.sha256()
    for leaf in walk(folder, ignore):
        # Name and mark cannot contain NUL and the content's digest has one length: no two trees read alike.
        mark = "executable" if leaf.executable else leaf.kind
        whole.update(b"\0".join((mark.encode(), encoded(leaf.name), _content(leaf))))
    return f"sha256:{whole.hexdigest()}"


def encoded(name: str) -> bytes:
    """A name's bytes, on every system the same."""
    return name.encode("utf-8", "surrogateescape")


def _below(folder: Path, prefix: str, ignore: Ignore | None, held: list[Leaf]) -> Iterator[Leaf]:
    """`held` are the folders above that are out unless something below is in."""
    if prefix.count("/") > MAX_DEPTH:
        raise SourceRefused(
            "context-too-deep", str(folder), f"more than {MAX_DEPTH} folders in one another", hint="leave it out"
        )
    try:
        with os.scandir(folder) as found:
            items = sorted((item for item in found if item.name != ".git"), key=lambda item: encoded(item.name))
        leaves = [leaf for item in items if (leaf := _leaf(item, prefix))]
    except OSError as error:
        raise SourceFailed("context-unreadable", str(folder), str(error), hint="check its permissions") from error
    for leaf in leaves:
        out = ignore is not None and ignore.leaves_out(leaf.name)
        if out and (leaf.kind != "folder" or (ignore and not ignore.may_hold(leaf.name))):
            continue
        held.append(leaf)
        if not out:
            yield from held
            held.clear()
        if leaf.kind == "folder":
            yield from _below(leaf.path, leaf.name + "/", ignore, held)
            if held:
                held.pop()


def _leaf(item: os.DirEntry[str], prefix: str) -> Leaf | None:
    name, path = prefix + item.name, Path(item.path)
    if item.is_symlink():
        target = os.readlink(path).replace(os.sep, "/")  # noqa: PTH115 - Path's tidies up
        return Leaf(name=name, path=path, kind="link", target=target)
    if item.is_dir(follow_symlinks=False):
        return Leaf(name=name, path=path, kind="folder")
    if item.is_file(follow_symlinks=False):
        # Windows keeps no such bit: there everything may be run, as `docker build` has it.
        executable = os.name == "nt" or bool(item.stat(follow_symlinks=False).st_mode & stat.S_IXUSR)
        return Leaf(name=name, path=path, kind="file", executable=executable)
    return None


def _content(leaf: Leaf) -> bytes:
    digest = hashlib.sha256(encoded(leaf.target))
    if leaf.kind == "file":
        try:
            with leaf.path.open("rb") as source:
                while data := source.read(CHUNK):
                    digest.update(data)
        except OSError as error:
            raise SourceFailed(
                "context-unreadable", str(leaf.path), str(error), hint="check its permissions"
            ) from error
    return digest.digest()
