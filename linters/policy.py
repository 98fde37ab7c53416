"""What a project asks of the linter: profile, severities, options, waivers, allowed registries, budgets.

A policy is a value that `check` takes; where it is read from is the caller's affair. `faults` compares it with the
rules that there are.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from linters.model import Severity
from linters.suggest import meant_rule

if TYPE_CHECKING:
    from linters.rule import Option, Rule

OptionValue = bool | int | str | tuple[str, ...]
_FOREIGN = re.compile(r"(?:DL|SC)[0-9]{4}$")
_NOTHING: Mapping[str, Severity | None] = MappingProxyType({})
_NO_OPTIONS: Mapping[str, Mapping[str, OptionValue]] = MappingProxyType({})


class Profile(StrEnum):
    """How much is asked. `hadolint` is hadolint as it comes, with our rules beside it."""

    STRICT = "strict"
    DEFAULT = "default"
    HADOLINT = "hadolint"


RAISED: Mapping[Profile, Mapping[str, Severity]] = {
    # What decides whether a build of tomorrow is that of today.
    Profile.STRICT: {"IF202": Severity.ERROR, "IF203": Severity.ERROR},
}
"""Severities that a profile changes; a policy's own win over them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """One rule set aside for a reason up to a day, inclusive; in the files that match one of `paths`, or in all."""

    rule: str
    reason: str
    until: datetime.date
    paths: tuple[str, ...] = ()

    def holds(self, today: datetime.date) -> bool:
        """Whether it still counts."""
        return today <= self.until

    def means(self, rule: str, file: str) -> bool:
        """Whether it speaks of this rule in this file."""
        if self.rule.upper() != rule.upper():
            return False
        from fnmatch import fnmatchcase  # noqa: PLC0415 - waivers with paths are few

        plain = file.removeprefix("./")
        return not self.paths or any(fnmatchcase(plain, pattern.removeprefix("./")) for pattern in self.paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A project's wishes. `severities` maps an id to a severity, or to None for a rule that is off; `options` an id to
    its options. `registries` are the hosts that images may come from, empty for all. Budgets are in bytes.
    `require_measured` lets what was measured on the running image block. `comments` says whether ignore comments count.
    """

    profile: Profile = Profile.DEFAULT
    severities: Mapping[str, Severity | None] = field(default_factory=lambda: _NOTHING)
    options: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=lambda: _NO_OPTIONS)
    waivers: tuple[Waiver, ...] = ()
    registries: tuple[str, ...] = ()
    size_budget: int | None = None
    waste_budget: int | None = None
    require_measured: bool = False
    comments: bool = True

    @property
    def strict(self) -> bool:
        """Whether every exception needs its reason."""
        return self.profile is Profile.STRICT

    def on(self, rule: str) -> bool:
        """Whether a rule has a say."""
        return self.severities.get(rule, Severity.ERROR) is not None

    def severity(self, rule: str, own: Severity) -> Severity:
        """The severity of a finding that would have `own`."""
        wanted = self.severities.get(rule)
        return wanted or RAISED.get(self.profile, {}).get(rule, own)

    def names(self, rule: str, option: str) -> tuple[str, ...]:
        """An option that is a list of texts; empty where it is not set."""
        value = self.options.get(rule, {}).get(option, ())
        return value if isinstance(value, tuple) else ()

    def number(self, rule: str, option: str, default: int) -> int:
        """An option that is a number."""
        value = self.options.get(rule, {}).get(option, default)
        return value if isinstance(value, int) else default

    def text(self, rule: str, option: str, default: str) -> str:
        """An option that is a text."""
        value = self.options.get(rule, {}).get(option, default)
        return value if isinstance(value, str) else default


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with a policy: the path of the key, what was expected, and the next step."""

    path: tuple[str, ...]
    message: str
    hint: str


def faults(policy: Policy, catalog: Iterable[Rule]) -> Iterator[Fault]:
    """Rules and options that do not exist, and values of the wrong kind. Paths begin with `rules` or `waivers`."""
    known = {rule.id: rule for rule in catalog}
    for name in [*policy.severities, *(name for name in policy.options if name not in policy.severities)]:
        fault = unknown_rule(name, known)
        if fault:
            yield Fault(path=("rules", name), message=fault[0], hint=fault[1])
        elif policy.severities.get(name) is not None and (passed_over := _left_out(name, policy.profile)):
            yield passed_over
    for name, options in policy.options.items():
        for key, value in options.items():
            if name in known or _FOREIGN.match(name):
                yield from _option(name, key, value, known[name].options if name in known else ())
    for index, waiver in enumerate(policy.waivers):
        fault = unknown_rule(waiver.rule.upper(), known)
        if fault:
            yield Fault(path=("waivers", str(index), "rule"), message=fault[0], hint=fault[1])


def _near(name: str, known: Iterable[str]) -> str | None:
    import difflib  # noqa: PLC0415 - loaded for a policy that is wrong

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _left_out(name: str, profile: Profile) -> Fault | None:
    """A severity for what hadolint is not asked would be passed over."""
    if not _FOREIGN.match(name):
        return None
    from linters.hadolint import left_out  # noqa: PLC0415 - it takes the profiles from here

    codes = left_out(profile)
    if name not in codes:
        return None
    ours = codes[name]
    hint = f"{ours} says the same" if ours else f'profile = "{Profile.HADOLINT.value}" asks for all that hadolint knows'
    return Fault(path=("rules", name), message=f"the profile {profile.value} does not ask for {name}", hint=hint)


def unknown_rule(name: str, known: Iterable[str]) -> tuple[str, str] | None:
    """What is wrong with a rule's id, and a hint; None where it is one of `known`, hadolint's or ShellCheck's."""
    names = list(known)
    if name in names or _FOREIGN.match(name):
        return None
    near = meant_rule(name, names) or _near(name.upper(), names)
    hint = f"did you mean `{near}`?" if near else "imageforge rules lists them; hadolint's are DL…, ShellCheck's SC…"
    return f"there is no rule `{name}`", hint


def _option(rule: str, key: str, value: OptionValue, known: tuple[Option, ...]) -> Iterator[Fault]:
    found = next((option for option in known if option.name == key), None)
    names = [option.name for option in known]
    if found is None:
        near = _near(key, names)
        listed = f"its options: severity, {', '.join(names)}" if names else "it has no options but severity"
        hint = f"did you mean `{near}`?" if near else listed
        yield Fault(path=("rules", rule, key), message=f"{rule} has no option `{key}`", hint=hint)
    elif type(value) is not type(found.default):
        yield Fault(
            path=("rules", rule, key),
            message=f"expected {_KINDS[type(found.default)]}, got {value!r}",
            hint=f"the default is {found.default!r}",
        )
    elif found.choices and value not in found.choices:
        yield Fault(
            path=("rules", rule, key),
            message=f"expected one of {', '.join(found.choices)}, got {value!r}",
            hint=f"the default is {found.default!r}",
        )


_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", str: "a text", tuple: "a list of texts"}
