"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.base import BaseConfig, Bases
from linters.catalog import rules
from linters.check import check, warm
from linters.context import NAME as IGNORE_FILE
from linters.context import MalformedPattern, Patterns, ignore_file
from linters.errors import DockerfileError, LintError, ToolError, TrialError
from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
from linters.hadolint import hadolint_version
from linters.image.check import check_image
from linters.image.model import Budget, FileKind, ImageFacts, ImageLayer, LayerFile
from linters.image.waived import waived_rules
from linters.model import Basis, Edit, Finding, LintReport, Principle, Severity
from linters.rule import Rule
from linters.trial.begin import remove_trials, try_image
from linters.trial.model import TRIAL_VERSION, TrialReport, TrialRequest, Verdict
from linters.trial.model import Limits as TrialLimits

__all__ = [
    "IGNORE_FILE",
    "TRIAL_VERSION",
    "BaseConfig",
    "Bases",
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
    "MalformedPattern",
    "Patterns",
    "Principle",
    "Rule",
    "Severity",
    "SyntaxDirective",
    "ToolError",
    "TrialError",
    "TrialLimits",
    "TrialReport",
    "TrialRequest",
    "Verdict",
    "check",
    "check_image",
    "frontend_features",
    "hadolint_version",
    "ignore_file",
    "remove_trials",
    "rules",
    "syntax_directive",
    "try_image",
    "waived_rules",
    "warm",
]
