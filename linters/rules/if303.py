"""IF303: the image is built on the one that has everything for building."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.programs import SHELLS, name_of, unwrap
from linters.rule import Hit, Rule, Subject

_SDK = re.compile(
    r"(?:^|/)(?:golang|rust|maven|gradle|gcc)(?:[:@]|$)|(?:^|/)dotnet(?:/core)?/(?:nightly/)?sdk(?:[:@]|$)"
)
_JDK = re.compile(r"[:-][^/]*\bjdk\b")
_WORKSHOP = re.compile(
    r"(?:^|[-_.])(?:dev|devel|develop|development|devcontainer|test|tests|ci|build|builder|lint)(?:$|[-_.])"
)
# What is started in an image that is meant to be worked in.
_WORKING = SHELLS | {
    *("go", "cargo", "rustc", "make", "cmake", "ninja", "gcc", "g++", "cc", "c++", "clang", "distccd"),
    *("mvn", "gradle", "tail", "sleep"),
}


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    base = plan.base_image or ""
    main = _main(subject)
    if _WORKSHOP.search(plan.target.name or "") or not main or is_workshop(subject):
        return
    java = name_of(main[0]) == "java" and "-jar" in main
    if _SDK.search(base) or (java and _JDK.search(base)):
        start = plan.root.start
        word = start.words[0]
        yield Hit(
            span=start.span(word.start, word.end),
            message=f"{base} brings compilers and build tools that the program does not need to run",
            fix="build in this stage, and COPY --from it into a stage on "
            + ("a JRE of the same version" if java else "a runtime image, distroless or scratch"),
        )


def is_workshop(subject: Subject) -> bool:
    """Whether the container starts a shell or a compiler: then building is what it is for."""
    main = _main(subject)
    if not main or name_of(main[0]) not in _WORKING:
        return False
    # A shell that is given a script is none to work in.
    return name_of(main[0]) not in SHELLS or all(word.startswith("-") for word in main[1:])


def _main(subject: Subject) -> tuple[str, ...]:
    """The command line of the program, as far as the file has it."""
    argv = subject.entry.argv
    inner = unwrap(argv or ())
    if inner and name_of(inner[0]) not in SHELLS:
        return inner
    for script in subject.entry.scripts:
        for command in script.commands[-1:]:
            return unwrap(command.argv)
    return inner


RULE = Rule(
    id="IF303",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A program runs on a runtime image",
    check=_check,
)
