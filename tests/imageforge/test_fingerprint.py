"""What an image is refused for decides whether an earlier one may be taken over."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from builders import Endpoint
from imageforge.config import RepositoryConfig
from imageforge.pipeline.fingerprint import fingerprint
from imageforge.pipeline.plan import Request, plan
from linters import LintReport, Policy, Profile, Severity

NOWHERE = Endpoint(host="unix:///nowhere", origin="none")


def test_another_policy_is_another_build_though_its_file_is_left_out_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("imageforge.toml\n")
    made = plan(Request(path=tmp_path), RepositoryConfig.model_validate({"app": {"name": "x"}}))
    policies = [
        Policy(),
        Policy(require_measured=True),
        Policy(size_budget=1),
        Policy(waste_budget=1),
        Policy(profile=Profile.STRICT),
        Policy(severities={"IF402": None}),
        Policy(severities={"IF402": Severity.ERROR}),
        Policy(comments=False),
        Policy(registries=("docker.io",)),
        Policy(options={"IF301": {"a": 1}}),
    ]
    plans = [replace(made, policy=policy) for policy in policies]
    plans.append(replace(made, fail_on=Severity.WARNING))
    report = LintReport(file="Dockerfile", images=())
    keys = [fingerprint(one, report, NOWHERE) for one in plans]
    assert None not in keys
    assert all(one != other for one, other in itertools.combinations(keys, 2))
    assert fingerprint(made, report, NOWHERE) == keys[0]
