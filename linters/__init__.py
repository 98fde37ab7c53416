"""Dockerfile text in, findings out: the four container design rules, and hadolint as a second opinion.

The face of the package; callers import from here only. What judges images and tries them is loaded when it is asked
for, since to lint a file takes less time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from linters.base import BaseConfig, Bases
from linters.catalog import rules
from linters.check import Job, Outcome, check, check_all, masker, own_findings, warm
from linters.context import NAME as IGNORE_FILE
from linters.context import MalformedPattern, Patterns, ignore_file
from linters.errors import DockerfileError, LintError, RuleError, ToolError, TrialError
from linters.hadolint import hadolint_version
from linters.model import Basis, Cause, Edit, Finding, LintReport, Principle, Severity, Suppressed
from linters.policy import Fault, Policy, Profile, Waiver, faults
from linters.rule import Option, Rule

if TYPE_CHECKING:
    from linters.features import FrontendFeature, SyntaxDirective, frontend_features, syntax_directive
    from linters.image.check import check_image
    from linters.image.model import Budget, FileKind, ImageFacts, ImageLayer, LayerFile
    from linters.image.settle import settle
    from linters.image.waived import waived_rules
    from linters.trial.begin import remove_trials, try_image
    from linters.trial.judge import by_policy, not_made
    from linters.trial.model import TRIAL_VERSION, TrialReport, TrialRequest, Verdict
    from linters.trial.model import Limits as TrialLimits
else:
    _LATER = {
        "features": ("FrontendFeature", "SyntaxDirective", "frontend_features", "syntax_directive"),
        "image.check": ("check_image",),
        "image.model": ("Budget", "FileKind", "ImageFacts", "ImageLayer", "LayerFile"),
        "image.settle": ("settle",),
        "image.waived": ("waived_rules",),
        "trial.begin": ("remove_trials", "try_image"),
        "trial.judge": ("by_policy", "not_made"),
        "trial.model": ("TRIAL_VERSION", "TrialReport", "TrialRequest", "Verdict", "TrialLimits"),
    }
    _PLACES = {name: module for module, names in _LATER.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module 'linters' has no attribute {name!r}")
        module = import_module(f"linters.{_PLACES[name]}")
        found = globals()[name] = getattr(module, "Limits" if name == "TrialLimits" else name)
        return found


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
    "RuleError",
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
    "by_policy",
    "check",
    "check_all",
    "check_image",
    "faults",
    "frontend_features",
    "hadolint_version",
    "ignore_file",
    "masker",
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
