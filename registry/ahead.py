"""Blobs that are on their way to a registry before it is known what else the image has: one is sent while the next is
packed."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from registry.copy import Cancelled, OnProgress, Way
from registry.errors import RegistryError
from registry.manifest import Descriptor
from registry.places import RegistrySink

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Packing takes what processors there are."""
LOOK_SECONDS = 0.1


class Ahead:
    """For one thread that gives blobs, and a copy that asks how they came there. Use it as a context manager: at its
    end nothing is sent any more.

    Nothing that goes wrong here is told: the copy sends what has not arrived, and tells why it cannot.
    """

    def __init__(self, sink: RegistrySink, *, on_progress: OnProgress | None = None) -> None:
        self._sink = sink
        self._tell = on_progress or (lambda *_: None)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ahead")
        self._sent: dict[str, Future[Way]] = {}
        self._over = threading.Event()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Send nothing more; what is under way ends at its next piece."""
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether it was stopped: for the client, which would else be patient with its registry."""
        return self._over.is_set()

    def send(self, blob: Descriptor, file: Path) -> None:
        """Send a file that is the blob, once; returns at once."""
        if blob.digest not in self._sent:
            self._sent[blob.digest] = self._pool.submit(self._one, blob, file)

    def way(self, digest: str, cancelled: Cancelled) -> Way | None:
        """How a blob came there, once it has; None where it was not sent, or did not arrive. Raises InterruptedError
        when `cancelled` says so."""
        future = self._sent.get(digest)
        if future is None:
            return None
        while not future.done():
            if cancelled():
                raise InterruptedError("the copy was cancelled")
            wait((future,), timeout=LOOK_SECONDS)
        try:
            return future.result()
        except (RegistryError, OSError) as error:
            log.debug("not sent ahead", extra={"digest": digest, "error": str(error)})
            return None

    def _one(self, blob: Descriptor, file: Path) -> Way:
        taker = self._sink.taker(blob, None)
        if isinstance(taker, Way):
            return taker
        taker(file, lambda gone: self._tell(blob.digest, gone, blob.size), self._over.is_set)
        return Way.SENT
