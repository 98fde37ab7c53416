"""Secrets and ConfigMaps as files, in a file system in memory on this host: written before a container starts, changed
while it runs, gone with its replica.

One folder a replica, mode 0700, below one of the instance, so that no other user of the host comes to them; the
containers, whose users are others, have the folders inside mounted for reading, and the files' own modes hold there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from runtime import atomic_folder
from runtime.errors import ConfigError
from runtime.volumes import Folder

IN_MEMORY = ("tmpfs", "ramfs")
MESSAGES = "_messages"
"""No volume of a manifest has a name that begins so."""
NAMES = "_names"
LONGEST_MESSAGE = 4096
"""Bytes (kubernetes/pkg/kubelet/container, MaxContainerTerminationMessageLength)."""
_MOUNTS = Path("/proc/self/mountinfo")


class SecretFiles:
    """The files of one instance's replicas below `folder`, for containers of the engine at `engine`."""

    def __init__(self, folder: Path, engine: str) -> None:
        self._folder = folder
        self._engine = engine
        self._lock = threading.RLock()

    def write(self, replica: str, folders: Mapping[str, Folder], *, group: int | None = None) -> dict[str, Path]:
        """Make a replica's folders as they should be now; their paths by volume. Containers that run see the change as
        a whole. All of it is for `group` to read, where there is one. Raises ConfigError (`secret-files-remote`,
        `secret-files-on-disk`, `secret-files-taken`, `secret-files-failed`)."""
        if not folders:
            return {}
        with self._changing():
            home = self._home(replica)
            for name, files in folders.items():
                if (home / name).exists() and not atomic_folder.is_one(home / name):
                    # As an earlier version wrote it.
                    _remove(home / name)
                atomic_folder.put(home / name, files, group)
        return {name: home / name for name in folders}

    def update(self, replica: str, folders: Mapping[str, Folder], *, group: int | None = None) -> bool:
        """The same for containers that run: only of folders that are there. Whether anything changed."""
        home = self._folder / replica
        there = {name: files for name, files in folders.items() if atomic_folder.is_one(home / name)}
        if not there:
            return False
        with self._changing():
            return any([atomic_folder.put(home / name, files, group) for name, files in there.items()])

    def make_empty(
        self, replica: str, volume: str, *, size: int | None, group: int | None = None, mode: int = 0o777
    ) -> Path:
        """A replica's folder in memory that its containers may write to as `mode` has it, kept where it is there; of at
        most `size` bytes. Raises ConfigError as `write` does."""
        with self._changing():
            place = self._home(replica) / volume
            if not place.exists():
                place.mkdir()
                if size is not None:
                    mount_memory(place, size)
                if group is not None:
                    os.chown(place, -1, group)
                place.chmod(opened_mode(mode, group))
        return place

    def make_message(self, replica: str, container: str) -> Path:
        """An empty file for the last words of a container that is about to be made, which anybody may write there.
        Raises ConfigError as `write` does."""
        with self._changing():
            place = self._home(replica) / MESSAGES / container
            place.parent.mkdir(exist_ok=True)
            # Another file: who had the one before may have it still.
            place.unlink(missing_ok=True)
            place.touch()
            place.chmod(0o666)
        return place

    def make_names(self, replica: str, text: str) -> Path:
        """The resolv.conf of a container that is about to be made. Raises ConfigError as `write` does."""
        with self._changing():
            place = self._home(replica) / NAMES / "resolv.conf"
            place.parent.mkdir(exist_ok=True)
            # Another file: those that were made before keep theirs, and what they wrote to it. There is a whole one at
            # each moment, for other containers of the pod start meanwhile.
            draft = place.with_name(f".{place.name}")
            draft.unlink(missing_ok=True)
            draft.write_text(text)
            draft.chmod(0o644)
            draft.replace(place)
        return place

    def message(self, replica: str, container: str, *, before: int = 0) -> bytes:
        """The last words of a container: of what it wrote the end, as the kubelet has it, and so many bytes `before`
        that, in which something may begin that is not to be seen."""
        with contextlib.suppress(OSError), (self._folder / replica / MESSAGES / container).open("rb") as file:
            longest = LONGEST_MESSAGE + before
            file.seek(max(0, os.fstat(file.fileno()).st_size - longest))
            return file.read(longest)
        return b""

    def place(self, replica: str, volume: str, sub_path: str) -> Path:
        """What a mount of a part of a volume shows: the file as it is now, which does not change. Raises ConfigError
        (`sub-path-not-found`)."""
        try:
            return (self._folder / replica / volume / sub_path).resolve(strict=True)
        except OSError as error:
            raise ConfigError(
                "sub-path-not-found",
                volume,
                f"failed to prepare subPath: there is no {sub_path} in the volume",
                hint="name a key, or the path of an item",
            ) from error

    def remove(self, replica: str) -> None:
        """The replica is no more. What cannot be removed is swept when the next controller starts."""
        with self._lock, contextlib.suppress(OSError):
            _remove(self._folder / replica)

    def sweep(self, replicas: Collection[str]) -> None:
        """Remove the files of all replicas but these: of those whose controller was killed as they ended."""
        if self._ours():
            for entry in self._folder.iterdir():
                if entry.name not in replicas:
                    # What others wrote to a volume in memory may not be ours to remove.
                    with contextlib.suppress(PermissionError):
                        _remove(entry)

    def clear(self) -> None:
        """Remove everything. Raises ConfigError (`secret-files-failed`) where something stays: what others wrote to a
        volume in memory may not be ours to remove."""
        if not self._ours():
            return
        problem: OSError | None = None
        for entry in self._folder.iterdir():
            try:
                _remove(entry)
            except OSError as error:
                problem = error
        if problem is not None:
            raise ConfigError(
                "secret-files-failed",
                str(self._folder),
                f"not all of it can be removed: {problem.strerror}",
                hint=f"remove it as root: rm -r {self._folder}",
            ) from problem
        _remove(self._folder)

    def _home(self, replica: str) -> Path:
        home = self._folder / replica
        home.mkdir(mode=0o700, exist_ok=True)
        return home

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One at a time, once it is known that the files would lie in memory and be ours."""
        if not self._engine.startswith("unix://"):
            raise ConfigError(
                "secret-files-remote",
                self._engine,
                "Secrets and ConfigMaps as files lie in this host's memory, and the engine is elsewhere",
                hint="use an engine of this host, or take them as environment variables",
            )
        with self._lock:
            try:
                self._prepare()
                yield
            except OSError as error:
                # Its text names the file and never what was to be in it.
                raise ConfigError(
                    "secret-files-failed",
                    str(self._folder),
                    f"the files of a volume cannot be written: {error.strerror}",
                    hint="look at the space and the owner of that folder",
                ) from error

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


def opened_mode(mode: int, group: int | None) -> int:
    """A folder's mode where it is for a `group` too, as the kubelet has it (pkg/volume/volume_linux.go)."""
    return mode if group is None else mode | 0o2770


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


def mount_memory(place: Path, size: int) -> None:
    """A file system in memory of its own, so that it can have a size. Raises ConfigError (`memory-not-limited`)."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777,nosuid,nodev", "imageforge", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        place.rmdir()
        raise ConfigError(
            "memory-not-limited",
            str(place),
            f"a volume in memory with a sizeLimit cannot be mounted: {done.stderr.decode(errors='replace').strip()}",
            hint="run the service as root, or take the sizeLimit out",
        )


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if folder.is_dir() and not folder.is_symlink():
            for place in (folder, *folder.iterdir(), *(below for each in folder.iterdir() for below in _below(each))):
                if not place.is_symlink() and place.is_mount():
                    # Lazily: a container that is just ending may still have it.
                    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
        shutil.rmtree(folder)


def _below(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() and not folder.is_symlink() else iter(())
