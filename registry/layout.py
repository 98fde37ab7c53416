"""The OCI image layout 1.0: a folder with blobs by digest and an index."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import LayoutError
from registry.file_lock import lock
from registry.manifest import (
    IMAGES,
    INDEXES,
    LARGEST_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    MediaType,
    canonical_json,
    digest_of,
    parse_manifest,
)
from registry.subject import fallback_tag, subject_of_tag

VERSION = {"imageLayoutVersion": "1.0.0"}
REF_NAME = "org.opencontainers.image.ref.name"
CHUNK = 1 << 20
LARGEST_CONFIG = LARGEST_INDEX = 64 << 20
"""Bytes that are read of a configuration and of the layout's index."""
_AGAIN = "copy the image there again, or build it again"


@dataclass(frozen=True, slots=True)
class OciLayout:
    """A layout on disk. Files are written whole under a temporary name and renamed."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> OciLayout:
        """A new layout in a folder, which is made; one that is there already is opened."""
        layout = cls(path)
        (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        if not (path / "oci-layout").exists():
            _write(path / "oci-layout", canonical_json(VERSION))
        if not layout._index_file.exists():
            _write(layout._index_file, canonical_json(_index([])))
        return layout

    @classmethod
    def open(cls, path: Path) -> OciLayout:
        """A layout that exists. Raises LayoutError (`layout-missing`, `layout-damaged`)."""
        if not (path / "oci-layout").is_file():
            raise LayoutError(
                "layout-missing",
                str(path),
                "no OCI image layout (it has no file oci-layout)",
                hint="oci:DIR names the folder that has it; image copy makes one",
            )
        layout = cls(path)
        layout._manifests()
        return layout

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies, or would."""
        algorithm, separator, name = digest.partition(":")
        if not separator or not name.isalnum() or not algorithm.isalnum():
            raise LayoutError("layout-damaged", str(self.path), f"`{digest}` is no digest")
        return self.path / "blobs" / algorithm / name

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there."""
        return self.blob_path(digest).is_file()

    def add_blob(self, data: bytes) -> str:
        """Store bytes; gives their digest."""
        digest = digest_of(data)
        if not self.has_blob(digest):
            _write(self.blob_path(digest), data)
        return digest

    def link_blob(self, source: Path, digest: str) -> None:
        """Store a file under a digest that the caller has computed: a hard link, or a copy on another file system."""
        target = self.blob_path(digest)
        if target.exists():
            return
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
            shutil.copyfile(source, temporary)
        temporary.replace(target)

    def put_manifest(self, manifest: ImageManifest, ref_name: str | None = None) -> Descriptor:
        """Store an image's manifest as the image of that name; without a name, as the one that has none."""
        return self.put(manifest.raw, manifest.media_type, ref_name)

    def put(self, raw: bytes, media_type: str, ref_name: str | None = None) -> Descriptor:
        """Store a manifest of any kind as the image of that name. What has another name stays."""
        self.add_blob(raw)
        descriptor = Descriptor(
            media_type=media_type,
            digest=digest_of(raw),
            size=len(raw),
            annotations={REF_NAME: ref_name} if ref_name else {},
        )
        with self._locked():
            self._enter(descriptor)
        return descriptor

    def names(self) -> tuple[str, ...]:
        """The names of its images, sorted; one without a name is not among them, nor is what is attached to one."""
        return tuple(sorted(name for found in self._images() if (name := found.annotations.get(REF_NAME))))

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """The manifests that are attached to one. Raises LayoutError (`layout-damaged`, `manifest-invalid`)."""
        tag = fallback_tag(digest)
        entry = next((found for found in self._manifests() if found.annotations.get(REF_NAME) == tag), None)
        if entry is None:
            return ()
        index = parse_manifest(self.raw_manifest(entry), entry.media_type)
        return index.manifests if isinstance(index, ImageIndex) else ()

    def name_referrers(self, digest: str, made: Sequence[Descriptor]) -> None:
        """Have manifests that are here be found as what is attached to one, beside what is."""
        mine, tag = {entry.digest for entry in made}, fallback_tag(digest)
        with self._locked():
            others = [entry for entry in self.referrers(digest) if entry.digest not in mine]
            raw = ImageIndex.create([*others, *made]).raw
            named = {REF_NAME: tag}
            self._enter(
                Descriptor(media_type=MediaType.OCI_INDEX, digest=self.add_blob(raw), size=len(raw), annotations=named)
            )

    def remove(self, ref_name: str) -> Descriptor:
        """Take a name away, and of what it alone had, every blob; what it was. Raises LayoutError (`no-such-image`)."""
        with self._locked():
            entries = self._manifests()
            gone = [entry for entry in entries if entry.annotations.get(REF_NAME) == ref_name]
            if not gone:
                raise self._no_such_image(ref_name)
            stay = [entry for entry in entries if entry not in gone]
            # What is attached to an image goes with its last name.
            left = self._reached([entry for entry in stay if not _stands_for(entry)])
            gone += [entry for entry in stay if (subject := _stands_for(entry)) and subject not in left]
            stay = [entry for entry in stay if entry not in gone]
            reached = self._reached(stay)
            _write(self._index_file, canonical_json(_index(stay)))
            for digest in self._reached(gone) - reached:
                self.blob_path(digest).unlink(missing_ok=True)
        return gone[0]

    def raw_manifest(self, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest, checked. Raises LayoutError (`layout-damaged`, `size-mismatch`,
        `manifest-too-large`)."""
        if descriptor.size > LARGEST_MANIFEST:
            raise LayoutError(
                "manifest-too-large",
                descriptor.digest,
                f"{descriptor.size} bytes, expected at most {LARGEST_MANIFEST}",
                hint="registries take no such manifest either: make one with fewer entries and annotations",
            )
        raw = self._read(descriptor, "manifest", LARGEST_MANIFEST)
        if digest_of(raw) != descriptor.digest:
            raise LayoutError(
                "layout-damaged",
                descriptor.digest,
                "the manifest has other bytes than its digest says",
                hint=_AGAIN,
            )
        return raw

    def manifest_descriptor(self, ref_name: str | None = None) -> Descriptor:
        """The image of that name, or the only one. Raises LayoutError (`several-images`,
        `no-such-image`, `layout-damaged`) where that is not one."""
        found = [entry for entry in self._images() if ref_name in (None, entry.annotations.get(REF_NAME))]
        if ref_name and not found:
            raise self._no_such_image(ref_name)
        if len(found) != 1:
            raise self._not_one(found)
        return found[0]

    def manifest(self, ref_name: str | None = None) -> ImageManifest:
        """The image's manifest, its digest checked."""
        return ImageManifest.parse(self.raw_manifest(self.manifest_descriptor(ref_name)))

    def config(self, ref_name: str | None = None) -> dict[str, Any]:
        """The image's configuration. Raises LayoutError (`layout-damaged`, `size-mismatch`)."""
        descriptor = self.manifest(ref_name).config
        try:
            found = json.loads(self._read(descriptor, "configuration", LARGEST_CONFIG))
        except (ValueError, RecursionError) as error:
            raise LayoutError(
                "layout-damaged", descriptor.digest, f"the configuration is unreadable: {error}", hint=_AGAIN
            ) from error
        if not isinstance(found, dict):
            raise LayoutError("layout-damaged", descriptor.digest, "the configuration is no JSON object", hint=_AGAIN)
        return found

    def document(self, blob: Descriptor) -> bytes:
        """The bytes of a blob that is JSON, such as an image's configuration; their digest is not looked at. Raises
        LayoutError (`document-too-large`, `layout-damaged`, `size-mismatch`)."""
        if blob.size > LARGEST_CONFIG:
            raise LayoutError(
                "document-too-large",
                blob.digest,
                f"{blob.size:,} bytes, expected at most {LARGEST_CONFIG:,}",
                hint="make the image again without what it says of itself there",
            )
        return self._read(blob, "document", LARGEST_CONFIG)

    def raw_index(self) -> bytes:
        """The bytes of its index. Raises LayoutError (`layout-damaged`)."""
        try:
            return _regular(self._index_file, LARGEST_INDEX)
        except OSError as error:
            raise self._no_index(error) from error

    def verify(self, ref_name: str | None = None) -> None:
        """Read every blob of the image and check size and digest. Raises LayoutError (`blob-damaged`)."""
        manifest = self.manifest(ref_name)
        for blob in (manifest.config, *manifest.layers):
            path = self.blob_path(blob.digest)
            if not path.is_file() or path.stat().st_size != blob.size:
                raise LayoutError("blob-damaged", blob.digest, f"missing, or not {blob.size} bytes long")
            with path.open("rb") as handle:
                found = hashlib.file_digest(handle, "sha256").hexdigest()
            if f"sha256:{found}" != blob.digest:
                raise LayoutError("blob-damaged", blob.digest, f"its bytes have the digest sha256:{found}")

    def _read(self, blob: Descriptor, what: str, most: int) -> bytes:
        """A small blob as a whole, of the size that it is named with."""
        try:
            raw = _regular(self.blob_path(blob.digest), min(blob.size, most))
        except OSError as error:
            code = "size-mismatch" if error.errno == errno.EFBIG else "layout-damaged"
            raise LayoutError(
                code, blob.digest, f"the {what} cannot be read: {error.strerror or error}", hint=_AGAIN
            ) from error
        if len(raw) != blob.size:
            raise LayoutError(
                "size-mismatch", blob.digest, f"the {what} has {len(raw)} bytes, expected {blob.size}", hint=_AGAIN
            )
        return raw

    def _not_one(self, found: Sequence[Descriptor]) -> LayoutError:
        names = sorted(entry.annotations.get(REF_NAME, entry.digest) for entry in found)
        named = next((entry.annotations[REF_NAME] for entry in found if REF_NAME in entry.annotations), None)
        return LayoutError(
            "layout-damaged" if not found else "several-images",
            str(self.path),
            f"expected one image, found {len(found)}" + (f": {', '.join(names)}" if names else ""),
            hint=f"name one, such as oci:{self.path}:{named}" if named else None,
        )

    def _no_such_image(self, ref_name: str) -> LayoutError:
        names = ", ".join(self.names()) or "none with a name"
        return LayoutError("no-such-image", f"{self.path}:{ref_name}", f"the layout has no image of that name: {names}")

    def _reached(self, entries: list[Descriptor]) -> set[str]:
        """The blobs that these manifests need, themselves among them; those that are not there need none."""
        found: set[str] = set()
        ahead = list(entries)
        while ahead:
            entry = ahead.pop()
            if entry.digest in found:
                continue
            found.add(entry.digest)
            if entry.media_type in INDEXES | IMAGES and self.has_blob(entry.digest):
                manifest = parse_manifest(self.raw_manifest(entry), entry.media_type)
                inner = manifest.manifests if isinstance(manifest, ImageIndex) else (manifest.config, *manifest.layers)
                ahead.extend(inner)
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone at the index, among all processes."""
        with (self.path / "oci-layout").open("rb") as handle:
            lock(handle.fileno(), wait=True)
            yield

    @property
    def _index_file(self) -> Path:
        return self.path / "index.json"

    def _enter(self, descriptor: Descriptor) -> None:
        """Have the index name it, in the place of what has its name."""
        name = descriptor.annotations.get(REF_NAME)
        others = [found for found in self._manifests() if found.annotations.get(REF_NAME) != name]
        _write(self._index_file, canonical_json(_index([*others, descriptor])))

    def _images(self) -> list[Descriptor]:
        return [entry for entry in self._manifests() if not _stands_for(entry)]

    def _manifests(self) -> list[Descriptor]:
        try:
            raw = json.loads(self.raw_index())
            return [Descriptor.from_dict(entry) for entry in raw["manifests"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._no_index(error) from error

    def _no_index(self, error: Exception) -> LayoutError:
        return LayoutError("layout-damaged", str(self._index_file), f"unreadable index: {error!r}", hint=_AGAIN)


def _regular(path: Path, most: int) -> bytes:
    """What a regular file of at most `most` bytes holds. Raises OSError, also of what is none (EINVAL) and of one that
    is longer (EFBIG)."""
    # A pipe would else be waited for when it is opened already.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:  # noqa: PTH123
        found = os.fstat(handle.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, expected at most {most}", str(path))
        return handle.read(found.st_size)


def _stands_for(entry: Descriptor) -> str | None:
    """The digest of the image whose referrers an entry names; None of an image's own."""
    return subject_of_tag(entry.annotations.get(REF_NAME))


def _index(manifests: list[Descriptor]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": str(MediaType.OCI_INDEX),
        "manifests": [descriptor.as_dict() for descriptor in manifests],
    }


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(data)
    temporary.replace(path)
