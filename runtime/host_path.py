"""Places of this machine that a container may see, and what must be there (kubernetes/pkg/volume/hostpath)."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.errors import ConfigError
from runtime.manifest.volume import HostVolume

_WORDS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "Directory": ("a directory", stat.S_ISDIR),
    "DirectoryOrCreate": ("a directory", stat.S_ISDIR),
    "File": ("a file", stat.S_ISREG),
    "FileOrCreate": ("a file", stat.S_ISREG),
    "Socket": ("a socket", stat.S_ISSOCK),
    "CharDevice": ("a character device", stat.S_ISCHR),
    "BlockDevice": ("a block device", stat.S_ISBLK),
}


def host_place(volume: HostVolume, allowed: Sequence[str], engine: str) -> Path:
    """The place itself, links followed. Raises ConfigError (`host-path-refused`, `host-path-wrong`,
    `host-path-remote`)."""
    if not engine.startswith("unix://"):
        raise ConfigError("host-path-remote", engine, "hostPath is of this machine, and the engine is elsewhere")
    place = Path(volume.host_path).resolve()
    if not any(place.is_relative_to(Path(prefix).resolve()) for prefix in allowed):
        raise ConfigError(
            "host-path-refused",
            volume.host_path,
            "hostPath volumes are not allowed to show this place" if allowed else "hostPath volumes are not allowed",
            hint="the machine's owner may allow it: `host_paths` in settings.toml",
        )
    if Path(engine.removeprefix("unix://")).resolve().is_relative_to(place):
        raise ConfigError(
            "host-path-refused",
            volume.host_path,
            "the engine's socket is there, and who has that has the machine",
            hint="show a folder without it",
        )
    try:
        _make(volume, place)
        found = place.stat() if place.exists() else None
    except OSError as error:
        raise _wrong(volume, f"{error.strerror}: {volume.host_path}") from error
    if volume.type and (found is None or not _WORDS[volume.type][1](found.st_mode)):
        raise _wrong(volume, f"{volume.host_path} is not {_WORDS[volume.type][0]}")
    if found is None:
        raise _wrong(volume, f"{volume.host_path} is not there")
    return place


def _make(volume: HostVolume, place: Path) -> None:
    if volume.type == "DirectoryOrCreate" and not place.exists():
        place.mkdir(mode=0o755, parents=True)
    if volume.type == "FileOrCreate" and not place.exists():
        place.touch(mode=0o644)


def _wrong(volume: HostVolume, reason: str) -> ConfigError:
    return ConfigError(
        "host-path-wrong",
        volume.host_path,
        f'MountVolume.SetUp failed for volume "{volume.name}" : hostPath type check failed: {reason}',
    )
