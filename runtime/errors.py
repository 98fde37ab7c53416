"""What can go wrong in runtime, as one tree.

    RuntimeFailure
    ├── ManifestError          a manifest is refused
    ├── EngineError            no engine, or it died
    ├── ImageError             an image cannot be pulled or run
    ├── ConfigError            a container cannot be given what its manifest says
    ├── KeyFailure             the key file does not open the Secrets
    ├── BalancerError          HAProxy did not answer or refused
    ├── StoreClosed            the controller has stopped: nothing is written any more
    ├── ControllerUnreachable  no controller answers on the socket
    ├── NotFound               no such object
    ├── Conflict               another change is in progress

Each error names what was being done to which object (`subject`), has a stable kebab-case `code`, a `hint` with the
next step, `kept` with what is still true, and a `kind` from which a caller derives its exit code:
``failed``, ``refused``, ``usage`` or ``environment``.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["failed", "refused", "usage", "environment"]


class RuntimeFailure(Exception):
    """Base of every error that runtime raises on purpose."""

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


class ManifestError(RuntimeFailure):
    """A manifest is refused."""

    kind: Kind = "usage"


class EngineError(RuntimeFailure):
    """No engine, or it died."""

    kind: Kind = "environment"


class StoreClosed(RuntimeFailure):
    """The controller has stopped, and what is under way still is told to nobody: the next one looks anew."""


class ImageError(RuntimeFailure):
    """An image cannot be pulled or run."""


class ConfigError(RuntimeFailure):
    """A container cannot be given what its manifest says; it may be later."""


class KeyFailure(RuntimeFailure):
    """The key file is missing, damaged, or not the one that sealed the Secrets."""

    kind: Kind = "environment"


class BalancerError(RuntimeFailure):
    """HAProxy did not answer or refused."""

    kind: Kind = "environment"


class ControllerUnreachable(RuntimeFailure):
    """No controller answers on the socket."""

    kind: Kind = "environment"


class NotFound(RuntimeFailure):
    """No such object."""

    kind: Kind = "usage"


class Conflict(RuntimeFailure):
    """Another change is in progress."""
