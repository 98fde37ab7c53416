"""A digest that goes along with what is read or written, in a thread beside it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_STEP = 256 << 10
_AHEAD = 3


class Digest:
    """A sha256 that is reckoned in another thread, of bytes that come in order. `also` is given them by the caller's
    thread, `then` by the other one."""

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        *,
        also: Callable[[bytes], None] | None = None,
        then: Callable[[bytes], object] | None = None,
    ) -> None:
        self._thread = thread
        self._also = also
        self._then = then
        self._digest = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._waiting = 0
        self._running: deque[Future[None]] = deque()
        self.size = 0

    def update(self, data: bytes) -> None:
        """Takes in the next bytes; waits where too many do."""
        if self._also is not None:
            self._also(data)
        self._gathered.append(data)
        self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _STEP:
            self._send()

    def end(self) -> bytes:
        """The digest of all that came."""
        self._send()
        while self._running:
            self._running.popleft().result()
        return self._digest.digest()

    def _send(self) -> None:
        while len(self._running) > _AHEAD:
            self._running.popleft().result()
        self._running.append(self._thread.submit(self._take, self._gathered))
        self._gathered, self._waiting = [], 0

    def _take(self, parts: list[bytes]) -> None:
        for part in parts:
            self._digest.update(part)
            if self._then is not None:
                self._then(part)
