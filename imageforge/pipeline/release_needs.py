"""What a release command needs of the manifests that an app's repository brings, before anything of the release is
there; pure.

Its ConfigMaps are copies under the Job's own name: those of the release before are read by what runs, and stay as they
are if the command fails. A copy is the app's, and of no release, so that the next one takes it away. Its claims are
themselves, for there can be no two of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from imageforge.pipeline.manifests import CLAIM
from imageforge.pipeline.references import references
from runtime import dump_manifests

CONFIG = "ConfigMap"
_FIELDS = ("configMap", "configMapRef", "configMapKeyRef")
_LONGEST = 253


def with_needs(manifests: str, job: str) -> str:
    """The Job, as YAML, with what it takes of the release's manifests."""
    (made,) = yaml.safe_load_all(job)
    brought = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(manifests)}
    taken = references(made)
    names, needs = dict[str, str](), []
    for kind, name in sorted(taken & brought.keys()):
        if kind == CONFIG:
            names[name] = f"{made['metadata']['name']}-{name}"[:_LONGEST].rstrip("-.")
            needs.append(copy.deepcopy(brought[kind, name]))
            needs[-1]["metadata"]["name"] = names[name]
    claims = {name for kind, name in taken if kind == CLAIM}
    while more := {name for claim in claims for name in _filled_with(brought.get((CLAIM, claim)))} - claims:
        claims |= more
    needs += [brought[CLAIM, name] for name in sorted(claims) if (CLAIM, name) in brought]
    _rename(made["spec"], names)
    return dump_manifests([*needs, made])


def _filled_with(claim: Mapping[str, Any] | None) -> set[str]:
    return {name for kind, name in references(claim or {}) if kind == CLAIM}


def _rename(value: object, names: Mapping[str, str]) -> None:
    """Give ConfigMaps that are named below a value their other names."""
    if isinstance(value, list):
        for item in value:
            _rename(item, names)
    if isinstance(value, dict):
        for field, inner in value.items():
            if field in _FIELDS and isinstance(inner, dict) and inner.get("name") in names:
                inner["name"] = names[inner["name"]]
            _rename(inner, names)
