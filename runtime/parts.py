"""Parts of volumes that containers write to: what a mount with a subPath shows.

A container may put a link where its part is to be, and the engine opens the path later, as root. So the part is opened
here, without leaving the volume, and what was opened is mounted at a place of ours, which the engine is told of; after
the kubelet (kubernetes/pkg/volume/util/subpath/subpath_linux.go). The places lie in a folder of their own, from which
nothing is ever removed but empty folders and files: a mount that has stayed is not walked into.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError
from runtime.kernel import bind, detach, mounts_below, open_beneath, open_real
from runtime.machine import peer

_REASONS = {
    errno.EXDEV: "a link in it leads out of the volume",
    errno.ELOOP: "there is a link where none may be",
    errno.ENOENT: "it is not there",
    errno.ENOTDIR: "a file is where a folder must be",
    errno.ENOSYS: "this kernel cannot stay within a folder: it is older than Linux 5.6",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What is to be shown, and to whom: `path` in `volume`, as the mount with this `number` of a container. `folder`
    is where the volume is on this host. What is not there is made, where it `is_made` at all."""

    replica: str
    container: str
    number: int
    volume: str
    folder: Path
    path: str
    is_made: bool = True

    @property
    def place(self) -> str:
        """Its name among those of its replica."""
        return f"{self.container}-{self.number}"


class Parts:
    """Those of one instance's replicas, mounted below `folder`, for the engine at `engine`."""

    def __init__(self, folder: Path, engine: str) -> None:
        # The kernel tells of mounts without the links on the way there; the folder itself must be none.
        self._folder = folder.parent.resolve() / folder.name
        self._engine = engine
        self._lock = threading.Lock()

    def show(self, part: Part) -> Path:
        """Where the engine finds the part, which is made as a folder where it is not there. Raises ConfigError
        (`part-not-shown`, `part-not-opened`)."""
        if not (self._engine.startswith("unix://") and os.geteuid() == 0):
            raise _not_shown(part, "only root, with an engine of this host, may show a part of it")
        with self._lock:
            try:
                opened = _opened(part)
            except OSError as error:
                raise _not_opened(part, _REASONS.get(error.errno or 0, error.strerror or "")) from error
            try:
                place = self._place(part, opened)
                bind(opened, place)
                self._refuse_unseen(part, opened, place)
            except OSError as error:
                raise _not_shown(part, f"it cannot be mounted: {error.strerror}") from error
            finally:
                os.close(opened)
        return place

    def remove(self, replica: str) -> None:
        """The replica is no more. What cannot be taken away is swept when the next controller starts."""
        with self._lock, contextlib.suppress(OSError):
            self._clear(self._folder / replica)

    def sweep(self, replicas: Collection[str]) -> None:
        """Take away those of all replicas but these: of those whose controller was killed as they ended."""
        for entry in self._entries():
            if entry.name not in replicas:
                self.remove(entry.name)

    def clear(self) -> None:
        """Take away all. Raises ConfigError (`parts-left`) where something stays."""
        for entry in self._entries():
            self.remove(entry.name)
        if self._ours():
            try:
                self._folder.rmdir()
            except OSError as error:
                raise ConfigError(
                    "parts-left",
                    str(self._folder),
                    f"parts of volumes are still mounted there: {error.strerror}",
                    hint=f"as root: umount {self._folder}/*/*",
                ) from error

    def _place(self, part: Part, opened: int) -> Path:
        """An empty folder or file of ours, of the kind of what is shown there; what was there before is taken away."""
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        if not self._ours():
            raise _not_shown(part, f"{self._folder} is another user's, or open to others")
        home = self._folder / part.replica
        home.mkdir(mode=0o700, exist_ok=True)
        place = home / part.place
        self._clear_place(place)
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            place.mkdir(mode=0o700)
        else:
            place.touch(mode=0o600)
        return place

    def _refuse_unseen(self, part: Part, opened: int, place: Path) -> None:
        """The engine may have other mounts than this process: it would show the empty place itself."""
        try:
            seen = Path(f"/proc/{peer(self._engine)}/root{place}").stat()
        except OSError:
            seen = None
        wanted = os.fstat(opened)
        if seen is None or (seen.st_dev, seen.st_ino) != (wanted.st_dev, wanted.st_ino):
            self._clear_place(place)
            raise _not_shown(part, "the engine does not see what is mounted here")

    def _clear(self, home: Path) -> None:
        for place in home.iterdir() if home.is_dir() else ():
            self._clear_place(place)
        with contextlib.suppress(FileNotFoundError):
            home.rmdir()

    def _clear_place(self, place: Path) -> None:
        for mounted in mounts_below(place.parent):
            if mounted == place or mounted.is_relative_to(place):
                detach(mounted)
        with contextlib.suppress(FileNotFoundError):
            # Neither takes what has something in it, or is mounted upon.
            place.rmdir() if stat.S_ISDIR(place.lstat().st_mode) else place.unlink()

    def _entries(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._ours() else []

    def _ours(self) -> bool:
        try:
            found = self._folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _opened(part: Part) -> int:
    """A descriptor of the part; raises OSError."""
    root = open_real(part.folder)
    try:
        try:
            return open_beneath(root, part.path)
        except FileNotFoundError:
            if not part.is_made:
                raise
        return _made(root, part.path)
    finally:
        os.close(root)


def _made(root: int, path: str) -> int:
    """Make the folders that are missing, as the kubelet does: with the mode of the volume itself, and the group that
    its set-group-ID bit says."""
    mode = stat.S_IMODE(os.fstat(root).st_mode)
    names = path.split("/")
    parent = os.dup(root)
    for at, name in enumerate(names, start=1):
        try:
            following = open_beneath(root, "/".join(names[:at]))
        except FileNotFoundError:
            following = _made_in(parent, name, mode)
        finally:
            os.close(parent)
        parent = following
    return parent


def _made_in(parent: int, name: str, mode: int) -> int:
    # A link that leads nowhere is there, and is not followed.
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode=0o700, dir_fd=parent)
    made = open_beneath(parent, name, links=False)
    try:
        Path(f"/proc/self/fd/{made}").chmod(mode)
    except OSError:
        os.close(made)
        raise
    return made


def _not_shown(part: Part, reason: str) -> ConfigError:
    return ConfigError(
        "part-not-shown",
        f'volume "{part.volume}"',
        f'failed to prepare subPath for volumeMount "{part.volume}" of container "{part.container}": {reason}',
        hint="run the service as root with an engine of this host, or mount the whole volume",
    )


def _not_opened(part: Part, reason: str) -> ConfigError:
    return ConfigError(
        "part-not-opened",
        f'volume "{part.volume}"',
        f'failed to prepare subPath for volumeMount "{part.volume}" of container "{part.container}": {part.path}: '
        f"{reason}",
        hint="look at what is in the volume; the replica starts by itself once the path can be opened",
    )
