"""The rules, found by looking: every module `ifNNN` in `linters.rules` holds one as RULE."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from linters import rules as _package
from linters.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """All rules by id."""
    found = []
    for module in pkgutil.iter_modules(_package.__path__):
        if module.name.startswith("if"):
            rule = importlib.import_module(f"{_package.__name__}.{module.name}").RULE
            if not isinstance(rule, Rule) or rule.id.lower() != module.name:
                raise TypeError(f"linters.rules.{module.name}: RULE is missing or named otherwise")
            found.append(rule)
    return tuple(sorted(found, key=lambda rule: rule.id))


def rule(rule_id: str) -> Rule:
    """The rule of that id, which there must be."""
    return next(rule for rule in rules() if rule.id == rule_id)
