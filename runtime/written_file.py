"""A file that others wrote, read by this process: without leaving its folder, and not without end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from runtime.errors import ConfigError
from runtime.kernel import open_beneath, open_real

LONGEST = 1024 * 1024
"""Bytes; more would be no variables."""


def read_written(folder: Path, path: str, volume: str) -> bytes | None:
    """What is at `path` in a volume's folder; None where nothing is. Raises ConfigError (`file-not-read`)."""
    try:
        root = open_real(folder)
        try:
            opened = open_beneath(root, path)
        finally:
            os.close(root)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "a link in it leads out of the folder" if error.errno == errno.EXDEV else error.strerror or ""
        raise _not_read(volume, path, why) from error
    try:
        # Looked at before it is opened for reading, which might never end with what is no file.
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise _not_read(volume, path, "it is no file")
        with Path(f"/proc/self/fd/{opened}").open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise _not_read(volume, path, error.strerror or "") from error
    finally:
        os.close(opened)
    if len(content) > LONGEST:
        raise _not_read(volume, path, f"it has more than {LONGEST} bytes")
    return content


def _not_read(volume: str, path: str, why: str) -> ConfigError:
    return ConfigError(
        "file-not-read",
        f'volume "{volume}"',
        f"{path} cannot be read: {why}",
        hint="look at what the container before it wrote; the replica then starts by itself",
    )
