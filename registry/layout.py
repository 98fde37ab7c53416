"""An OCI layout directory: one image on disk, every blob under its digest.

Written so that a reader never sees half of anything: a blob appears by rename, and ``index.json`` last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from registry.errors import LayoutError, RegistryError
from registry.manifest import Descriptor, ImageManifest, MediaType, canonical_json, digest_of
from registry.reference import is_digest

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
LAYOUT_VERSION = "1.0.0"
REF_NAME = "org.opencontainers.image.ref.name"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class OciLayout:
    """An OCI layout (image specification 1.1, ``image-layout``) at `path`."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> OciLayout:
        """A layout at `path`, made where there is none; one that is there is kept and opened."""
        (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        layout = cls(path=path)
        if not (path / LAYOUT_FILE).exists():
            _write_atomically(path / LAYOUT_FILE, canonical_json({"imageLayoutVersion": LAYOUT_VERSION}))
        if not (path / INDEX_FILE).exists():
            layout._write_index([])
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> OciLayout:
        """The layout at `path`. Raises LayoutError ``layout-missing`` or ``layout-damaged``."""
        if not (path / LAYOUT_FILE).is_file():
            raise LayoutError("layout-missing", str(path), f"not an OCI layout: it has no file {LAYOUT_FILE}")
        layout = cls(path=path)
        version = layout._read_json(LAYOUT_FILE).get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            raise layout._damaged(f"its version is {version!r}, expected {LAYOUT_VERSION}")
        layout._entries()
        return layout

    def blob_path(self, digest: str) -> Path:
        """Where the blob of `digest` is, or would be. Raises LayoutError for what is no digest."""
        if not is_digest(digest):
            raise LayoutError("invalid-digest", digest, "not a digest: expected sha256: and 64 hexadecimal digits")
        algorithm, _, encoded = digest.partition(":")
        return self.path / "blobs" / algorithm / encoded

    def has_blob(self, digest: str) -> bool:
        """Whether the blob's file is there; its content is not read (`verify` does)."""
        return self.blob_path(digest).is_file()

    def add_blob(self, content: bytes) -> str:
        """Stores `content` and returns its digest."""
        digest = digest_of(content)
        target = self.blob_path(digest)
        if not target.exists():
            _write_atomically(target, content)
        return digest

    def link_blob(self, source: Path, digest: str) -> Path:
        """Takes in the file `source`, whose content the caller knows to have `digest`, without reading it.

        A hard link where the file system allows one, otherwise a copy. Both files must never be changed afterwards.
        """
        target = self.blob_path(digest)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            return target
        except FileNotFoundError as error:
            raise LayoutError("blob-missing", str(source), f"the file to take in as {digest} is not there") from error
        except OSError:
            _copy_atomically(source, target)
        return target

    def put_manifest(self, manifest: ImageManifest, ref_name: str) -> Descriptor:
        """Stores `manifest` and names it `ref_name` in the index, in place of what had the name. All of its blobs must
        be there. Raises LayoutError ``blob-missing``."""
        for blob in manifest.blobs:
            if not self.has_blob(blob.digest):
                raise LayoutError("blob-missing", blob.digest, f"the manifest names it, and {self.path} lacks it")
        self.add_blob(manifest.raw)
        descriptor = replace(manifest.descriptor, annotations={REF_NAME: ref_name})
        others = [entry for entry in self._entries() if entry.annotations.get(REF_NAME) != ref_name]
        self._write_index([*others, descriptor])
        return descriptor

    def manifest_descriptor(self, ref_name: str | None = None) -> Descriptor:
        """The index's entry named `ref_name`, or its only one. Raises LayoutError ``manifest-missing`` or
        ``manifest-ambiguous``."""
        entries = self._entries()
        if ref_name is not None:
            entries = [entry for entry in entries if entry.annotations.get(REF_NAME) == ref_name]
        if not entries:
            wanted = f"named {ref_name!r}" if ref_name is not None else "at all"
            raise LayoutError("manifest-missing", str(self.path), f"its index has no manifest {wanted}")
        if len(entries) > 1:
            names = ", ".join(sorted(entry.annotations.get(REF_NAME, entry.digest) for entry in entries))
            raise LayoutError(
                "manifest-ambiguous",
                str(self.path),
                f"its index has {len(entries)} manifests ({names}), one was expected",
                hint="name one",
            )
        return entries[0]

    def manifest(self, ref_name: str | None = None) -> ImageManifest:
        """The manifest itself. Raises LayoutError as `manifest_descriptor` does, or ``layout-damaged``."""
        descriptor = self.manifest_descriptor(ref_name)
        try:
            raw = self.blob_path(descriptor.digest).read_bytes()
        except OSError as error:
            raise self._damaged(f"manifest {descriptor.digest} cannot be read: {error.strerror}") from error
        if digest_of(raw) != descriptor.digest:
            raise self._damaged(f"manifest {descriptor.digest} has other content than its name says")
        try:
            return ImageManifest.parse(raw)
        except LayoutError:
            raise
        except RegistryError as error:
            raise self._damaged(f"manifest {error.subject}: {error.message}") from error

    def config(self, ref_name: str | None = None) -> dict[str, Any]:
        """The image's configuration, decoded. Raises LayoutError."""
        path = self.blob_path(self.manifest(ref_name).config.digest)
        return self._read_json(str(path.relative_to(self.path)))

    def verify(self, ref_name: str | None = None) -> None:
        """Reads the manifest and every blob it names. Raises LayoutError ``layout-damaged`` for the first blob that is
        missing or has another size or digest than stated."""
        for blob in self.manifest(ref_name).blobs:
            size, digest = self._measure(blob.digest)
            if size != blob.size:
                raise self._damaged(f"blob {blob.digest} has {size} bytes, expected {blob.size}")
            if digest != blob.digest:
                raise self._damaged(f"blob {blob.digest} has the content of {digest}")

    def _measure(self, digest: str) -> tuple[int, str]:
        """Size and digest of what the blob's file really holds."""
        algorithm = digest.partition(":")[0]
        try:
            with self.blob_path(digest).open("rb") as file:
                actual = hashlib.file_digest(file, algorithm).hexdigest()
                return file.tell(), f"{algorithm}:{actual}"
        except OSError as error:
            raise self._damaged(f"blob {digest} cannot be read: {error.strerror}") from error

    def _entries(self) -> list[Descriptor]:
        document = self._read_json(INDEX_FILE)
        manifests = document.get("manifests")
        if not isinstance(manifests, list):
            raise self._damaged(f"{INDEX_FILE} has no list of manifests")
        try:
            return [Descriptor.from_dict(entry, subject=INDEX_FILE) for entry in manifests]
        except RegistryError as error:
            raise self._damaged(f"{error.subject}: {error.message}") from error

    def _write_index(self, entries: list[Descriptor]) -> None:
        document = {
            "schemaVersion": 2,
            "mediaType": str(MediaType.OCI_INDEX),
            "manifests": [entry.to_dict() for entry in entries],
        }
        _write_atomically(self.path / INDEX_FILE, canonical_json(document))

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads((self.path / name).read_bytes())
        except OSError as error:
            raise self._damaged(f"{name} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{name} is not JSON: {error}") from error
        if not isinstance(document, Mapping):
            raise self._damaged(f"{name} is not a JSON object")
        return dict(document)

    def _damaged(self, message: str) -> LayoutError:
        return LayoutError("layout-damaged", str(self.path), message, hint="remove the folder and build again")


def _write_atomically(target: Path, content: bytes) -> None:
    with _appearing(target) as file:
        file.write(content)


def _copy_atomically(source: Path, target: Path) -> None:
    with _appearing(target) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file, _CHUNK)


@contextmanager
def _appearing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `target` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fchmod(descriptor, 0o644)
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
