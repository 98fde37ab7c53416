"""One blob to a registry: in chunks, taken up where a broken connection or a failing registry left it.

The bytes are hashed as they leave, and the upload is closed only where they are what their digest says. CNCF
Distribution up to 3.0 signs the offset into an upload's address, and so knows nothing of one that broke within a chunk:
there it is begun again. The others say how far they are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from registry.client import Opened, RegistryClient
from registry.errors import LayoutError, RefusedError, TransportError
from registry.sessions import Session

PIECE = 1 << 20
"""Bytes read and sent at a time."""
CHUNK = 16 << 20
"""Bytes of a request: what is lost at most where a connection breaks, and enough that the answers cost nothing."""
SMALLEST_CHUNK = 1 << 20
MOST_BEGINNINGS = 3
"""How often one blob is sent from its first byte in one call."""
GRACE_SECONDS = 2.0
"""How long a chunk may go on after it was cancelled: what is whole need not be sent again."""
MOST_CORRECTIONS = 5
"""How often a registry may say that it expects another byte."""
RANGE_REFUSED, TOO_LARGE = 416, 413
FORGOTTEN = frozenset({400, 404, 410, RANGE_REFUSED})


def upload_blob(client: RegistryClient, repository: str, digest: str, file: Path) -> None:
    """Send one blob that the repository lacks; nothing is kept of an upload that breaks. Raises as `Upload.run`."""
    Upload(client, repository, digest, file, session=Session(None)).run()


class Upload:
    """The upload of `file`, which has `size` bytes. `on_bytes` hears how many have left."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        digest: str,
        file: Path,
        *,
        session: Session,
        on_bytes: Callable[[int], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
        chunk: int = CHUNK,
    ) -> None:
        self._client = client
        self._repository = repository
        self._digest = digest
        self._file = file
        self._size = file.stat().st_size
        self._session = session
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._chunk = chunk
        self._least = 0
        self._begun = 0
        self._corrected = 0
        self._offset = 0
        self._hasher = hashlib.new(digest.partition(":")[0])
        self._hashed = 0
        self._cancelled_at: float | None = None
        self._resumed = False

    def run(self, opened: Opened | None = None) -> None:
        """Send it; into `opened`, where the registry has opened an upload already.

        Raises LayoutError (`blob-damaged`), TransportError and RefusedError, and InterruptedError when cancelled. But
        for a damaged file, what has been sent is kept for the next call where the session is.
        """
        try:
            self._attempt(self._found(opened))
            self._session.forget()
        except LayoutError:
            self._drop()
            raise
        except BaseException:
            if not self._session.kept:
                self._drop()
            raise

    def _found(self, opened: Opened | None) -> Opened | None:
        """What an earlier call left, where the registry still knows of it; else what was opened now."""
        left = self._left(self._session.location) if self._session.location else None
        if left is None:
            return opened
        self._resumed = True
        if opened is not None:
            self._client.cancel_upload(self._repository, opened.location)
        return left

    def _attempt(self, at: Opened | None) -> None:
        trial = self._client.trial()
        while True:
            before = self._offset
            try:
                if at is None:
                    at = self._begin()
                self._least = max(self._least, at.least)
                self._send(at)
                return
            except (TransportError, RefusedError) as error:
                if self._resumed and error.code == "registry-digest-invalid":
                    # What an earlier call sent is not of this file: it was damaged then, and is whole now.
                    self._resumed = False
                    self._drop()
                    self._offset, at = 0, None
                    continue
                if self._offset > before:
                    trial.progressed()
                at = self._recover(error, trial.failed)
                if at is None and error.status == 0 and self._client.has_blob(self._repository, self._digest):
                    return  # It was closed, and the answer was lost.

    def _left(self, location: str) -> Opened | None:
        try:
            found = self._client.upload_offset(self._repository, location)
        except (TransportError, RefusedError):
            return None
        return found if found and found.offset <= self._size else None

    def _begin(self) -> Opened:
        opened = self._client.begin_upload(self._repository)
        assert opened is not None
        return opened

    def _send(self, at: Opened) -> None:
        """From where it is to its end. The session knows of every chunk that is whole."""
        self._reach(at)
        whole = self._size <= max(self._chunk, self._least)
        if at.offset == 0 and whole:
            self._hash_up_to(self._size)
            self._check()
            self._client.finish_upload(
                self._repository,
                at.location,
                self._digest,
                body=lambda: self._pieces(0, self._size),
                length=self._size,
            )
            return
        while at.offset < self._size:
            offset, length = at.offset, min(max(self._chunk, self._least), self._size - at.offset)
            if self._stopped():
                raise InterruptedError("the push was cancelled")
            at = self._client.send_chunk(
                self._repository,
                at.location,
                lambda offset=offset, length=length: self._pieces(offset, length),  # type: ignore[misc]
                offset=offset,
                length=length,
                whole=False,
            )
            if not offset < at.offset <= offset + length:
                raise TransportError(
                    "registry-failed",
                    self._client.registry,
                    f"says that it has {at.offset} bytes of {self._digest}, after it took {offset + length}",
                    hint="look at the registry's log",
                    retryable=True,
                )
            self._reach(at)
        self._hash_up_to(self._size)
        self._check()
        self._client.finish_upload(self._repository, at.location, self._digest)

    def _reach(self, at: Opened) -> None:
        self._session.save(at.location)
        self._offset = at.offset

    def _recover(self, error: TransportError | RefusedError, pause: Callable[[Any], None]) -> Opened | None:
        """Where to go on after a failure; None for the beginning. Raises what is to be given up for."""
        location = self._session.location
        if error.status == TOO_LARGE and location and self._chunk > max(SMALLEST_CHUNK, self._least):
            self._chunk //= 2
        elif (
            not location
            or error.status not in FORGOTTEN
            or error.code in ("registry-digest-invalid", "registry-name-unknown")
        ):
            pause(error)
        found = self._client.upload_offset(self._repository, location) if location else None
        if found is not None and found.offset <= self._size and self._goes_on(error, found):
            return found
        self._begun += 1
        if self._begun >= MOST_BEGINNINGS:
            raise error
        self._drop()
        self._offset = 0
        return None

    def _goes_on(self, error: TransportError | RefusedError, found: Opened) -> bool:
        """Whether an upload that failed is of use from where the registry says that it is. One that is told to be at
        the very byte that was refused would be refused for ever: `0-0` is said of no byte and of one."""
        if error.status != RANGE_REFUSED:
            return error.status not in FORGOTTEN
        self._corrected += 1
        return found.offset != self._offset and self._corrected <= MOST_CORRECTIONS

    def _drop(self) -> None:
        if self._session.location:
            self._client.cancel_upload(self._repository, self._session.location)
        self._session.forget()

    def _pieces(self, offset: int, length: int) -> Iterator[bytes]:
        with self._file.open("rb") as handle:
            handle.seek(offset)
            sent = 0
            while sent < length:
                if self._stopped(grace=GRACE_SECONDS):
                    raise InterruptedError("the push was cancelled")
                piece = handle.read(min(PIECE, length - sent))
                if not piece:
                    raise LayoutError("blob-damaged", self._digest, f"{self._file} became shorter", hint="build again")
                if self._hashed == offset + sent:
                    self._hasher.update(piece)
                    self._hashed += len(piece)
                sent += len(piece)
                yield piece
                self._on_bytes(offset + sent)

    def _hash_up_to(self, end: int) -> None:
        """What was not hashed as it left, because an earlier call sent it."""
        with self._file.open("rb") as handle:
            handle.seek(self._hashed)
            while self._hashed < end and (piece := handle.read(PIECE)):
                self._hasher.update(piece)
                self._hashed += len(piece)

    def _check(self) -> None:
        if f"{self._hasher.name}:{self._hasher.hexdigest()}" != self._digest:
            raise LayoutError(
                "blob-damaged", self._digest, f"its bytes in {self._file} have another digest", hint="build again"
            )

    def _stopped(self, *, grace: float = 0.0) -> bool:
        if not self._cancelled():
            return False
        now = time.monotonic()
        self._cancelled_at = self._cancelled_at or now
        return now - self._cancelled_at >= grace
