"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.base import BaseConfig, Bases
from linters.catalog import rules
from linters.check import check, warm
from linters.context import NAME as IGNORE_FILE
from linters.context import MalformedPattern, Patterns, ignore_file
from linters.errors import DockerfileError, LintError, ToolError
from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
from linters.hadolint import hadolint_version
from linters.model import Basis, Edit, Finding, LintReport, Principle, Severity
from linters.rule import Rule

__all__ = [
    "IGNORE_FILE",
    "BaseConfig",
    "Bases",
    "Basis",
    "DockerfileError",
    "Edit",
    "Finding",
    "FrontendFeature",
    "LintError",
    "LintReport",
    "MalformedPattern",
    "Patterns",
    "Principle",
    "Rule",
    "Severity",
    "SyntaxDirective",
    "ToolError",
    "check",
    "frontend_features",
    "hadolint_version",
    "ignore_file",
    "rules",
    "syntax_directive",
    "warm",
]
