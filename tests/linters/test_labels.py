"""How often the rules are right, by labels that a reader gave: `labels.tsv`.

They are of three public repositories, which are not kept here: docker/awesome-compose at 18f59bdb09ec,
jessfraz/dockerfiles at 8ff991327fd1 and moby/buildkit at 73ed6825c4b7. All findings of the level error in their
Dockerfiles are labelled, and as many of the warnings, drawn with the seed 6, as make two hundred with them. With
CORPORA set to a folder that holds the three (awesome-compose, dockerfiles, buildkit) it is looked whether the labels
are those of the rules of today.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from linters import DockerfileError, Finding, Job, own_findings, rules

LABELS = Path(__file__).with_name("labels.tsv")
REPOSITORIES = ("awesome-compose", "dockerfiles", "buildkit")
RIGHT = 0.95
"""The share of the findings of the level error that must be."""


def rows() -> list[dict[str, str]]:
    with LABELS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def dockerfiles(folder: Path) -> list[Path]:
    """Those of the repositories, without the texts that BuildKit's parser is tested with."""
    found = [path for name in REPOSITORIES for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return [path for path in found if _is_dockerfile(path.name) and "testfiles" not in str(path.parent)]


def _is_dockerfile(name: str) -> bool:
    plain = name in ("Dockerfile", "Containerfile") or name.startswith("Dockerfile.") or name.endswith(".Dockerfile")
    return plain and not name.endswith(".dockerignore")


def found_in(folder: Path) -> list[Finding]:
    """What our rules say of all of them, each in its own folder."""
    found: list[Finding] = []
    for path in dockerfiles(folder):
        try:
            found += own_findings(Job(dockerfile=path, name=str(path.relative_to(folder)), context=path.parent))
        except DockerfileError:
            continue
    return found


def test_the_labels_are_labels() -> None:
    known = {rule.id for rule in rules()}
    for row in rows():
        assert row["rule"] in known, row
        assert row["label"] in ("right", "wrong"), row
        assert len(row["reason"]) > 3, row
        assert int(row["line"]) >= 0, row
    assert len(rows()) >= 190


def test_errors_are_right() -> None:
    labels = Counter(row["label"] for row in rows() if row["level"] == "error")
    assert labels["right"] >= RIGHT * labels.total()
    assert labels.total() > 100


@pytest.mark.skipif("CORPORA" not in os.environ, reason="the repositories are not at hand")
def test_they_are_those_of_todays_rules() -> None:
    found = found_in(Path(os.environ["CORPORA"]))
    labelled = {(row["rule"], row["file"], int(row["line"])) for row in rows()}
    assert {(one.rule, one.file, one.line) for one in found} >= labelled
    errors = {(one.rule, one.file, one.line) for one in found if one.severity.value == "error"}
    assert errors <= labelled
