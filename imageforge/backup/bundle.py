"""The file of a backup: a tar archive whose first member says what it is, and whose last lists the digests of all
others.

Only the names that `NAMES` allows are in it, so nothing is ever written outside of the home.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from imageforge.errors import UsageError

HEAD, INDEX = "imageforge-backup.json", "index.json"
FORMAT = 1
NAMES = re.compile(
    r"store\.sqlite|runtime\.sqlite|settings\.toml|images\.json|keys/[a-z-]{1,32}"
    r"|git/[a-z]([-a-z0-9]{0,38}[a-z0-9])?\.bundle|contexts/[0-9a-f]{64}|images/[0-9a-f]{64}"
)
PIECE = 1024 * 1024
LARGEST_DOCUMENT = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What a backup is of. `created_at` is Unix time; `keys` tells whether what opens the secrets is in it."""

    version: str
    instance: str
    created_at: float
    keys: bool
    format: int = FORMAT


class Writer:
    """Writes a bundle to a stream. Call `finish` at the end; without it the file is recognised as cut short."""

    def __init__(self, out: IO[bytes], head: Head) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - until `finish`
        self._time = head.created_at
        self._index: dict[str, str] = {}
        self._put(HEAD, json.dumps(asdict(head)).encode())

    def add(self, name: str, data: bytes) -> None:
        """A member from bytes."""
        assert NAMES.fullmatch(name), name
        self._put(name, data)

    def add_file(self, name: str, file: Path) -> None:
        """A member from a file that nobody changes meanwhile."""
        assert NAMES.fullmatch(name), name
        with file.open("rb") as handle:
            hashing = _Hashing(handle)
            self._tar.addfile(self._member(name, file.stat().st_size), hashing)
        self._index[name] = hashing.digest

    def finish(self) -> None:
        """The index, and the archive's end."""
        self._put(INDEX, json.dumps(self._index).encode())
        self._tar.close()

    def _put(self, name: str, data: bytes) -> None:
        self._tar.addfile(self._member(name, len(data)), io.BytesIO(data))
        self._index[name] = hashlib.sha256(data).hexdigest()

    def _member(self, name: str, size: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, self._time, 0o600
        return member


class Bundle:
    """A file that was verified from its first byte to its last."""

    def __init__(self, file: Path, head: Head, names: Mapping[str, int], digests: Mapping[str, str]) -> None:
        self.file = file
        self.head = head
        self._digests = digests
        self.names = names
        """The members and their sizes in bytes."""

    @classmethod
    def verify(cls, file: Path) -> Bundle:
        """Read it whole. Raises UsageError (`backup-unreadable`, `backup-damaged`, `backup-too-new`)."""
        members = _members(file)
        head: Head | None = None
        try:
            name, size, stream = next(members, ("", 0, io.BytesIO()))
            if name != HEAD:
                raise _foreign(file)
            data = _document(file, name, stream, size)
            head = _head(file, data)
            digests = {HEAD: hashlib.sha256(data).hexdigest()}
            sizes = _compared(file, members, digests)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise (_damaged(file, str(error)) if head else _foreign(file)) from error
        except OSError as error:
            raise UsageError(
                "backup-unreadable", str(file), error.strerror or str(error), hint="check its name and its owner"
            ) from error
        return cls(file, head, sizes, digests)

    def read(self, name: str) -> bytes:
        """A small member. Raises KeyError where it is not there."""
        for found, size, stream in _members(self.file):
            if found == name:
                return _document(self.file, name, stream, size)
        raise KeyError(name)

    def extract(self, folder: Path) -> None:
        """Every member but the first and the last, as files of mode 0600 below a folder.

        The file may have been changed since it was verified, so names and digests are checked once more: what is
        extracted is what was verified. Raises UsageError (`backup-damaged`), OSError.
        """
        left = set(self.names)
        try:
            for name, _, stream in _members(self.file):
                if name in (HEAD, INDEX):
                    continue
                if name not in left or not NAMES.fullmatch(name):
                    raise _damaged(self.file, f"holds {ascii(name)[:80]}, which it did not when it was verified")
                left.remove(name)
                if _extracted(stream, folder / name) != self._digests[name]:
                    raise _damaged(self.file, f"{name} is not what was verified")
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(self.file, str(error)) from error
        if left:
            raise _damaged(self.file, f"{min(left)} was there when it was verified, and is no longer")


class _Hashing(io.RawIOBase):
    """Reads through, and knows the digest of what was read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _compared(file: Path, members: Iterator[tuple[str, int, IO[bytes]]], found: dict[str, str]) -> dict[str, int]:
    """The sizes of the members behind the first, once all of them are what the index says; their digests are `found`
    then."""
    sizes: dict[str, int] = {}
    for name, size, stream in members:
        if name == INDEX:
            index = json.loads(_document(file, name, stream, size))
            wrong = sorted(name for name in {*index, *found} if index.get(name) != found.get(name))
            if wrong:
                raise _damaged(file, f"{wrong[0]} is not what was written")
            if next(members, None) is not None:
                raise _damaged(file, "something stands behind its end")
            return sizes
        if name in found or not NAMES.fullmatch(name):
            raise _damaged(file, f"holds {ascii(name)[:80]}, which no backup has there")
        found[name], sizes[name] = _digest(stream), size
    raise _damaged(file, "it is cut short")


def _members(file: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(file, mode="r:") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise tarfile.ReadError(f"{ascii(member.name)[:80]} is no plain file")
            yield member.name, member.size, stream


def _document(file: Path, name: str, stream: IO[bytes], size: int) -> bytes:
    if size > LARGEST_DOCUMENT:
        raise _damaged(file, f"{name} is too large")
    data = stream.read()
    if len(data) != size:
        raise _damaged(file, "it is cut short")
    return data


def _extracted(stream: IO[bytes], target: Path) -> str:
    """The digest of what was written to a new file."""
    hasher = hashlib.sha256()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while piece := stream.read(PIECE):
            hasher.update(piece)
            out.write(piece)
    return hasher.hexdigest()


def _digest(stream: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    while piece := stream.read(PIECE):
        hasher.update(piece)
    return hasher.hexdigest()


def _head(file: Path, data: bytes) -> Head:
    raw: Any = json.loads(data)
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
        raise _foreign(file)
    if raw["format"] > FORMAT:
        raise UsageError(
            "backup-too-new",
            str(file),
            f"of format {raw['format']}, this imageforge reads {FORMAT}",
            hint="restore it with the imageforge that made it, or a newer one",
            kept="nothing was changed",
        )
    known = Head.__dataclass_fields__
    head = Head(**{key: value for key, value in raw.items() if key in known})
    if not re.fullmatch(r"[0-9a-f]{8}", str(head.instance)):
        raise _foreign(file)
    return head


def _damaged(file: Path, problem: str) -> UsageError:
    return UsageError(
        "backup-damaged", str(file), problem, hint="take another copy of the file", kept="nothing was changed"
    )


def _foreign(file: Path) -> UsageError:
    return UsageError("backup-unreadable", str(file), "no backup of imageforge's", hint="imageforge backup FILE")
