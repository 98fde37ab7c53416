"""What can go wrong in builders, as one tree.

    BuilderError
    ├── ContextError           the build context or the Dockerfile cannot be used
    ├── EngineError            no engine, or it died
    ├── ClientError            no client that can drive this BuildKit
    ├── StepFailed             a build step failed
    ├── ImageError             an image is not what it says, or more than is believed of one
    ├── SquashError            an image could not be squashed, or the proof failed
    ├── Cancelled              the build was cancelled
    ├── DiskFull               no space left

Each error names what was being done to which object (`subject`), has a stable kebab-case `code`, a `hint` with the
next step, `kept` with what is still true, and a `kind` from which a caller derives its exit code:
``failed``, ``refused``, ``usage`` or ``environment``.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["failed", "refused", "usage", "environment"]


class BuilderError(Exception):
    """Base of every error that builders raises on purpose."""

    kind: Kind = "failed"
    retryable: bool = False

    def __init__(
        self, code: str, subject: str, message: str, *, hint: str | None = None, kept: str | None = None
    ) -> None:
        super().__init__(f"{subject}: {message}")
        self.code = code
        self.subject = subject
        self.message = message
        self.hint = hint
        self.kept = kept


class ContextError(BuilderError):
    """The build context or the Dockerfile cannot be used."""

    kind: Kind = "usage"


class EngineError(BuilderError):
    """No engine, or it died."""

    kind: Kind = "environment"


class ClientError(BuilderError):
    """No client that can drive this BuildKit."""

    kind: Kind = "environment"


class StepFailed(BuilderError):
    """A build step failed."""


class ImageError(BuilderError):
    """An image is not what it says, or more than is believed of one."""


class SquashError(BuilderError):
    """An image could not be squashed, or the proof failed."""


class Cancelled(BuilderError):
    """The build was cancelled."""


class DiskFull(BuilderError):
    """No space left."""

    kind: Kind = "environment"
