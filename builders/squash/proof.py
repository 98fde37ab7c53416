"""That squashing changed nothing a container can see: both trees compared, the result's as read back from its blob."""

from __future__ import annotations

from collections.abc import Callable

from builders.errors import SquashError
from builders.squash.merge import attributes
from builders.squash.tarfmt import DIRECTORY, REGULAR
from builders.squash.tree import Inode, Node, walk

SHOWN = 10
DigestOf = Callable[[Inode], str]


def prove(source: Node, result: Node, *, source_digest: DigestOf, result_digest: DigestOf) -> None:
    """Compare paths, attributes, contents and which names share an inode.

    The digests are asked for regular files that are not the same inode in both trees. Raises SquashError
    (`proof-failed`) with the first ten paths that differ.
    """
    before, after = dict(walk(source)), dict(walk(result))
    problems = [f"{_text(path)} is lost" for path in before.keys() - after.keys()]
    problems += [f"{_text(path)} came out of nowhere" for path in after.keys() - before.keys()]
    twins: dict[Inode, Inode] = {}
    back: dict[Inode, Inode] = {}
    for path in before.keys() & after.keys():
        old, new = before[path].inode, after[path].inode
        if old.member.type != DIRECTORY and (
            twins.setdefault(old, new) is not new or back.setdefault(new, old) is not old
        ):
            problems.append(f"{_text(path)} is linked to other names than before")
        elif old is not new and (difference := _difference(old, new, source_digest, result_digest)):
            problems.append(f"{_text(path)}: {difference}")
    if problems:
        shown = "; ".join(sorted(problems)[:SHOWN])
        more = f" (+{len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise SquashError(
            "proof-failed",
            "squash",
            f"the file trees differ: {shown}{more}",
            hint="build with --squash none, and report this: it is a bug of imageforge",
            kept="nothing was published; the image as built is in the engine",
        )


def _difference(old: Inode, new: Inode, source_digest: DigestOf, result_digest: DigestOf) -> str:
    names = ("type", "mode", "uid", "gid", "mtime", "link", "device", "extended attributes")
    for name, one, other in zip(names, attributes(old.member), attributes(new.member), strict=True):
        if one != other:
            return f"{name} {one!r} became {other!r}"
    if old.member.size != new.member.size:
        return f"{old.member.size} bytes became {new.member.size}"
    if old.member.type == REGULAR and old.member.size and source_digest(old) != result_digest(new):
        return "its content changed"
    return ""


def _text(path: bytes) -> str:
    return "/" + path.decode(errors="backslashreplace")
