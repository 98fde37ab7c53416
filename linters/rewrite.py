"""Writes a mended text over its file: whole or not at all, with mode and owner, and stray bytes as they were."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from linters.dockerfile import read_text
from linters.errors import DockerfileError


def rewrite(path: Path, before: str, after: str, *, subject: str) -> None:
    """Replace the text `before` of a file by `after`, both as `read_text` gives them.

    A link stays one: what it leads to is written. Raises DockerfileError `dockerfile-changed` where somebody else wrote
    the file meanwhile, and `dockerfile-unwritable`; either leaves it as it was.
    """
    try:
        real = path.resolve(strict=True)
        if read_text(real, subject=subject) != before:
            raise DockerfileError(
                "dockerfile-changed",
                subject,
                "was written by somebody else while it was checked",
                hint="run it again",
                kept="their text, without the fixes",
            )
        _replace(real, after.encode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise DockerfileError(
            "dockerfile-unwritable",
            subject,
            f"cannot be written: {error.strerror or error}",
            hint="check the owner and mode of the file and its folder",
            kept="the file as it was",
        ) from error


def _replace(path: Path, data: bytes) -> None:
    known = path.stat()
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(PermissionError):  # another's file in a folder of ours: it is ours then
            os.chown(draft, known.st_uid, known.st_gid)
        Path(draft).chmod(stat.S_IMODE(known.st_mode))
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise
