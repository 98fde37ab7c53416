"""Secrets as files, in a file system in memory on this host: written before a container starts, gone with its replica.

One folder a replica, mode 0700, below one of the instance, so that no other user of the host comes to them; the
containers, whose users are others, have the folders inside mounted for reading, and the files' own modes hold there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from runtime.errors import ConfigError
from runtime.volumes import Folder

IN_MEMORY = ("tmpfs", "ramfs")
_MOUNTS = Path("/proc/self/mountinfo")


class SecretFiles:
    """The files of one instance's replicas below `folder`, for containers of the engine at `engine`."""

    def __init__(self, folder: Path, engine: str) -> None:
        self._folder = folder
        self._engine = engine

    def write(self, replica: str, folders: Mapping[str, Folder], *, group: int | None = None) -> dict[str, Path]:
        """Make a replica's folders anew; their paths by volume. All of it is for `group` to read, where there is one.
        Raises ConfigError (`secret-files-remote`, `secret-files-on-disk`, `secret-files-taken`,
        `secret-files-failed`)."""
        if not folders:
            return {}
        if not self._engine.startswith("unix://"):
            raise ConfigError(
                "secret-files-remote",
                self._engine,
                "Secrets as files lie in this host's memory, and the engine is elsewhere",
                hint="use an engine of this host, or take the Secret as environment variables",
            )
        try:
            self._prepare()
            home = self._folder / replica
            _remove(home)
            home.mkdir(mode=0o700)
            for name, files in folders.items():
                _fill(home / name, files)
                if group is not None:
                    _give(home / name, group)
        except OSError as error:
            # Its text names the file and never what was to be in it.
            raise ConfigError(
                "secret-files-failed",
                str(self._folder),
                f"the files of a Secret cannot be written: {error.strerror}",
                hint="look at the space and the owner of that folder",
            ) from error
        return {name: home / name for name in folders}

    def found(self, replica: str, folders: Mapping[str, Folder]) -> dict[str, Path]:
        """Those of its folders that are there already, by volume."""
        home = self._folder / replica
        return {name: home / name for name in folders if (home / name).is_dir()}

    def remove(self, replica: str) -> None:
        """The replica is no more. What cannot be removed is swept when the next controller starts."""
        shutil.rmtree(self._folder / replica, ignore_errors=True)

    def sweep(self, replicas: Collection[str]) -> None:
        """Remove the files of all replicas but these: of those whose controller was killed as they ended."""
        if self._ours():
            for entry in self._folder.iterdir():
                if entry.name not in replicas:
                    _remove(entry)

    def clear(self) -> None:
        """Remove everything."""
        if self._ours():
            _remove(self._folder)

    def _prepare(self) -> None:
        kind = file_system(self._folder.parent, _MOUNTS.read_text())
        if kind not in IN_MEMORY:
            raise ConfigError(
                "secret-files-on-disk",
                str(self._folder.parent),
                f"it lies on {kind} and not in memory, where Secrets as files must stay",
                hint="name a folder on a tmpfs: `secret_files` in settings.toml",
            )
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        if not self._ours():
            raise ConfigError(
                "secret-files-taken",
                str(self._folder),
                "it is another user's, or open to others",
                hint="remove it, as the user who owns it",
            )

    def _ours(self) -> bool:
        """Whether the folder is there, and nobody else's: anybody may make one in a folder such as /dev/shm."""
        try:
            found = self._folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the text of mountinfo(5)."""
    best, kind = "", "unknown file system"
    wanted = str(path.resolve())
    for line in mounts.splitlines():
        said, _, rest = line.partition(" - ")
        where = said.split()[4].encode().decode("unicode_escape")
        below = where in ("/", wanted) or wanted.startswith(f"{where}/")
        # A later mount at the same place hides the one before.
        if below and len(where) >= len(best):
            best, kind = where, rest.split()[0]
    return kind


def _fill(folder: Path, files: Folder) -> None:
    # mkdir and open heed the umask; these modes are the containers'.
    folder.mkdir()
    folder.chmod(0o755)
    for path, file in files.items():
        place = folder / path
        for parent in reversed(place.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            (folder / parent).chmod(0o755)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(file.content)
            os.fchmod(handle.fileno(), file.mode)


def _give(folder: Path, group: int) -> None:
    """As the kubelet does for fsGroup: the group owns everything and reads it, and new files are its too."""
    for place in (folder, *folder.rglob("*")):
        # The mode after the owner, whose change takes its special bits away.
        os.chown(place, -1, group, follow_symlinks=False)
        mode = stat.S_IMODE(place.stat().st_mode)
        place.chmod(mode | (0o2550 if place.is_dir() else 0o440))


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
