"""IF407: a password of an account is written into the Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.model import Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.scripts import Script
from linters.shell import Command

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_PAIR = re.compile(r"(?<![A-Za-z0-9_.-])([A-Za-z_][A-Za-z0-9_.-]*):([^\s:$`'\"\\]+)")
_HERE_STRING = re.compile(r"<<<\s*[\"']?([A-Za-z_][\w.-]*:[^\s$`'\"]+)")
_NEAR = 80
_MADE = re.compile(r"^\$\((?:openssl passwd|mkpasswd|perl -e)\b[^$`()]*(?:\([^$`()]*\)[^$`()]*)?\)$")
# Values that lock an account, and are no password.
_LOCKS = frozenset({"", "*", "!", "!!", "x", "*LK*", "*NP*"})
_FIX = "leave it out; nobody logs in to a container, and `docker exec` needs no password"


def _check(subject: Subject) -> Iterator[Hit]:
    for script in subject.run_scripts():
        previous: Command | None = None
        for command in script.commands:
            found = _piped(previous, command) if previous else None
            secret = found or _option(command)
            if secret is not None:
                whole = (previous or command) if found else command
                yield _hit(script, min(whole.start, command.start), command.end, secret)
            previous = command
        for match in _HERE_STRING.finditer(script.text):
            start = script.text.rfind("chpasswd", max(0, match.start() - _NEAR), match.start())
            if start >= 0:
                yield _hit(script, start, match.end(), match.group(1))


def _piped(previous: Command, command: Command) -> str | None:
    """`echo root:password | chpasswd`, `printf … | passwd root`: what is given, where it is written out."""
    argv, source = unwrap(command.argv), unwrap(previous.argv)
    if previous.after not in ("|", "|&") or not argv or not source or name_of(source[0]) not in ("echo", "printf"):
        return None
    said = " ".join(word for word in source[1:] if not re.match(r"-[neE]+$", word))
    program = name_of(argv[0])
    if program == "chpasswd":
        match = _PAIR.search(said)
        return match.group() if match and match.group(2) not in _LOCKS and "$" not in said else None
    if program == "passwd" and not {"-l", "-d", "--lock", "--delete"} & set(argv):
        return said if said and "$" not in said and "`" not in said else None
    return None


def _option(command: Command) -> str | None:
    """`usermod -p`, `useradd --password`: the password where it is written out."""
    argv = unwrap(command.argv)
    if not argv or name_of(argv[0]) not in ("usermod", "useradd"):
        return None
    for index, word in enumerate(argv[1:], start=1):
        name, equals, value = word.partition("=")
        if name == "--password" and equals:
            return value if _is_written(value) else None
        if name == "--password" or re.match(r"-[mMrNlUoDbBs]*p$", word):
            value = (*argv, "")[index + 1]
            return value if _is_written(value) else None
    return None


def _is_written(value: str) -> bool:
    if value in _LOCKS:
        return False
    # A hash begins with a dollar sign, too: $6$salt$…
    return bool(_MADE.match(value) or re.match(r"\$[0-9a-z]+\$", value)) or not re.search(r"[$`]", value)


def _hit(script: Script, start: int, end: int, secret: str) -> Hit:
    return Hit(
        span=script.span(start, end),
        message="the password of an account is written here, the same for all who have the image",
        fix=_FIX,
        secrets=(secret,),
    )


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.account import passwords  # noqa: PLC0415 - who judges a file has no use for it

    return passwords(evidence)


RULE = Rule(
    id="IF407",
    severity=Severity.ERROR,
    principle=Principle.NON_ROOT,
    title="No account has a password from the Dockerfile",
    check=_check,
    image=_image,
)
