"""What can go wrong in linters, as one tree.

    LintError
    ├── DockerfileError        the Dockerfile is missing, unreadable or does not parse
    ├── RuleError              a rule of ours failed on a file
    ├── ToolError              hadolint did not run
    └── TrialError             an engine did not do what a trial needs

Each error names what was being done to which object (`subject`), has a stable kebab-case `code`, a `hint` with the
next step, `kept` with what is still true, and a `kind` from which a caller derives its exit code:
``failed``, ``refused``, ``usage`` or ``environment``.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["failed", "refused", "usage", "environment"]


class LintError(Exception):
    """Base of every error that linters raises on purpose."""

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


class DockerfileError(LintError):
    """The Dockerfile is missing, unreadable or does not parse."""

    kind: Kind = "usage"


class RuleError(LintError):
    """A rule of ours failed on a file: a fault of ours, and no word on the file."""


class ToolError(LintError):
    """Hadolint did not run."""

    kind: Kind = "environment"


class TrialError(LintError):
    """An engine did not answer, or did not do what a trial needs."""

    kind: Kind = "environment"
