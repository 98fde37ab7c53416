"""Values at rest, sealed with a key that lies in a file of its own: AES-128-CBC with HMAC-SHA256, by the Fernet recipe
of the cryptography package."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from runtime.errors import KeyFailure


class Seal:
    """Closes and opens with the key in a file, which is read each time: a key that was put back is taken at once.

    Every method raises KeyFailure (`key-missing`, `key-unusable`), which names the file.
    """

    def __init__(self, key_file: Path) -> None:
        self._file = key_file

    def make(self) -> None:
        """Make the key, with mode 0600, where there is none; of several who do, the first one's stays."""
        if self._file.exists():
            return
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as handle:
                    handle.write(Fernet.generate_key() + b"\n")
                    handle.flush()
                    os.fsync(handle.fileno())
                os.link(draft, self._file)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        except OSError as error:
            raise KeyFailure(
                "key-unusable", str(self._file), f"it cannot be made: {error.strerror}", hint="mend that, then again"
            ) from error

    def close(self, raw: bytes) -> str:
        """The bytes, sealed; each time another text."""
        return Fernet(self._key()).encrypt(raw).decode()

    def open(self, token: str) -> bytes:
        """The bytes. Raises KeyFailure (`key-wrong`) where another key sealed them."""
        try:
            return Fernet(self._key()).decrypt(token)
        except InvalidToken as error:
            raise KeyFailure(
                "key-wrong",
                str(self._file),
                "this key does not open the Secrets in the store",
                hint="restore the key file that belongs to this home, or apply the Secrets again",
            ) from error

    def _key(self) -> bytes:
        try:
            key = self._file.read_bytes().strip()
        except FileNotFoundError as error:
            raise KeyFailure(
                "key-missing",
                str(self._file),
                "the key that opens the Secrets is not there",
                hint="restore the key file from where you keep it",
            ) from error
        except OSError as error:
            raise KeyFailure("key-unusable", str(self._file), str(error.strerror), hint="restore the file") from error
        try:
            right = len(base64.urlsafe_b64decode(key)) == 32
        except ValueError:
            right = False
        if not right:
            raise KeyFailure(
                "key-unusable",
                str(self._file),
                "it holds no key: expected 32 bytes in base64",
                hint="restore the key file from where you keep it",
            )
        return key
