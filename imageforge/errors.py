"""What can go wrong in imageforge itself, as one tree, and the shape that every package's errors share.

ForgeError
├── UsageError         the request makes no sense as it stands
├── ConfigError        a settings file or imageforge.toml is refused
├── StackError         a part of the stack is missing, taken or broken
├── GateRefused        the lint gate or a required check said no
├── DeployFailed       a rollout did not come to its end
├── BuildOutOfMemory   a step hit the ceiling of builds
├── Busy               another run holds the app
└── Cancelled          the user, or a newer push, stopped it
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

Kind = Literal["failed", "refused", "usage", "environment"]


@runtime_checkable
class Failure(Protocol):
    """The shape that the errors of linters, builders, registry, runtime and imageforge share: what is needed to
    render one, on a terminal or as an RFC 9457 problem, and to derive an exit code."""

    kind: Kind
    code: str
    subject: str
    message: str
    hint: str | None
    kept: str | None


class ForgeError(Exception):
    """Base of every error that imageforge raises on purpose."""

    kind: Kind = "failed"

    def __init__(
        self, code: str, subject: str, message: str, *, hint: str | None = None, kept: str | None = None
    ) -> None:
        super().__init__(f"{subject}: {message}")
        self.code = code
        self.subject = subject
        self.message = message
        self.hint = hint
        self.kept = kept


class UsageError(ForgeError):
    """The request makes no sense as it stands."""

    kind: Kind = "usage"


class ConfigError(ForgeError):
    """A settings file or an imageforge.toml is refused."""

    kind: Kind = "usage"


class StackError(ForgeError):
    """A part of the stack is missing, taken or broken."""

    kind: Kind = "environment"


class GateRefused(ForgeError):
    """The lint gate, or a check that is required, said no."""

    kind: Kind = "refused"


class DeployFailed(ForgeError):
    """A rollout did not come to its end."""


class BuildOutOfMemory(ForgeError):
    """A build's step was ended by the kernel for want of memory."""


class Busy(ForgeError):
    """Another run holds the app."""


class Cancelled(ForgeError):
    """The user, or a newer push, stopped it."""
