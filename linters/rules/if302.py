"""IF302: compilers and headers stay in the image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.model import Principle, Severity
from linters.packages import Call, Verb, bare_name, purged
from linters.rule import Hit, ImageHit, Option, Rule, Subject
from linters.rules.if303 import is_workshop

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_TOOLS = frozenset(
    {
        "autoconf",
        "automake",
        "bison",
        "build-base",
        "build-essential",
        "cargo",
        "clang",
        "cmake",
        "flex",
        "g++",
        "gcc",
        "gcc-c++",
        "go",
        "golang",
        "golang-go",
        "gradle",
        "libtool",
        "make",
        "maven",
        "meson",
        "ninja-build",
        "pkg-config",
        "pkgconf",
        "rust",
        "rustc",
    }
)
_HEADERS = re.compile(r".+-(?:dev|devel|headers)$")
_BUILDERS = re.compile(
    r"(?:^|/)(?:buildpack-deps|golang|rust|gcc|maven|gradle|haskell|swift|emscripten)(?:[:@]|$)|[-:]dev(?:el)?(?:[-@]|$)"
)
_WORKSHOP = re.compile(r"(?:^|[-_.])(?:dev|devel|development|devcontainer|test|tests|ci|build|builder|lint)(?:$|[-_.])")
_MANAGERS = frozenset({"apt", "apk", "dnf", "zypper"})


def _check(subject: Subject) -> Iterator[Hit]:
    target = subject.plan.target
    if _WORKSHOP.search(target.name or "") or _BUILDERS.search(subject.plan.base_image or "") or is_workshop(subject):
        return
    allowed = subject.policy.names("IF302", "allow")
    for script in subject.run_scripts():
        found = subject.calls(script)
        removals = tuple(call for call in found if call.verb is Verb.REMOVE)
        for call in found:
            tools = [tool for tool in _tools(call) if tool not in allowed]
            if tools and not purged(removals, call, tools):
                named = ", ".join(tools[:4]) + (" …" if len(tools) > 4 else "")
                yield Hit(
                    span=script.span_of(call.command),
                    message=f"build tools stay in the image: {named}",
                    fix="install them in a build stage, and COPY --from it what was built",
                )


def _tools(call: Call) -> list[str]:
    if call.verb is not Verb.INSTALL or call.manager not in _MANAGERS:
        return []
    names = [bare_name(package) for package in call.packages]
    return [name for name in names if name in _TOOLS or _HEADERS.match(name)]


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.remains import build_tools  # noqa: PLC0415 - who judges a file has no use for it

    return build_tools(evidence)


RULE = Rule(
    id="IF302",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="Build tools stay in a build stage",
    check=_check,
    image=_image,
    options=(Option(name="allow", default=(), help="packages that may stay in the image"),),
)
