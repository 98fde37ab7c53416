"""Sealing and opening secrets. AES-128-CBC with HMAC-SHA256, by the Fernet recipe of the cryptography package."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from imageforge.errors import StackError


class Vault:
    """Opens and seals with the key in a file, which is made (mode 0600) where there is none."""

    def __init__(self, key_file: Path) -> None:
        self._file = key_file
        self._fernet: Fernet | None = None

    def seal(self, text: str) -> bytes:
        """The secret, sealed; each time another text."""
        return self._opened().encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The secret. Raises StackError (`key-wrong`) where another key sealed it."""
        try:
            return self._opened().decrypt(sealed).decode()
        except InvalidToken as error:
            raise StackError(
                "key-wrong",
                str(self._file),
                "this key does not open the secrets in the store",
                hint="restore the key file that belongs to this store, or set the secrets again",
            ) from error

    def _opened(self) -> Fernet:
        if self._fernet is None:
            self._make()
            try:
                self._fernet = Fernet(self._file.read_bytes().strip())
            except (OSError, ValueError) as error:
                raise StackError(
                    "key-unusable", str(self._file), str(error), hint="restore the key file from where you keep it"
                ) from error
        return self._fernet

    def _make(self) -> None:
        if self._file.exists():
            return
        draft = self._file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(Fernet.generate_key() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(draft, self._file)  # fails where another process was faster, whose key is as good
        except FileExistsError:
            pass
        finally:
            draft.unlink()
