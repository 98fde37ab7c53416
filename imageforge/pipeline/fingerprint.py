"""What decides an image, as one digest: equal fingerprints need one build.

The context's tree, the Dockerfile, the options, and the very images it is built on. What a RUN step fetches from the
network is not in it; `--no-cache` builds in any case.
"""

from __future__ import annotations

import datetime
import hashlib
import json

from builders import Endpoint, EngineError, inspect_image
from imageforge.pipeline.plan import Plan
from imageforge.sources import Ignore, tree_digest
from linters import LintReport, Policy

VERSION = 2
"""Raised when the pipeline makes another image of the same input."""


def _asked(policy: Policy) -> tuple[object, ...]:
    """What a policy refuses images for, waivers apart."""
    severities = sorted((name, severity and severity.value) for name, severity in policy.severities.items())
    options = sorted((name, sorted(said.items())) for name, said in policy.options.items())
    budgets = policy.size_budget, policy.waste_budget
    return (policy.profile, severities, options, policy.registries, budgets, policy.require_measured, policy.comments)


def fingerprint(plan: Plan, report: LintReport, endpoint: Endpoint) -> str | None:
    """The fingerprint of a build; None where something that decides it is not known before the build."""
    if plan.no_cache or not plan.push or report.images is None:
        return None
    try:
        bases = {name: inspect_image(name, endpoint=endpoint).image_id for name in report.images}
    except EngineError:
        return None  # not in the engine yet: BuildKit is going to pull whatever the name means then
    parts = {
        "version": VERSION,
        "app": plan.app,
        "tree": tree_digest(plan.context, ignore=Ignore.read(plan.context, plan.dockerfile)),
        "dockerfile": hashlib.sha256(plan.dockerfile.read_bytes()).hexdigest(),
        "target": plan.target,
        "args": dict(sorted(plan.build_args.items())),
        "squash": plan.squash.value,
        "tag": plan.tag,
        "bases": bases,
        # An image that a waiver let through is built, and judged, again when that has ended.
        # What an image is refused for may be in a file that the tree leaves out, or be asked of the command line.
        "asked": [plan.fail_on.value, *map(str, _asked(plan.policy))],
        "waived": sorted({waiver.rule for waiver in plan.policy.waivers if waiver.holds(datetime.date.today())}),
    }
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
