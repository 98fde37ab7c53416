"""Every rule's page: it has its parts, its bad examples trigger the rule, its good ones do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from linters import Finding, Job, Policy, Rule, rules
from linters.catalog import rules as catalog
from linters.check import SYNTAX, own_findings
from linters.dockerfile import parse

POLICIES = {"IF022": Policy(registries=("registry.example.org", "docker.io/library"))}
"""What the page says that the project asks for."""
_PARTS = ["Why", "Bad", "Good", "Fix"]


def _part(rule: Rule, name: str) -> str:
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", rule.page, re.MULTILINE | re.DOTALL)
    assert match, f"{rule.id} has no part {name}"
    return match.group(1)


_BLOCK = re.compile(r"^```(dockerfile|file:\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Files = dict[str, str]


def _examples(kind: str) -> list[ParameterSet]:
    """The examples of a part, each with the files of its context: the blocks `file:…` that follow it."""
    found = []
    for rule in catalog():
        if rule.check is None:  # its examples are built, or run
            continue
        blocks: list[tuple[str, Files]] = []
        for name, text in _BLOCK.findall(_part(rule, kind)):
            if name == "dockerfile":
                blocks.append((text, {}))
            else:
                blocks[-1][1][name.removeprefix("file:")] = text
        assert blocks, f"{rule.id} has no example in part {kind}"
        for number, (text, files) in enumerate(blocks, start=1):
            found.append(pytest.param(rule, text, files, id=f"{rule.id}-{number}"))
    return found


def _found(rule: Rule, text: str, files: Files, folder: Path) -> list[Finding]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    policy = POLICIES.get(rule.id, Policy())
    context = folder if files else None
    job = Job(dockerfile=folder / "Dockerfile", name="Dockerfile", text=text, policy=policy, context=context)
    return [one for one in own_findings(job) if one.rule == rule.id]


@pytest.mark.parametrize(("rule", "text", "files"), _examples("Bad"))
def test_bad_example_triggers_its_rule(rule: Rule, text: str, files: Files, tmp_path: Path) -> None:
    found = _found(rule, text, files, tmp_path)
    assert found
    assert all(one.fix and one.excerpt and one.message for one in found)


@pytest.mark.parametrize(("rule", "text", "files"), _examples("Good"))
def test_good_example_does_not_trigger_its_rule(rule: Rule, text: str, files: Files, tmp_path: Path) -> None:
    assert _found(rule, text, files, tmp_path) == []


@pytest.mark.parametrize(("rule", "text", "files"), [*_examples("Bad"), *_examples("Good")])
def test_examples_are_dockerfiles(rule: Rule, text: str, files: Files) -> None:
    # Of the rule of syntax the bad examples are what others must not be.
    assert not parse(text).problems or rule.id == SYNTAX


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_page_has_its_parts(rule: Rule) -> None:
    assert re.findall(r"^## (.+)$", rule.page, re.MULTILINE) == _PARTS
    assert rule.page.startswith(f"# {rule.id}: {rule.title}\n")


def test_every_page_has_a_rule_and_every_rule_a_page() -> None:
    folder = Path(__file__).parents[2] / "linters" / "rules"
    assert {page.stem.upper() for page in folder.glob("*.md")} == {rule.id for rule in rules()}


def test_each_design_rule_is_argued_for() -> None:
    assert {rule.principle.value for rule in rules()} >= {"one process", "immutable", "lightweight", "non-root"}
