"""As whom an image's program runs, and who may log in: USER against the accounts that the image has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.model import Severity
from linters.programs import DROPPERS
from linters.rule import ImageHit

_DROPPERS = re.compile(rf"(?<![\w-])({'|'.join(sorted(DROPPERS))})(?![\w-])")
ROOT = 0
_DIGITS = 10
"""Of the largest number of an account; an image may say anything."""


def user_id(evidence: Evidence) -> int | None:
    """The number of the configured user; None where it is a name that the image does not tell."""
    name = evidence.facts.user.partition(":")[0].strip()
    if not name:
        return ROOT
    if name.isascii() and name.isdecimal():
        return int(name[:_DIGITS]) if name.strip("0") else ROOT
    if name == "root":
        return ROOT
    return accounts(evidence.passwd or "").get(name)


def accounts(passwd: str) -> dict[str, int]:
    """Names and numbers out of the text of /etc/passwd; the first of a name counts, as for the C library."""
    found: dict[str, int] = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isascii() and fields[2].isdecimal() and len(fields[2]) <= _DIGITS:
            found.setdefault(fields[0], int(fields[2]))
    return found


def runs_as_root(evidence: Evidence) -> Iterator[ImageHit]:
    """IF402. An image whose entry gives the rights up by itself is judged milder: only a run shows what becomes of
    it."""
    if user_id(evidence) != ROOT:
        return
    facts = evidence.facts
    said = f"USER is {facts.user}" if facts.user else "neither the Dockerfile nor its base image sets USER"
    fix = "add USER 10001 before CMD, and have files that it writes belong to 10001"
    words = (*facts.entrypoint, *facts.cmd)
    dropper = _DROPPERS.search(" ".join(words)) or _DROPPERS.search(evidence.entry)
    if dropper is not None:
        yield ImageHit(
            message=f"the image starts as root ({said}) and gives it up by {dropper[1]}, which only a run can show",
            fix=fix,
            severity=Severity.WARNING,
            excerpt=facts.user,
        )
        return
    yield ImageHit(message=f"the image runs as root: {said}", fix=fix, severity=Severity.ERROR, excerpt=facts.user)


def named_user(evidence: Evidence) -> Iterator[ImageHit]:
    """IF403, with the number that the name has; a name that nobody has is an error, since no container starts."""
    name = evidence.facts.user.partition(":")[0].strip()
    if not name or name == "root" or (name.isascii() and name.isdecimal()):
        return
    number = user_id(evidence)
    if number is None and evidence.passwd is not None:
        yield ImageHit(
            message=f"the user {name} is not in the image's /etc/passwd, so that no container of it starts",
            fix=f"add the account before USER, or write its number in the place of {name}",
            severity=Severity.ERROR,
            excerpt=name,
        )
    elif number != ROOT:
        yield ImageHit(
            message=f"the user {name} is a name, and a Kubernetes node cannot prove that a name is not root",
            fix=f"USER {number}" if number is not None else "USER and the account's number",
            excerpt=name,
        )


def passwords(evidence: Evidence) -> Iterator[ImageHit]:
    """IF407: accounts that anybody can log in to, or whoever has the image's layers can guess."""
    facts = evidence.facts
    theirs = facts.base is not None and evidence.shadow_layer < facts.base
    for line in (evidence.shadow or "").splitlines():
        name, _, rest = line.partition(":")
        if ":" not in rest:
            continue
        password = rest.partition(":")[0]
        severity = Severity.WARNING if theirs else None
        if not password and name:
            yield ImageHit(
                message=f"{name} has an empty password",
                fix=f"passwd -l {name}",
                severity=severity,
                excerpt="/etc/shadow",
            )
        elif password.startswith("$") or re.fullmatch(r"[A-Za-z0-9./]{13}", password):
            yield ImageHit(
                message=f"{name} has a password that all who have the image can try to guess",
                fix=f"do not set it; passwd -l {name} locks the account",
                severity=severity,
                excerpt="/etc/shadow",
            )
