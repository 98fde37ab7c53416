"""The values that cross the border of linters: a finding, and the report that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, hadolint's four words; `rank` orders them, 0 being the gravest."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    STYLE = "style"

    @property
    def rank(self) -> int:
        """0 for an error up to 3 for style."""
        return list(Severity).index(self)


class Principle(StrEnum):
    """The container design rule that a finding argues for."""

    ONE_PROCESS = "one process"
    IMMUTABLE = "immutable"
    LIGHTWEIGHT = "lightweight"
    NON_ROOT = "non-root"
    GENERAL = "general"


class Basis(StrEnum):
    """What a finding rests on: the file's text, the build's context, the image that was built, or a run of it."""

    FILE = "file"
    CONTEXT = "context"
    IMAGE = "image"
    MEASURED = "measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change of a file's text: the characters from `start` up to `end`, exclusive, become `text`.

    Offsets count in the decoded text, byte order mark and line ends included.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing said of one place in a Dockerfile, or of an image, of which the line is 0. Lines and columns count from
    1, columns in characters, `end_column` is exclusive and on `end_line`.

    `fix` says in one line what to do; `edits` do it, where they are known, and `safe` tells that nothing else changes.
    `alias` is what BuildKit calls the same check. `instruction` is the whole text that the line belongs to, by which
    the finding is known again when it has moved.
    """

    rule: str
    severity: Severity
    principle: Principle
    message: str
    file: str
    line: int
    column: int = 1
    end_column: int | None = None
    end_line: int | None = None
    excerpt: str = ""
    fix: str | None = None
    source: str = "imageforge"
    basis: Basis = Basis.FILE
    edits: tuple[Edit, ...] = ()
    safe: bool = False
    alias: str = ""
    instruction: str = field(default="", repr=False)


class Cause(StrEnum):
    """What keeps a finding from counting."""

    COMMENT = "comment"
    WAIVER = "waiver"
    BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppressed:
    """A finding that does not count, and why: the reason that a comment or a waiver gives."""

    finding: Finding
    cause: Cause
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LintReport:
    """What was found in one Dockerfile.

    `base_image` is the reference at the root of the target's chain after ARG expansion, ``scratch`` for none, and None
    where it cannot be told. `images` are all references that the target's build takes from, COPY --from among them,
    None where one of them cannot be told. `notes` say what could not be checked and why (hadolint missing or beaten by
    the syntax). `suppressed` are findings that a comment, a waiver or a baseline sets aside.
    """

    file: str
    findings: tuple[Finding, ...] = ()
    base_image: str | None = None
    target: str | None = None
    images: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())
    suppressed: tuple[Suppressed, ...] = ()

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings as grave as `severity` or graver, in file order: what a gate set to it refuses."""
        return tuple(finding for finding in self.findings if finding.severity.rank <= severity.rank)

    def count(self, severity: Severity) -> int:
        """How many findings have exactly this severity."""
        return sum(finding.severity is severity for finding in self.findings)
