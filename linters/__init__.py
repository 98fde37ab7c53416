"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.base import BaseConfig, Bases
from linters.catalog import rules
from linters.check import Job, Outcome, check, check_all, own_findings, warm
from linters.context import NAME as IGNORE_FILE
from linters.context import MalformedPattern, Patterns, ignore_file
from linters.errors import DockerfileError, LintError, ToolError, TrialError
from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
from linters.hadolint import hadolint_version
from linters.image.check import check_image
from linters.image.model import Budget, FileKind, ImageFacts, ImageLayer, LayerFile
from linters.image.settle import settle
from linters.image.waived import waived_rules
from linters.model import Basis, Cause, Edit, Finding, LintReport, Principle, Severity, Suppressed
from linters.policy import Fault, Policy, Profile, Waiver, faults
from linters.rule import Option, Rule
from linters.trial.begin import remove_trials, try_image
from linters.trial.judge import not_made
from linters.trial.model import TRIAL_VERSION, TrialReport, TrialRequest, Verdict
from linters.trial.model import Limits as TrialLimits

__all__ = [
    "IGNORE_FILE",
    "TRIAL_VERSION",
    "BaseConfig",
    "Bases",
    "Basis",
    "Budget",
    "Cause",
    "DockerfileError",
    "Edit",
    "Fault",
    "FileKind",
    "Finding",
    "FrontendFeature",
    "ImageFacts",
    "ImageLayer",
    "Job",
    "LayerFile",
    "LintError",
    "LintReport",
    "MalformedPattern",
    "Option",
    "Outcome",
    "Patterns",
    "Policy",
    "Principle",
    "Profile",
    "Rule",
    "Severity",
    "Suppressed",
    "SyntaxDirective",
    "ToolError",
    "TrialError",
    "TrialLimits",
    "TrialReport",
    "TrialRequest",
    "Verdict",
    "Waiver",
    "check",
    "check_all",
    "check_image",
    "faults",
    "frontend_features",
    "hadolint_version",
    "ignore_file",
    "not_made",
    "own_findings",
    "remove_trials",
    "rules",
    "settle",
    "syntax_directive",
    "try_image",
    "waived_rules",
    "warm",
]
