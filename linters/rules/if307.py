"""IF307: apt installs what the packages merely recommend."""

from __future__ import annotations

from collections.abc import Iterator

from linters import edits
from linters.model import Principle, Severity
from linters.packages import Call, Verb
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script


def _check(subject: Subject) -> Iterator[Hit]:
    if _configured(subject):
        return
    for script in subject.run_scripts():
        for call in subject.calls(script):
            if _recommends(call):
                yield _hit(subject, script, call)


def _recommends(call: Call) -> bool:
    if call.manager != "apt" or call.verb is not Verb.INSTALL or not call.packages:
        return False
    if name_of(unwrap(call.command.argv)[0]) not in ("apt-get", "apt", "aptitude"):
        return False
    words = " ".join(call.command.argv).lower()
    return not any(said in words for said in ("no-install-recommends", "install-recommends=", "--without-recommends"))


def _configured(subject: Subject) -> bool:
    """Whether apt is told once for all, in a file of its own or by a variable that is a list of options."""
    return any("install-recommends" in line.lower() and "apt::" in line.lower() for line in subject.dockerfile.lines)


def _hit(subject: Subject, script: Script, call: Call) -> Hit:
    verb = next(word for word in call.command.words if word.text in ("install", "build-dep"))
    return Hit(
        span=script.span_of(call.command),
        message="apt installs what the packages recommend, too, often more than what was asked for",
        fix="write apt-get install --no-install-recommends, and name what is needed",
        edits=edits.in_script(subject.dockerfile, script, verb.end, verb.end, " --no-install-recommends"),
    )


RULE = Rule(
    id="IF307",
    severity=Severity.INFO,
    principle=Principle.LIGHTWEIGHT,
    title="apt installs only what is asked for",
    check=_check,
    covers=frozenset({"DL3015"}),
)
