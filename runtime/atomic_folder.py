"""A folder of files that changes as a whole, however it is read meanwhile: the layout of the kubelet's volumes
(kubernetes/pkg/volume/util/atomic_writer.go).

    ..7f3a0c91/      the files, as they are now
    ..data           -> ..7f3a0c91, put in place by one rename
    token            -> ..data/token
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from pathlib import Path

from runtime.volumes import Folder

DATA = "..data"
_DRAFT = "..data_tmp"


def put(folder: Path, files: Folder, group: int | None = None) -> bool:
    """Make `folder` hold `files` and nothing else; whether that changed anything. All of it is for `group` to read,
    where there is one. Raises OSError; what was there before then stays."""
    new = not folder.exists()
    if new:
        # mkdir and open heed the umask; these modes are the containers'.
        folder.mkdir()
        folder.chmod(0o755)
        _give(folder, group)
    elif not changes(folder, files):
        # One that was cut off may have come no further than to the files themselves.
        _name(folder, _tops(files))
        return False
    payload = folder / f"..{secrets.token_hex(4)}"
    try:
        _fill(payload, files, group)
        _link(folder, payload.name)
    except OSError:
        shutil.rmtree(payload, ignore_errors=True)
        raise
    _name(folder, _tops(files))
    for entry in folder.iterdir():
        # The one before, and those of a controller that was killed in the middle.
        if entry != payload and entry.name.startswith("..") and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
    return True


def is_one(folder: Path) -> bool:
    """Whether there is such a folder."""
    return _current(folder) is not None


def changes(folder: Path, files: Folder) -> bool:
    """Whether the folder holds something else."""
    current = _current(folder)
    if current is None:
        return True
    found = {str(path.relative_to(current)): path for path in current.rglob("*") if not path.is_dir()}
    if found.keys() != files.keys():
        return True
    # A mode comes with the template, and another template is another replica.
    return any(path.read_bytes() != files[name].content for name, path in found.items())


def _current(folder: Path) -> Path | None:
    try:
        found = folder / (folder / DATA).readlink()
    except OSError:
        return None
    return found if found.is_dir() else None


def _fill(payload: Path, files: Folder, group: int | None) -> None:
    payload.mkdir()
    payload.chmod(0o755)
    for path, file in files.items():
        place = payload / path
        for parent in reversed(place.relative_to(payload).parents[:-1]):
            (payload / parent).mkdir(exist_ok=True)
            (payload / parent).chmod(0o755)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(file.content)
            os.fchmod(handle.fileno(), file.mode)
    for place in (payload, *payload.rglob("*")):
        _give(place, group)


def _link(folder: Path, target: str) -> None:
    draft = folder / _DRAFT
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    draft.symlink_to(target)
    draft.replace(folder / DATA)


def _tops(files: Folder) -> set[str]:
    return {path.split("/", 1)[0] for path in files}


def _name(folder: Path, names: set[str]) -> None:
    """The names under which the files are seen: those that are new, and then none that is gone."""
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{DATA}/{name}")
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in {DATA, *names}:
            entry.unlink()


def _give(place: Path, group: int | None) -> None:
    """As the kubelet does for fsGroup: the group owns everything and reads it, and new files are its too."""
    if group is None:
        return
    # The mode after the owner, whose change takes its special bits away.
    os.chown(place, -1, group, follow_symlinks=False)
    mode = stat.S_IMODE(place.stat().st_mode)
    place.chmod(mode | (0o2550 if place.is_dir() else 0o440))
