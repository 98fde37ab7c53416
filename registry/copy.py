"""From a source to a sink: what is there already is not sent, every blob is checked, and the name comes last.

A source is a layout or a repository of a registry, and so is a sink. An index is carried with all that it names, or one
image is chosen from it by platform.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from registry.errors import LayoutError, RefusedError, RegistryError
from registry.manifest import (
    IMAGES,
    INDEXES,
    LARGEST_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    digest_of,
    invalid_manifest,
    parse_manifest,
)
from registry.platform import Platform, choose, shown
from registry.reference import ImageRef

AT_ONCE = 4
"""Blobs on their way at once; more gain nothing on one machine, and registries dislike them."""
DEEPEST = 4
MOST_MANIFESTS = 1000
MOST_REFERRERS = 100
"""Documents of one manifest that are carried."""
LARGEST_DOCUMENT = 64 << 20
"""Bytes of one: anybody may have attached it, and nobody asked for it by name."""
SWEPT = frozenset({"registry-manifest-blob-unknown", "registry-blob-unknown"})

OnProgress = Callable[[str, int, int], None]
OnBytes = Callable[[int], None]
Cancelled = Callable[[], bool]


class Way(StrEnum):
    """How a blob came to where it is."""

    SENT = "sent"
    MOUNTED = "mounted"
    THERE = "there"


Taker = Callable[[Path, OnBytes, Cancelled], None]
Early = Callable[[str, Cancelled], Way | None]
"""How a blob, by its digest, came to the sink before the copy began; None where it did not."""


class Source(Protocol):
    """Where an image comes from."""

    @property
    def fetches(self) -> bool:
        """Whether a blob comes over the wire, and has then been found right."""
        ...

    @property
    def device(self) -> int | None:
        """The file system that the blobs are on, where they are files: within it a copy takes no room."""
        ...

    @property
    def name(self) -> str:
        """As it is written on a command line."""
        ...

    @property
    def repository(self) -> ImageRef | None:
        """Which repository it is in, where it is in a registry's."""
        ...

    def top(self) -> tuple[bytes, str]:
        """The manifest and its media type."""
        ...

    def manifest(self, descriptor: Descriptor) -> bytes:
        """One that an index names."""
        ...

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """The manifests that are attached to one of its manifests."""
        ...

    def blob(
        self, blob: Descriptor, staging: Path, on_bytes: OnBytes, cancelled: Cancelled
    ) -> AbstractContextManager[Path]:
        """A file with its bytes, for a while. `staging` is a folder for what must be fetched."""
        ...


class Sink(Protocol):
    """Where an image goes."""

    @property
    def sends(self) -> bool:
        """Whether a blob goes over the wire."""
        ...

    @property
    def holds_referrers(self) -> bool:
        """Whether what is attached to an image can be kept there."""
        ...

    def name_referrers(self, digest: str, made: Sequence[Descriptor]) -> None:
        """Have manifests that were put be found as what is attached to one."""
        ...

    def require_room(self, blobs: Sequence[Descriptor], source: Source) -> None:
        """Raise StorageError (`disk-full`) where the disk has no room for them."""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """A folder for what is on its way."""
        ...

    def missing(self, blob: Descriptor, source: Source) -> Taker | Way:
        """What takes a blob's file, or how it came to be there without one."""
        ...

    def put_manifest(self, raw: bytes, media_type: str) -> None:
        """Store a manifest by its digest."""
        ...

    def name_it(self, raw: bytes, media_type: str) -> None:
        """Store the last one, under the name."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyResult:
    """What a copy did. Bytes are of blobs, as compressed: `sent` ones went over the wire, `mounted` ones the registry
    took from another repository, `there` ones it had. `attached` is how many documents that are attached to the image
    came along, of which the bytes are not counted; `note` why others did not."""

    digest: str
    media_type: str
    manifests: int
    sent_bytes: int
    mounted_bytes: int
    there_bytes: int
    sent_blobs: int
    mounted_blobs: int
    there_blobs: int
    attached: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cargo:
    """What a copy carries: manifests, each after those that it names, and blobs, each once."""

    manifests: tuple[tuple[bytes, str], ...]
    blobs: tuple[Descriptor, ...]


def copy(
    source: Source,
    sink: Sink,
    *,
    platform: Platform | None = None,
    on_progress: OnProgress | None = None,
    on_plan: Callable[[Cargo], None] | None = None,
    cancelled: Cancelled = lambda: False,
    at_once: int = AT_ONCE,
    early: Early | None = None,
) -> CopyResult:
    """Copy an image. With a `platform` one image is chosen where the source is an index; else all of it goes. What is
    attached to it goes behind, where the sink can hold it; where that does not work, the image is copied all the same.

    `on_progress` is told (digest, bytes gone, bytes in all), from several threads; `on_plan` first what there is to
    carry; `early` is asked what was sent before. Raises RegistryError's subclasses, and InterruptedError when
    `cancelled` says so: then no name was set, but where only what is attached was still to come, and what has arrived
    is found there by the next call.
    """
    cargo = collect(source, platform)
    if on_plan:
        on_plan(cargo)
    sink.require_room(cargo.blobs, source)
    tell = on_progress or (lambda *_: None)
    with sink.staging() as staging:
        for last in (False, True):
            # One that the registry has lost since is sent in the second round.
            ways = _Carrier(source, sink, staging, tell, cancelled, None if last else early).carry(cargo.blobs, at_once)
            if cancelled():
                raise InterruptedError("the copy was cancelled")
            try:
                _name(cargo, sink)
                break
            except RefusedError as error:
                # A registry was swept after it had said that a blob is there.
                if last or error.code not in SWEPT:
                    raise
        attached, note = _attached(cargo, source, sink, staging, cancelled) if sink.holds_referrers else (0, "")
    return replace(_result(cargo, ways), attached=attached, note=note)


def _attached(cargo: Cargo, source: Source, sink: Sink, staging: Path, cancelled: Cancelled) -> tuple[int, str]:
    """Carry what is attached to the manifests of an image; how many documents, and why others stayed behind."""
    count, notes = 0, list[str]()
    for subject in (digest_of(raw) for raw, _ in cargo.manifests):
        made = []
        try:
            for entry in source.referrers(subject)[:MOST_REFERRERS]:
                if cancelled():
                    raise InterruptedError("the copy was cancelled")
                try:
                    if _carry_document(entry, subject, source, sink, staging, cancelled):
                        made.append(entry)
                except (LayoutError, RefusedError) as error:
                    notes.append(f"{error.subject}: {error.message}")
            if made:
                sink.name_referrers(subject, made)
                count += len(made)
        except RegistryError as error:
            notes.append(f"{error.subject}: {error.message}")
    return count, f"not all that is attached to the image came along: {notes[0]}" if notes else ""


def _carry_document(
    entry: Descriptor, subject: str, source: Source, sink: Sink, staging: Path, cancelled: Cancelled
) -> bool:
    """Carry one; False where it is attached to something else, whatever the list says that named it."""
    found = parse_manifest(_read(source, entry), entry.media_type)
    if isinstance(found, ImageIndex) or found.subject is None or found.subject.digest != subject:
        return False
    blobs = {blob.digest: blob for blob in (found.config, *found.layers)}
    size = sum(blob.size for blob in blobs.values())
    if size > LARGEST_DOCUMENT:
        raise LayoutError("document-too-large", entry.digest, f"{size:,} bytes, expected at most {LARGEST_DOCUMENT:,}")
    _Carrier(source, sink, staging, lambda *_: None, cancelled).carry(tuple(blobs.values()), AT_ONCE)
    sink.put_manifest(found.raw, _said(found, entry.media_type))
    return True


def _name(cargo: Cargo, sink: Sink) -> None:
    for raw, media_type in cargo.manifests[:-1]:
        sink.put_manifest(raw, media_type)
    sink.name_it(*cargo.manifests[-1])


@dataclass(frozen=True, slots=True)
class _Carrier:
    """Blobs, several at once. The first that fails ends the others at their next piece, and so does Ctrl-C."""

    source: Source
    sink: Sink
    staging: Path
    on_progress: OnProgress
    cancelled: Cancelled
    early: Early | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def carry(self, blobs: tuple[Descriptor, ...], at_once: int) -> dict[str, Way]:
        """How each came there, by digest. Raises what the first that failed did."""
        with ThreadPoolExecutor(at_once, thread_name_prefix="copy") as pool:
            futures = {blob.digest: pool.submit(self._one, blob) for blob in blobs}
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
            finally:
                # Where all is well, nobody looks at it any more.
                self.stop.set()
        failures = [error for future in futures.values() if (error := future.exception())]
        if failures:
            # What the first one stopped says nothing.
            raise next((error for error in failures if not isinstance(error, InterruptedError)), failures[0])
        return {digest: future.result() for digest, future in futures.items()}

    def _one(self, blob: Descriptor) -> Way:
        if self._stopped():
            raise InterruptedError("the copy was cancelled")

        def tell(gone: int) -> None:
            self.on_progress(blob.digest, gone, blob.size)

        if self.early is not None and (way := self.early(blob.digest, self._stopped)) is not None:
            return way
        # What goes over two wires is half gone when it is here.
        twice = self.source.fetches and self.sink.sends
        taker = self.sink.missing(blob, self.source)
        if isinstance(taker, Way):
            return taker
        fetched = (lambda gone: tell(gone // 2)) if twice else tell
        with self.source.blob(blob, self.staging, fetched, self._stopped) as file:
            taker(file, (lambda gone: tell((blob.size + gone) // 2)) if twice else tell, self._stopped)
        return Way.SENT

    def _stopped(self) -> bool:
        return self.stop.is_set() or self.cancelled()


def _result(cargo: Cargo, ways: Mapping[str, Way]) -> CopyResult:
    sizes = {way: [blob.size for blob in cargo.blobs if ways[blob.digest] is way] for way in Way}
    raw, media_type = cargo.manifests[-1]
    return CopyResult(
        digest=digest_of(raw),
        media_type=media_type,
        manifests=len(cargo.manifests),
        sent_bytes=sum(sizes[Way.SENT]),
        mounted_bytes=sum(sizes[Way.MOUNTED]),
        there_bytes=sum(sizes[Way.THERE]),
        sent_blobs=len(sizes[Way.SENT]),
        mounted_blobs=len(sizes[Way.MOUNTED]),
        there_blobs=len(sizes[Way.THERE]),
    )


def collect(source: Source, platform: Platform | None) -> Cargo:
    """All that a copy has to carry. Raises LayoutError: `no-such-platform`, `unknown-media-type`, `foreign-layer`,
    `manifest-invalid`, `size-mismatch`; and what the source raises."""
    raw, media_type = source.top()
    found = parse_manifest(raw, media_type)
    for _ in range(DEEPEST):
        if platform is None or not isinstance(found, ImageIndex):
            break
        chosen = choose(found, platform, source.name)
        raw, media_type = _read(source, chosen), chosen.media_type
        found = parse_manifest(raw, media_type)
    gathered = _Gathered(source)
    gathered.add(found, media_type, 0)
    return Cargo(manifests=tuple(gathered.manifests.values()), blobs=tuple(gathered.blobs.values()))


@dataclass(frozen=True, slots=True)
class _Gathered:
    source: Source
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)

    def add(self, found: ImageManifest | ImageIndex, media_type: str, depth: int) -> None:
        if depth > DEEPEST or len(self.manifests) >= MOST_MANIFESTS:
            raise invalid_manifest(
                self.source.name,
                f"indexes within indexes, more than {DEEPEST} deep or {MOST_MANIFESTS} manifests",
            )
        if isinstance(found, ImageIndex):
            for entry in found.manifests:
                if entry.digest in self.manifests:
                    continue
                if entry.media_type not in INDEXES | IMAGES:
                    raise LayoutError(
                        "unknown-media-type",
                        entry.digest,
                        f"the index names a manifest of the type {entry.media_type[:100]}",
                    )
                self.add(parse_manifest(_read(self.source, entry), entry.media_type), entry.media_type, depth + 1)
        else:
            for blob in (found.config, *found.layers):
                # A layer may stand in an image twice; it is one blob.
                known = self.blobs.setdefault(blob.digest, blob)
                if known.size != blob.size:
                    raise LayoutError(
                        "size-mismatch", blob.digest, f"named with {known.size} and with {blob.size} bytes"
                    )
        self.manifests[digest_of(found.raw)] = (found.raw, _said(found, media_type))


def _said(found: ImageManifest | ImageIndex, media_type: str) -> str:
    return media_type if media_type in INDEXES | IMAGES else found.media_type


def _read(source: Source, entry: Descriptor) -> bytes:
    if entry.size > LARGEST_MANIFEST:
        raise LayoutError(
            "manifest-too-large", entry.digest, f"{entry.size} bytes, expected at most {LARGEST_MANIFEST}"
        )
    raw = source.manifest(entry)
    if len(raw) != entry.size:
        raise LayoutError(
            "size-mismatch", entry.digest, f"the manifest has {len(raw)} bytes, its index says {entry.size}"
        )
    return raw


def require_platform(source: Source, platform: Platform, *, subject: str | None = None) -> None:
    """Raise LayoutError (`no-such-platform`) where a source that is no index is an image for another platform; of
    `subject`, as the caller named it, where the source lies somewhere else for now."""
    raw, media_type = source.top()
    found = parse_manifest(raw, media_type)
    if isinstance(found, ImageIndex) or not found.is_image:
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        source.blob(found.config, Path(folder), lambda _: None, lambda: False) as file,
    ):
        try:
            config: Any = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            said = f"the configuration is no JSON: {error}"
            raise invalid_manifest(found.config.digest, said) from error
    config = config if isinstance(config, dict) else {}
    if shown(config) and not platform.fits(config):
        raise LayoutError(
            "no-such-platform",
            subject or source.name,
            f"it is an image for {shown(config)}, and {platform} was asked for",
            hint="--platform OS/ARCHITECTURE names another",
        )
