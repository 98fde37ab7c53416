"""IF207: the build takes something from the network that nobody has checked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.programs import SHELLS, name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.stages import Step

_REMOTE = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"\.git(?:[#?]|$)")
_FIXED = re.compile(r"[0-9a-f]{7,64}$|v?\d+(?:\.\d+)+")
_LATEST = re.compile(r"/releases/latest/download/")
_BREAK = re.compile(r"[\s\"')]")
_FETCHERS = frozenset({"curl", "wget"})
_RUNNERS = SHELLS | {"python", "python3", "perl", "ruby", "node", "php"}
_INSIDE = re.compile(r"(?:\$\(|<\(|`)\s*(?:curl|wget)\b")
_VERIFIERS = frozenset({"sha256sum", "sha512sum", "sha1sum", "shasum", "gpgv", "cosign", "minisign", "md5sum"})


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    for step in (*plan.reachable_steps("ADD"), *plan.triggers("ADD")):
        yield from _added(step)
    for script in subject.reachable_scripts():
        if not verifies(script):
            yield from _run(script)


def verifies(script: Script) -> bool:
    """Whether a script checks a sum or a signature of what it has."""
    for command in script.commands:
        argv = unwrap(command.argv)
        program = name_of(argv[0]) if argv else ""
        if program in _VERIFIERS or (program in ("gpg", "gpg2") and {"--verify", "--decrypt"} & set(argv)):
            return True
    return False


def _added(step: Step) -> Iterator[Hit]:
    instruction = step.instruction
    if instruction.flag("checksum"):
        return
    for word in instruction.words[:-1]:
        text = word.text.strip('"')
        if not _REMOTE.match(text):
            continue
        if _GIT.search(text):
            fragment = text.partition("#")[2].partition(":")[0]
            if "$" in fragment or _FIXED.search(fragment):
                continue
            fix = "name the commit behind #, such as …git#<commit>"
        else:
            fix = "write ADD --checksum=sha256:… with the sum that you have checked"
        yield Hit(
            span=instruction.span(word.start, word.end),
            message="what this address gives on the day of the build goes into the image unchecked",
            fix=fix,
        )


def _run(script: Script) -> Iterator[Hit]:
    previous: tuple[str, ...] = ()
    piped = False
    for command in script.commands:
        argv = unwrap(command.argv)
        program = name_of(argv[0]) if argv else ""
        fetched = piped and bool(previous) and name_of(previous[0]) in _FETCHERS
        if program in _RUNNERS and (fetched or _runs_fetched(argv)):
            yield Hit(
                span=script.span_of(command),
                message=f"{program} runs whatever the address gives on the day of the build",
                fix="download the file of one version, check its sum with sha256sum -c, and run it then",
            )
        previous, piped = argv, command.after in ("|", "|&")
    for start, end in _latest(script.text):
        yield Hit(
            span=script.span(start, end),
            message="releases/latest/download is another file after the next release",
            fix="name the version: releases/download/<version>/…, and check its sum with sha256sum -c",
        )


def _latest(text: str) -> Iterator[tuple[int, int]]:
    """Where the addresses of a latest release stand."""
    for match in _LATEST.finditer(text):
        start = max(text.rfind(char, 0, match.start()) for char in " \t\n\"'=(") + 1
        end = _BREAK.search(text, match.end())
        yield start, end.start() if end else len(text)


def _runs_fetched(argv: tuple[str, ...]) -> bool:
    return "-c" in argv[1:2] and len(argv) > 2 and bool(_INSIDE.match(argv[2].strip()))


RULE = Rule(
    id="IF207",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="What comes from the network is checked",
    check=_check,
)
