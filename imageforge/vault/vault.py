"""Sealing and opening secrets. AES-128-CBC with HMAC-SHA256, by the Fernet recipe of the cryptography package."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from imageforge.errors import StackError

_DIGEST = b"imageforge: digest of secrets"


class Vault:
    """Opens and seals with the key in a file. The first seal makes it, with mode 0600; whatever else needs one that is
    not there raises StackError (`key-missing`), for a new key would open nothing."""

    def __init__(self, key_file: Path) -> None:
        self._file = key_file
        self._key: bytes | None = None

    def seal(self, text: str) -> bytes:
        """The secret, sealed; each time another text."""
        if self._key is None:
            self._make()
        return Fernet(self._opened()).encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The secret. Raises StackError (`key-wrong`) where another key sealed it."""
        try:
            return Fernet(self._opened()).decrypt(sealed).decode()
        except InvalidToken as error:
            raise StackError(
                "key-wrong",
                str(self._file),
                "this key does not open the secrets in the store",
                hint="restore the key file that belongs to this store, or set the secrets again",
            ) from error

    def digest(self, text: str) -> str:
        """Ten hexadecimal digits by which equal texts are known, and which tell nothing to who has not the key."""
        key = hmac.digest(self._opened(), _DIGEST, "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()[:10]

    def require(self) -> None:
        """Raise StackError (`key-missing`, `key-unusable`) where there is no key to be had."""
        self._opened()

    def _opened(self) -> bytes:
        if self._key is None:
            try:
                key = self._file.read_bytes().strip()
                Fernet(key)
            except FileNotFoundError as error:
                raise StackError(
                    "key-missing",
                    str(self._file),
                    "the key that opens the secrets in the store is not there",
                    hint="restore the key file from where you keep it",
                ) from error
            except (OSError, ValueError) as error:
                raise StackError(
                    "key-unusable", str(self._file), str(error), hint="restore the key file from where you keep it"
                ) from error
            self._key = key
        return self._key

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
