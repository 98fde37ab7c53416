"""The places that images are copied between: OCI layouts and the repositories of registries, as sources and sinks."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from registry.client import Opened, RegistryClient
from registry.copy import Cancelled, OnBytes, Source, Taker, Way
from registry.errors import LayoutError, RefusedError, StorageError
from registry.fetch import fetched
from registry.layout import OciLayout
from registry.manifest import Descriptor, digest_of
from registry.reference import ImageRef
from registry.referrers import name_referrers, referrers
from registry.room import require_room, standing
from registry.sessions import Sessions, sweep
from registry.upload import Upload

PARTIAL = ".partial"
"""The folder of a layout where blobs are until they are whole. A call that was interrupted is gone on with there."""
MOST_MOUNTS = 8
"""Repositories that are asked for a blob before it is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutSource:
    """An image of an OCI layout; without a name, its only one."""

    layout: OciLayout
    ref_name: str | None = None

    @property
    def fetches(self) -> bool:
        """No: the files are here."""
        return False

    @property
    def device(self) -> int | None:
        """Of its folder."""
        return self.layout.path.stat().st_dev

    @property
    def name(self) -> str:
        """As it is written on a command line."""
        return f"oci:{self.layout.path}" + (f":{self.ref_name}" if self.ref_name else "")

    @property
    def repository(self) -> ImageRef | None:
        """None: it is in no registry."""
        return None

    def top(self) -> tuple[bytes, str]:
        """The manifest and its media type. Raises LayoutError (`no-such-image`, `layout-damaged`)."""
        descriptor = self.layout.manifest_descriptor(self.ref_name)
        return self.layout.raw_manifest(descriptor), descriptor.media_type

    def manifest(self, descriptor: Descriptor) -> bytes:
        """One that an index names. Raises LayoutError (`layout-damaged`)."""
        return self.layout.raw_manifest(descriptor)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What is attached to one of its manifests. Raises LayoutError (`layout-damaged`)."""
        return self.layout.referrers(digest)

    @contextmanager
    def blob(self, blob: Descriptor, staging: Path, on_bytes: OnBytes, cancelled: Cancelled) -> Iterator[Path]:
        """Its file in the layout. Raises LayoutError (`blob-damaged`) where it is not there as a whole."""
        del staging, on_bytes, cancelled
        require_blob(self.layout, blob)
        yield self.layout.blob_path(blob.digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrySource:
    """An image of a registry, by tag or digest."""

    client: RegistryClient
    reference: ImageRef

    @property
    def fetches(self) -> bool:
        """Yes."""
        return True

    @property
    def device(self) -> int | None:
        """None: they are elsewhere."""
        return None

    @property
    def name(self) -> str:
        """As it is written on a command line."""
        return f"docker://{self.reference}"

    @property
    def repository(self) -> ImageRef | None:
        """Where it is."""
        return self.reference

    def top(self) -> tuple[bytes, str]:
        """The manifest and its media type. Raises RefusedError (`registry-manifest-unknown`)."""
        wanted = self.reference.digest or self.reference.tag or "latest"
        found = self.client.get_manifest(self.reference.repository, wanted)
        return found.raw, found.media_type

    def manifest(self, descriptor: Descriptor) -> bytes:
        """One that an index names."""
        return self.client.get_manifest(self.reference.repository, descriptor.digest).raw

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What is attached to one of its manifests."""
        return referrers(self.client, self.reference.repository, digest)

    @contextmanager
    def blob(self, blob: Descriptor, staging: Path, on_bytes: OnBytes, cancelled: Cancelled) -> Iterator[Path]:
        """Fetched into `staging`, and removed from there when it has been used."""
        with ExitStack() as held:
            with _disk_full_named(staging):
                file = held.enter_context(
                    fetched(
                        self.client, self.reference.repository, blob, staging, on_bytes=on_bytes, cancelled=cancelled
                    )
                )
            yield file


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutSink:
    """An OCI layout, which is made where there is none. The image is named there when all of it has arrived."""

    path: Path
    ref_name: str | None = None

    @property
    def sends(self) -> bool:
        """No: it is a folder."""
        return False

    @property
    def holds_referrers(self) -> bool:
        """Where the image has a name: in a layout of one that has none, other tools look for nothing besides."""
        return self.ref_name is not None

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder in the layout, of the same file system."""
        with _disk_full_named(self.path):
            layout = OciLayout.create(self.path)
            folder = layout.path / PARTIAL
            folder.mkdir(exist_ok=True)
            try:
                yield folder
            finally:
                with contextlib.suppress(OSError):  # what is not empty is gone on with
                    folder.rmdir()

    def missing(self, blob: Descriptor, source: Source) -> Taker | Way:
        """What takes a blob: a check where nobody has made it yet, and a link."""
        path = self._layout.blob_path(blob.digest)
        if path.is_file():
            if path.stat().st_size == blob.size:
                return Way.THERE
            path.unlink()

        def take(file: Path, on_bytes: OnBytes, cancelled: Cancelled) -> None:
            if not source.fetches:
                check_blob(file, blob, on_bytes, cancelled)
            with _disk_full_named(self.path):
                self._layout.link_blob(file, blob.digest)

        return take

    def put_manifest(self, raw: bytes, media_type: str) -> None:
        """Store a manifest as a blob: it is one that an index names."""
        del media_type
        with _disk_full_named(self.path):
            self._layout.add_blob(raw)

    def name_it(self, raw: bytes, media_type: str) -> None:
        """Store the last one, under the name."""
        with _disk_full_named(self.path):
            self._layout.put(raw, media_type, self.ref_name)

    def require_room(self, blobs: Sequence[Descriptor], source: Source) -> None:
        """Raise StorageError (`disk-full`) where the disk has no room for those that are missing."""
        with _disk_full_named(self.path):
            if source.device == standing(self.path).stat().st_dev:
                return
            missing = {path: blob.size for blob in blobs if not (path := self._layout.blob_path(blob.digest)).is_file()}
            begun = sum(_size(self.path / PARTIAL / f"{path.name}.part") for path in missing)
            require_room(self.path, max(0, sum(missing.values()) - begun), "the image")

    def name_referrers(self, digest: str, made: Sequence[Descriptor]) -> None:
        """Have manifests that were put be found as what is attached to one."""
        with _disk_full_named(self.path):
            self._layout.name_referrers(digest, made)

    @property
    def _layout(self) -> OciLayout:
        return OciLayout(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrySink:
    """A repository. `mount_from` gives repositories of the same registry that may have the blobs, and is asked for each
    that the registry lacks, by several threads; `sessions` keeps uploads that are interrupted, and `folder` what is
    fetched for them."""

    client: RegistryClient
    reference: ImageRef
    sessions: Sessions = field(default_factory=Sessions)
    mount_from: Callable[[], Sequence[str]] = tuple
    folder: Path | None = None

    @property
    def sends(self) -> bool:
        """Yes."""
        return True

    @property
    def holds_referrers(self) -> bool:
        """Yes: by the API, or by a tag."""
        return True

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for what comes from another registry; one for this time where none is kept."""
        sweep(self.sessions.folder)
        sweep(self.folder)
        if self.folder is not None:
            with _disk_full_named(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield self.folder
            return
        with tempfile.TemporaryDirectory(prefix="imageforge-copy-") as folder:
            yield Path(folder)

    def missing(self, blob: Descriptor, source: Source) -> Taker | Way:
        """What sends a blob, unless the repository has it or can take it from another one."""
        return self.taker(blob, source.repository)

    def taker(self, blob: Descriptor, origin: ImageRef | None) -> Taker | Way:
        """The same for a blob of a repository, or of none."""
        repository = self.reference.repository
        if self.client.has_blob(repository, blob.digest):
            return Way.THERE
        opened = self._mount(blob, origin)
        if isinstance(opened, Way):
            return opened

        def take(file: Path, on_bytes: OnBytes, cancelled: Cancelled) -> None:
            with self.sessions.open(self.client.registry, repository, blob.digest) as session:
                Upload(
                    self.client,
                    repository,
                    blob.digest,
                    file,
                    session=session,
                    on_bytes=on_bytes,
                    cancelled=cancelled,
                ).run(opened)

        return take

    def put_manifest(self, raw: bytes, media_type: str) -> None:
        """Store a manifest by its digest."""
        self.client.put_manifest(self.reference.repository, digest_of(raw), raw, media_type)

    def name_it(self, raw: bytes, media_type: str) -> None:
        """Store the last one under the tag; then it is there by its digest, too: the specification's word for a push.

        Raises LayoutError (`digest-mismatch`) where the reference names another digest."""
        digest = digest_of(raw)
        if self.reference.digest not in (None, digest):
            raise LayoutError(
                "digest-mismatch",
                str(self.reference),
                f"the image has the digest {digest}",
                hint="name a tag, or no digest",
                kept="no tag was made",
            )
        self.client.put_manifest(self.reference.repository, self.reference.tag or digest, raw, media_type)

    def require_room(self, blobs: Sequence[Descriptor], source: Source) -> None:
        """Nothing yet: what the registry lacks, and so comes by way of this disk, is found blob by blob."""

    def name_referrers(self, digest: str, made: Sequence[Descriptor]) -> None:
        """Have manifests that were put be found as what is attached to one."""
        name_referrers(self.client, self.reference.repository, digest, made)

    def _mount(self, blob: Descriptor, origin: ImageRef | None) -> Way | Opened | None:
        """Have the registry take the blob from another of its repositories. Where it opened an upload instead, that."""
        candidates = [name for name in self.mount_from() if name != self.reference.repository][:MOST_MOUNTS]
        if origin is not None and origin.registry == self.client.registry:
            candidates.insert(0, origin.repository)
        for name in dict.fromkeys(candidates):
            try:
                if not self.client.has_blob(name, blob.digest):
                    continue
                opened = self.client.begin_upload(self.reference.repository, mount=blob.digest, source=name)
            except RefusedError:
                continue  # Not ours to read; what is wrong with our own repository the upload will say.
            return Way.MOUNTED if opened is None else opened
        return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def require_blob(layout: OciLayout, blob: Descriptor) -> None:
    """Raise LayoutError (`blob-damaged`) unless a layout has a blob, as a whole by its size."""
    path = layout.blob_path(blob.digest)
    if not path.is_file() or path.stat().st_size != blob.size:
        raise LayoutError(
            "blob-damaged", blob.digest, f"{path} is missing or not {blob.size} bytes long", hint="build again"
        )


def check_blob(file: Path, blob: Descriptor, on_bytes: OnBytes, cancelled: Cancelled) -> None:
    """Raise LayoutError (`blob-damaged`) where a file's bytes have another digest, InterruptedError when cancelled."""
    hasher, gone = hashlib.new(blob.digest.partition(":")[0]), 0
    with file.open("rb") as handle:
        while piece := handle.read(1 << 20):
            if cancelled():
                raise InterruptedError("it was cancelled")
            hasher.update(piece)
            gone += len(piece)
            on_bytes(gone)
    found = f"{hasher.name}:{hasher.hexdigest()}"
    if found != blob.digest:
        raise LayoutError("blob-damaged", blob.digest, f"its bytes in {file} have the digest {found}")


@contextmanager
def _disk_full_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except InterruptedError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                "disk-full",
                str(folder),
                "the disk became full while an image was copied there",
                hint="free some space, or name another folder; what has arrived is gone on with",
                kept="nothing was named or tagged",
            ) from error
        raise StorageError(
            "not-writable", str(error.filename or folder), f"{error.strerror or error}", hint="name another folder"
        ) from error
