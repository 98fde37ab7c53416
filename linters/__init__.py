"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.check import check
from linters.errors import DockerfileError, LintError, ToolError
from linters.features import FrontendFeature, frontend_features
from linters.model import Finding, LintReport, Principle, Severity

__all__ = [
    "DockerfileError",
    "Finding",
    "FrontendFeature",
    "LintError",
    "LintReport",
    "Principle",
    "Severity",
    "ToolError",
    "check",
    "frontend_features",
]
