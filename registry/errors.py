"""What can go wrong in registry, as one tree.

    RegistryError
    ├── InvalidReference        not an image reference
    ├── LayoutError            an OCI layout is incomplete or damaged
    ├── TransportError         the registry did not answer, or not as a registry
    ├── RefusedError           the registry answered and refused
    ├── StorageError           this machine's disk is full or cannot be written

Each error names what was being done to which object (`subject`), has a stable kebab-case `code`, a `hint` with the
next step, `kept` with what is still true, and a `kind` from which a caller derives its exit code:
``failed``, ``refused``, ``usage`` or ``environment``. What may go well the next time is `retryable`; `asked` is how
many seconds the registry wants to be left alone first, `hung` whether it did not answer at all, `status` its answer.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["failed", "refused", "usage", "environment"]


class RegistryError(Exception):
    """Base of every error that registry raises on purpose."""

    kind: Kind = "failed"

    def __init__(
        self,
        code: str,
        subject: str,
        message: str,
        *,
        hint: str | None = None,
        kept: str | None = None,
        retryable: bool = False,
        asked: float | None = None,
        hung: bool = False,
        status: int = 0,
    ) -> None:
        super().__init__(f"{subject}: {message}")
        self.retryable = retryable
        self.asked = asked
        self.hung = hung
        self.status = status
        self.code = code
        self.subject = subject
        self.message = message
        self.hint = hint
        self.kept = kept


class InvalidReference(RegistryError):
    """Not an image reference."""

    kind: Kind = "usage"


class LayoutError(RegistryError):
    """An OCI layout is incomplete or damaged."""


class TransportError(RegistryError):
    """The registry did not answer, or not as a registry."""

    kind: Kind = "environment"


class RefusedError(RegistryError):
    """The registry answered and refused."""

    kind: Kind = "environment"


class StorageError(RegistryError):
    """This machine's disk is full or cannot be written."""

    kind: Kind = "environment"
