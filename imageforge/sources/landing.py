"""The folder that an archive is unpacked into: nothing is written outside of it, and nothing through a link."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from imageforge.sources.errors import SourceRefused
from imageforge.sources.links import check_link
from imageforge.sources.tar import TarEntry
from imageforge.sources.tree import MAX_DEPTH, encoded

_COMPONENT = 255
"""Bytes of a name that ext4, xfs, btrfs, APFS and NTFS agree on."""


class Landing:
    """A folder of ours that nobody else writes to, so that what was checked is still so when it is used."""

    def __init__(self, root: Path, *, subject: str, path_length: int) -> None:
        self.root = root
        self._subject = subject
        self._path_length = path_length
        self._times: dict[Path, float] = {}

    def place(self, name: str) -> Path:
        """Where an entry of this name goes; refuses names that lead elsewhere or cannot be written down."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or (os.name == "nt" and set(name) & set("\\:")):
            raise self._refused("archive-traversal", f"{ascii(name)[:200]} leads out of the folder", "pack with `-C`")
        if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name):
            raise self._refused("archive-unreadable", f"{ascii(name)[:200]} has control characters", "rename the file")
        if (
            len(encoded(name)) > self._path_length
            or len(parts) > MAX_DEPTH
            or any(len(encoded(part)) > _COMPONENT for part in parts)
        ):
            raise self._refused("archive-too-big", f"the name {ascii(name)[:80]}… is too long", "shorten the path")
        return self.root.joinpath(*parts)

    def folder(self, path: Path, mtime: float) -> None:
        """Make a folder, or keep the one that is there."""
        if not _is(path, stat.S_ISDIR):
            self._clear(path)
            path.mkdir(mode=0o755)
        self._times[path] = mtime

    def file(self, path: Path, entry: TarEntry, take: Callable[[int], bytes]) -> None:
        """Make a new file from the pieces that `take` gives; the holes between segments stay holes.

        A file that was there is unlinked first, so that its other names keep their content.
        """
        self._clear(path)
        with path.open("xb") as file:
            for offset, length in entry.segments:
                file.seek(offset)
                left = length
                while left:
                    piece = take(left)
                    file.write(piece)
                    left -= len(piece)
            file.truncate(entry.size)
        path.chmod(0o755 if entry.executable else 0o644)
        os.utime(path, (entry.mtime, entry.mtime))

    def link(self, path: Path, target: str, mtime: float) -> None:
        """Make a symbolic link that stays inside."""
        if "\0" in target or "\n" in target or len(encoded(target)) > self._path_length:
            raise self._refused("archive-unreadable", f"{path.name!a} has no usable target", "pack it anew")
        self._clear(path)
        check_link(self.root, path, target, self._subject)
        path.symlink_to(target)
        if os.utime in os.supports_follow_symlinks:
            os.utime(path, (mtime, mtime), follow_symlinks=False)

    def hard_link(self, path: Path, target: str, mtime: float) -> int:
        """Give a file a second name. Returns its size."""
        source = self.place(target)
        self._parents(source, make=False)
        if _is(source, stat.S_ISLNK) and path != source:
            self.link(path, os.readlink(source), mtime)  # noqa: PTH115 - Path's tidies up
            return 0
        if not _is(source, stat.S_ISREG):
            raise self._refused(
                "archive-traversal",
                f"{path.name!a} is a hard link to {ascii(target)[:200]}, which is not a file before it",
                "pack the folder anew",
            )
        if path == source:
            return 0
        self._clear(path)
        if not _is(source, stat.S_ISREG):
            raise self._refused("archive-unreadable", f"{path.name!a} replaces its own target", "pack it anew")
        os.link(source, path, follow_symlinks=os.link not in os.supports_follow_symlinks)
        return source.stat().st_size

    def finish(self) -> None:
        """Set the folders' times, which every file in them had changed."""
        for path, mtime in self._times.items():
            if _is(path, stat.S_ISDIR):
                os.utime(path, (mtime, mtime))

    def _clear(self, path: Path) -> None:
        """Have the folders above, and nothing at the path: the last entry of a name wins."""
        if path == self.root:
            raise self._refused("archive-traversal", "an entry in the place of the whole folder", "pack it anew")
        self._parents(path, make=True)
        if _is(path, stat.S_ISDIR):
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _parents(self, path: Path, *, make: bool) -> None:
        for parent in reversed(path.relative_to(self.root).parents[:-1]):
            folder = self.root / parent
            if _is(folder, stat.S_ISLNK):
                raise self._refused(
                    "archive-traversal",
                    f"{path.name!a} would be written through the symbolic link {str(parent)!a}",
                    "pack the folder anew",
                )
            if not _is(folder, stat.S_ISDIR):
                if not make:
                    return
                if folder.exists():
                    raise self._refused(
                        "archive-unreadable", f"{str(parent)!a} is not a folder", "pack the folder anew"
                    )
                folder.mkdir(mode=0o755)

    def _refused(self, code: str, problem: str, hint: str) -> SourceRefused:
        return SourceRefused(code, self._subject, problem, hint=hint)


def _is(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
