"""Secrets that a build has left in its image: a look through an OCI layout before it is pushed or run."""

from __future__ import annotations

import base64
import json
import posixpath
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip, isal_zlib

from imageforge.vault.mask import STARS, Mask
from registry import Descriptor, ImageManifest, LayoutError, MediaType, OciLayout

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Images hold hundreds of megabytes of code and words: a shorter value would be found in them by chance.
_SHORTEST = 8
_CHUNK = 1 << 20
_EXCERPT = 160
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_INDEXES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_MANIFEST_LIST})
_IsalError = cast(type[Exception], isal_zlib.error)  # its stub takes the class for an instance
_UNREADABLE = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, zstd.ZstdError, _IsalError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A secret, by its name, and where in the image its value stands. The place shows no value."""

    secret: str
    place: str


def scan_layout(layout: Path, secrets: Mapping[str, str], *, skip: frozenset[str] = frozenset()) -> tuple[Leak, ...]:
    """Where in the images of a layout the values of `secrets` (by name) stand, in plain text or in base64.

    Values of fewer than 8 characters are not searched, nor is what is packed inside of a layer's files. `skip` are the
    digests of layers that are known to be clean; they need not be there. Raises LayoutError (`layout-missing`,
    `layout-damaged`, `blob-damaged`, `size-mismatch`, `manifest-invalid`, `manifest-too-large`, `document-too-large`):
    what cannot be read to its end is never taken for clean.
    """
    opened = OciLayout.open(layout)
    search = _Search.of(secrets)
    if not search.needles:
        return ()
    scan = _Scan(layout=opened, search=search, mask=Mask(secrets.values()), done=set(skip))
    return tuple(dict.fromkeys(scan.leaks()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """Bytes to look for, each with the name of its secret."""

    needles: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> _Search:
        return cls(needles=tuple((name, needle) for name, value in secrets.items() for needle in _needles(value)))

    def in_text(self, text: str) -> list[str]:
        return self.in_chunks([_raw(text)])

    def in_chunks(self, chunks: Iterable[bytes]) -> list[str]:
        """The names of the secrets in a content; a needle may lie over the edge of two chunks."""
        found: dict[str, None] = {}
        overlap = max(len(needle) for _, needle in self.needles) - 1
        tail = b""
        for chunk in chunks:
            window = tail + chunk
            found.update((name, None) for name, needle in self.needles if name not in found and needle in window)
            tail = window[-overlap:]
        return list(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scan:
    layout: OciLayout
    search: _Search
    mask: Mask
    done: set[str] = field(default_factory=set)  # digests

    def leaks(self) -> Iterator[Leak]:
        yield from self._index(self.layout.raw_index(), str(self.layout.path / "index.json"))

    def _index(self, raw: bytes, subject: str) -> Iterator[Leak]:
        index = _parsed(raw, subject)
        yield from self._document(index, "index of the layout")
        try:
            entries = [Descriptor.from_dict(entry) for entry in index["manifests"]]
        except (KeyError, TypeError) as error:
            raise LayoutError("layout-damaged", subject, f"unreadable index: {error!r}") from error
        for entry in entries:
            if not self._first_time(entry):
                continue
            self._blob(entry)
            data = self.layout.raw_manifest(entry)
            if entry.media_type in _INDEXES:
                yield from self._index(data, entry.digest)
            else:
                yield from self._image(data, entry.digest)

    def _image(self, raw: bytes, subject: str) -> Iterator[Leak]:
        try:
            manifest = ImageManifest.parse(raw)
        except (TypeError, ValueError) as error:
            raise LayoutError("manifest-invalid", subject, f"no image manifest: {error}") from error
        yield from self._document(_parsed(raw, subject), "manifest of the image")
        if self._first_time(manifest.config):
            yield from self._document(self._json(manifest.config), "configuration of the image")
        for number, layer in enumerate(manifest.layers, 1):
            if self._first_time(layer):
                yield from self._layer(layer, f"layer {number}")

    def _document(self, value: Any, title: str) -> Iterator[Leak]:
        for path, text in _strings(value):
            for name in self.search.in_text(text):
                yield Leak(secret=name, place=self._place(title, path, text))

    def _place(self, title: str, path: tuple[str, ...], text: str) -> str:
        match path:
            case ("history", *_):
                return f"history of the image: `{_excerpt(self.mask.text(text))}`"
            case (_, "Env", _):
                return f"environment variable {self._shown(text.partition('=')[0])}"
            case (_, "Labels", label, *_):
                return f"label {self._shown(label)}"
            case (*_, "annotations", annotation):
                return f"annotation {self._shown(annotation)}"
        return f"{title}, {self._shown('.'.join(path))}"

    def _layer(self, layer: Descriptor, title: str) -> Iterator[Leak]:
        if layer.media_type.endswith("json"):  # BuildKit keeps attestations as the layers of a manifest
            yield from self._document(self._json(layer), f"{layer.media_type} in {title}")
            return
        path = self._blob(layer)
        try:
            with path.open("rb") as packed, _unpacked(packed, layer) as stream:
                yield from self._archive(stream, title)
        except _UNREADABLE as error:
            raise LayoutError("blob-damaged", layer.digest, f"{title} is unreadable: {error}") from error

    def _archive(self, stream: IO[bytes], title: str) -> Iterator[Leak]:
        with tarfile.open(
            fileobj=stream,
            mode="r|",
            bufsize=_CHUNK,
            tarinfo=_StrictTarInfo,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would hold them all
                for names, place in self._member(archive, member):
                    yield from (Leak(secret=name, place=f"{place} in {title}") for name in names)
            # tarfile stops at the end that the archive states; what lies behind would be pushed with it.
            while archive.fileobj is not None and (rest := archive.fileobj.read(_CHUNK)):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("something follows the end of the archive")

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[tuple[list[str], str]]:
        path = self._shown(posixpath.normpath("/" + member.name.lstrip("/")))
        yield self.search.in_chunks([_raw(member.name)]), f"name of {path}"
        yield self.search.in_chunks([_raw(member.linkname)]), f"link target of {path}"
        for key, value in member.pax_headers.items():
            if key not in ("path", "linkpath"):
                yield self.search.in_chunks([_raw(value)]), f"attribute {self._shown(key)} of {path}"
        if archive.fileobj is not None and _has_content(member):
            # extractfile gives the holes of a sparse file too, which can be of any length, and needs to seek for it.
            archive.fileobj.seek(member.offset_data)
            yield self.search.in_chunks(_chunks(archive.fileobj, _stored(member))), path

    def _first_time(self, blob: Descriptor) -> bool:
        if blob.digest in self.done:
            return False
        self.done.add(blob.digest)
        return True

    def _json(self, blob: Descriptor) -> Any:
        self._blob(blob)
        return _parsed(self.layout.document(blob), blob.digest)

    def _blob(self, blob: Descriptor) -> Path:
        path = self.layout.blob_path(blob.digest)
        if not path.is_file() or path.stat().st_size != blob.size:
            raise LayoutError("blob-damaged", blob.digest, f"missing, or not {blob.size} bytes long")
        return path

    def _shown(self, text: str) -> str:
        return _printable(self.mask.text(text))


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is damaged is an error; tarfile takes one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictTarInfo:
        try:
            found = super().fromtarfile(tarfile_)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if found.size < 0:
            raise tarfile.ReadError("an entry has a negative size")
        return found


@contextmanager
def _unpacked(packed: IO[bytes], layer: Descriptor) -> Iterator[IO[bytes]]:
    """The layer's tar. Its first bytes tell the compression: media types are wrong at times."""
    magic = packed.read(4)
    packed.seek(0)
    if magic.startswith(_GZIP):
        with igzip.open(packed, "rb") as stream:  # type: ignore[no-untyped-call]
            yield stream
    elif magic == _ZSTD or layer.media_type.endswith("zstd"):
        with zstd.open(packed, "rb") as stream:
            yield cast(IO[bytes], stream)
    else:
        yield packed


def _needles(value: str) -> set[bytes]:
    # A file's last line end is no part of what a shell's $(cat file) made of it.
    value = value.strip() if len(value.strip()) >= _SHORTEST else value
    if len(value) < _SHORTEST or value.isspace():
        return set()
    raw = _raw(value)
    # The last character may hold bits of what follows: with a line end behind the value it is another one.
    return {raw, base64.standard_b64encode(raw)[: len(raw) * 8 // 6]}


def _raw(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def _has_content(member: tarfile.TarInfo) -> bool:
    # An entry of an unknown type is stored as a file is.
    return member.isreg() or member.type not in tarfile.SUPPORTED_TYPES


def _stored(member: tarfile.TarInfo) -> int:
    """How many bytes of a file are in the archive: all, or the pieces of a sparse one."""
    pieces: Any = member.sparse
    return member.size if pieces is None else sum(size for _, size in pieces)


def _chunks(stream: Any, size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = stream.read(min(size, _CHUNK))
        if not chunk:
            raise tarfile.ReadError("it is cut short in the content of an entry")
        size -= len(chunk)
        yield chunk


def _parsed(raw: bytes, subject: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise LayoutError("layout-damaged", subject, f"unreadable JSON: {error}") from error


def _strings(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string of a JSON value, keys too, with the way to it; a value may be nested as deep as can be read. Of each
    level only where we are is kept: a list may have millions of entries."""
    if isinstance(value, str):
        yield (), value
    levels: list[tuple[tuple[str, ...], Iterator[tuple[str, Any]]]] = [((), _entries(value))]
    while levels:
        path, entries = levels[-1]
        for step, entry in entries:
            if isinstance(entry, str):
                yield (*path, step), entry
            elif isinstance(entry, list | dict):
                levels.append(((*path, step), _entries(entry)))
                break
        else:
            levels.pop()


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((str(number), entry) for number, entry in enumerate(value))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key, key
            yield key, entry


def _excerpt(masked: str) -> str:
    """One line, cut down to what stands around the first `***`."""
    line = _printable(" ".join(masked.split()))
    if len(line) <= _EXCERPT:
        return line
    start = max(line.find(STARS) - _EXCERPT // 2, 0)
    end = start + _EXCERPT
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


def _printable(text: str) -> str:
    # A file's name may be any bytes, among them what a terminal obeys.
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
