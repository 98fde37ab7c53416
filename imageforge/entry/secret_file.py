"""A file that only its owner reads, made once: whoever comes second finds the first one's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def make_once(file: Path, content: Callable[[], bytes]) -> bytes:
    """What the file holds; made of `content` with mode 0600, whole and on disk, where there is none. Raises OSError."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        pass
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = write_draft(file, content())
    try:
        os.link(draft, file)  # fails where another process was faster, whose file is as good
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return file.read_bytes()


def replace(file: Path, content: bytes) -> None:
    """Put a new content in place, mode 0600; readers see the old one or the new one. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_draft(file, content).replace(file)


def write_draft(file: Path, content: bytes) -> Path:
    """A file beside it with this content, flushed to disk."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    return draft
