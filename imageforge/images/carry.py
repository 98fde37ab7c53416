"""Carrying an image from one place to another: registries and layouts as they are, the engine and archives by way of a
layout that is made for the time."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from builders import (
    Blob,
    Compression,
    Endpoint,
    EngineError,
    Limits,
    SquashMode,
    drop_damaged,
    inspect_image,
    load,
    squash,
    unpack_archive,
    write_archive,
)
from imageforge.config import Home
from imageforge.errors import UsageError
from imageforge.images.name import ImageName, Transport
from registry import (
    Access,
    Ahead,
    Cargo,
    CopyResult,
    Descriptor,
    LayoutError,
    LayoutSink,
    LayoutSource,
    OciLayout,
    Patience,
    Platform,
    RegistryClient,
    RegistrySink,
    RegistrySource,
    Sessions,
    copy,
    require_platform,
)

Source = LayoutSource | RegistrySource
Sink = LayoutSink | RegistrySink


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrier:
    """What a copy works with: a home for blobs, scratch files and interrupted uploads; the engine, found when it is
    needed; how registries are reached; the switch that cancels it."""

    home: Home
    engine: Callable[[], Endpoint]
    access: Access = field(default_factory=Access)
    patience: Patience = field(default_factory=Patience)
    cancelled: threading.Event = field(default_factory=threading.Event)
    compression: Compression = Compression.BALANCED
    """Of what comes from the engine or an archive; what comes packed stays as it is."""
    mount_from: Callable[[str], tuple[str, ...]] = lambda _: ()
    """The repositories of a registry that may have an image's layers."""
    limits: Limits = field(default_factory=Limits)
    """How much an archive may become, unpacked."""

    def carry(
        self,
        source: ImageName,
        target: ImageName,
        *,
        platform: Platform | None = None,
        all_platforms: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
        on_plan: Callable[[Cargo], None] | None = None,
        ahead: Ahead | None = None,
    ) -> CopyResult:
        """Copy an image. An index goes as a whole from layouts and registries to such, where no `platform` is named;
        the engine and archives get one image, this machine's where none is named. `ahead` has what was sent before.

        Raises the packages' errors; KeyboardInterrupt and InterruptedError where it is cancelled. No name is set then.
        """
        single = target.transport in (Transport.ENGINE, Transport.ARCHIVE)
        if single and all_platforms:
            raise UsageError(
                "one-platform",
                str(target),
                "it holds one image, and all platforms were asked for",
                hint="copy them to oci:DIR or docker://REF",
            )
        if source == target:
            raise UsageError("same-place", str(target), "the image would be copied onto itself", hint="name another")
        wanted = platform or (Platform.here() if single else None)
        with ExitStack() as held:
            if source.transport is Transport.ENGINE and wanted is None:
                ahead = held.enter_context(self.ahead(target, on_progress))
            found = held.enter_context(self.source(source, ahead))
            if wanted is not None:
                require_platform(found, wanted, subject=str(source))
            if target.transport is Transport.REGISTRY:
                sink: Sink = held.enter_context(self._repository(target))
            elif target.transport is Transport.LAYOUT:
                sink = LayoutSink(path=target.file, ref_name=target.tag)
            else:
                folder = held.enter_context(self.scratch())
                sink = LayoutSink(path=folder / "layout")
            result = copy(
                found,
                sink,
                platform=wanted,
                on_progress=on_progress,
                on_plan=on_plan,
                cancelled=self.cancelled.is_set,
                early=ahead.way if ahead else None,
            )
            if isinstance(sink, LayoutSink) and single:
                self._hand_over(sink.path, target)
            return result

    @contextmanager
    def client(self, registry: str) -> Iterator[RegistryClient]:
        """A client that is as patient as the copy."""
        with RegistryClient(
            registry, access=self.access, patience=self.patience, cancelled=self.cancelled.is_set
        ) as client:
            yield client

    @contextmanager
    def ahead(
        self, target: ImageName, on_progress: Callable[[str, int, int], None] | None = None
    ) -> Iterator[Ahead | None]:
        """What sends layers to a registry as they are packed; None for other places."""
        if target.transport is not Transport.REGISTRY:
            yield None
            return
        with ExitStack() as held:
            # A client of its own, which gives up when the packing has failed.
            client = RegistryClient(
                target.named.registry,
                access=self.access,
                patience=self.patience,
                cancelled=lambda: sender.over or self.cancelled.is_set(),
            )
            sender = Ahead(self._sink(target, client), on_progress=on_progress)
            held.enter_context(client)
            yield held.enter_context(sender)

    @contextmanager
    def source(self, name: ImageName, ahead: Ahead | None = None) -> Iterator[Source]:
        """An image as what copies read; the engine's and an archive's by way of a layout, for the block's length. What
        is packed of the engine's goes `ahead`."""
        if name.transport is Transport.REGISTRY:
            with self.client(name.named.registry) as client:
                yield RegistrySource(client=client, reference=name.named)
        elif name.transport is Transport.LAYOUT:
            yield LayoutSource(layout=OciLayout.open(name.file), ref_name=name.tag)
        else:
            with self.scratch() as folder:
                layout = folder / "source"
                self._unpack(name, layout, ahead)
                with self.dropping(layout):
                    yield LayoutSource(layout=OciLayout.open(layout))

    @contextmanager
    def dropping(self, layout: Path) -> Iterator[None]:
        """Where a layer of the layout is found to be damaged it is taken out of the store of layers, too, from which it
        is linked: the next call makes it again."""
        try:
            yield
        except (LayoutError, EngineError) as error:
            if drop_damaged(layout, blobs=self.home.blobs):
                error.hint = "it was damaged on the disk, and dropped: do it again, and it is made anew"
            raise

    def _unpack(self, name: ImageName, layout: Path, ahead: Ahead | None) -> None:
        """The engine's image, or an archive's, as a layout; its layers are compressed once, ever."""
        if name.transport is Transport.ENGINE:
            endpoint = self.engine()
            squash(
                inspect_image(name.tag or str(name.named), endpoint=endpoint),
                endpoint=endpoint,
                base_image=None,
                mode=SquashMode.NONE,
                layout=layout,
                blobs=self.home.blobs,
                scratch=self.home.scratch,
                cancelled=self.cancelled,
                compression=self.compression,
                on_blob=sending(ahead),
            )
            return
        if name.reference is not None:
            raise UsageError(
                "archive-has-one-image",
                str(name),
                "an archive is read that holds one image, which needs no name",
                hint=f"docker-archive:{name.file}",
            )
        unpack_archive(
            name.file,
            layout=layout,
            blobs=self.home.blobs,
            scratch=self.home.scratch,
            limits=self.limits,
            check=self.check,
            compression=self.compression,
        )

    def check(self) -> None:
        """Raises InterruptedError where it is cancelled."""
        if self.cancelled.is_set():
            raise InterruptedError("the copy was cancelled")

    @contextmanager
    def _repository(self, name: ImageName) -> Iterator[RegistrySink]:
        with self.client(name.named.registry) as client:
            yield self._sink(name, client)

    def _sink(self, name: ImageName, client: RegistryClient) -> RegistrySink:
        return RegistrySink(
            client=client,
            reference=name.named,
            sessions=Sessions(self.home.uploads),
            # Who has all blobs there need not know: it takes the store of builds to tell.
            mount_from=cache(lambda: self.mount_from(name.named.registry)),
            folder=self.home.uploads / "blobs",
        )

    def _hand_over(self, layout: Path, target: ImageName) -> None:
        tag = target.reference.familiar if target.reference else None
        if target.transport is Transport.ENGINE:
            load(layout, endpoint=self.engine(), tag=tag, blobs=self.home.blobs)
        else:
            write_archive(layout, target.file, tag=tag)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for the time, on the file system of the blobs."""
        self.home.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.home.scratch, prefix="copy-") as folder:
            yield Path(folder)


def sending(ahead: Ahead | None) -> Callable[[Blob], None]:
    """For `squash`: each layer goes ahead when it is there."""

    def send(blob: Blob) -> None:
        if ahead is not None:
            ahead.send(Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size), blob.path)

    return send
