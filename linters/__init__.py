"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.catalog import rules
from linters.check import check, warm
from linters.errors import DockerfileError, LintError, ToolError
from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
from linters.hadolint import hadolint_version
from linters.image.check import check_image
from linters.image.model import Budget, FileKind, ImageFacts, ImageLayer, LayerFile
from linters.image.waived import waived_rules
from linters.model import Basis, Edit, Finding, LintReport, Principle, Severity
from linters.rule import Rule

__all__ = [
    "Basis",
    "Budget",
    "DockerfileError",
    "Edit",
    "FileKind",
    "Finding",
    "FrontendFeature",
    "ImageFacts",
    "ImageLayer",
    "LayerFile",
    "LintError",
    "LintReport",
    "Principle",
    "Rule",
    "Severity",
    "SyntaxDirective",
    "ToolError",
    "check",
    "check_image",
    "frontend_features",
    "hadolint_version",
    "rules",
    "syntax_directive",
    "waived_rules",
    "warm",
]
