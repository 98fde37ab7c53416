"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only.
"""

from linters.catalog import rules
from linters.check import Job, Outcome, check, check_all, own_findings, warm
from linters.errors import DockerfileError, LintError, ToolError
from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
from linters.hadolint import hadolint_version
from linters.model import Basis, Cause, Edit, Finding, LintReport, Principle, Severity, Suppressed
from linters.policy import Fault, Policy, Profile, Waiver, faults
from linters.rule import Option, Rule

__all__ = [
    "Basis",
    "Cause",
    "DockerfileError",
    "Edit",
    "Fault",
    "Finding",
    "FrontendFeature",
    "Job",
    "LintError",
    "LintReport",
    "Option",
    "Outcome",
    "Policy",
    "Principle",
    "Profile",
    "Rule",
    "Severity",
    "Suppressed",
    "SyntaxDirective",
    "ToolError",
    "Waiver",
    "check",
    "check_all",
    "faults",
    "frontend_features",
    "hadolint_version",
    "own_findings",
    "rules",
    "syntax_directive",
    "warm",
]
