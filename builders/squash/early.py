"""Layers that are packed while the engine still saves the others."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from builders.errors import BuilderError
from builders.squash.blobs import Blob, BlobStore
from builders.squash.source import Layer

logger = logging.getLogger(__name__)


class Early:
    """For whoever spools an image: of its layers those that `stay` as they are, by diff-ID, are put into the `store`,
    and `on_blob` is told of each, in a thread of its own; where the store's disk has not `room` bytes free, none is.
    Use it as a context manager: at its end nothing is packed any more.

    Nothing that goes wrong here is told: who needs the layer packs what is not there, and tells why it cannot.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        stay: Collection[str],
        room: int,
        check: Callable[[], None],
        on_blob: Callable[[Blob], None],
    ) -> None:
        self._store = store
        self._stay = stay if shutil.disk_usage(store.folder).free > room else ()
        self._check = check
        self._on_blob = on_blob
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="early")

    def __enter__(self) -> Early:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stop()
        try:
            self._thread.shutdown()
        except BaseException:  # we were interrupted in it
            self._stop()
            raise

    def _stop(self) -> None:
        self._over.set()
        self._thread.shutdown(cancel_futures=True)

    def take(self, layer: Layer) -> None:
        """A layer that is on disk, and is what its diff-ID says. Returns at once."""
        if layer.diff_id in self._stay:
            self._thread.submit(self._pack, layer)

    def _pack(self, layer: Layer) -> None:
        try:
            self._on_blob(self._store.compress(layer, self._still))
        except (BuilderError, OSError) as error:
            logger.debug("layer %s was not packed while the image was saved: %s", layer.diff_id, error)

    def _still(self) -> None:
        if self._over.is_set():
            raise InterruptedError("the image is not needed any more")
        self._check()
