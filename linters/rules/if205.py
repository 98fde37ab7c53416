"""IF205: a volume over the system's folders, or over the program itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if204 import volume_paths
from linters.stages import Step

_SYSTEM = frozenset(
    {
        *("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/root", "/sbin", "/sys", "/usr"),
        *("/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share", "/var"),
    }
)
_KERNEL = ("/dev/", "/proc/", "/sys/")


def _check(subject: Subject) -> Iterator[Hit]:
    code = _code(subject)
    for step in subject.plan.steps("VOLUME"):
        for path in volume_paths(step):
            if path in _SYSTEM or path.startswith(_KERNEL):
                yield _hit(step, f"{path} is the system's own: a volume there hides what the image holds")
            elif path in code:
                yield _hit(step, f"{path} holds the program: a volume there keeps the old one when the image is new")


def _code(subject: Subject) -> set[str]:
    """The working directories into which the build copies."""
    found = set()
    for copy in subject.copies:
        folder = posixpath.normpath(copy.step.workdir)
        if copy.destination == folder and copy.folder and folder.startswith("/") and folder != "/":
            found.add(folder)
    return found


def _hit(step: Step, message: str) -> Hit:
    instruction = step.instruction
    start = instruction.arguments_start
    return Hit(
        span=instruction.span(start, start + len(instruction.arguments)),
        message=message,
        fix="leave it out, or name the folder of the data alone; mount what is to be kept at deploy",
    )


RULE = Rule(
    id="IF205",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="A volume holds data, not the program",
    check=_check,
)
