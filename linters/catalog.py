"""The rules, found by looking: every module `ifNNN` in `linters.rules` holds one as RULE."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from linters import rules as _package
from linters.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """All rules by id."""
    found = []
    for file in Path(__file__).with_name("rules").glob("if*.py"):
        name = file.stem
        rule = importlib.import_module(f"{_package.__name__}.{name}").RULE
        if not isinstance(rule, Rule) or rule.id.lower() != name:
            raise TypeError(f"linters.rules.{name}: RULE is missing or named otherwise")
        found.append(rule)
    return tuple(sorted(found, key=lambda rule: rule.id))


def rule(rule_id: str) -> Rule:
    """The rule of that id, which there must be."""
    return next(rule for rule in rules() if rule.id == rule_id)
