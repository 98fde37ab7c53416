"""IF212: certificates or signatures are not checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from linters.model import Principle, Severity
from linters.packages import Call, call_of
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.rules.if207 import verifies
from linters.scripts import Script
from linters.shell import Command
from linters.stages import Step

_OFF = frozenset({"0", "false", "no", "off"})
_VARIABLES = {
    "GIT_SSL_NO_VERIFY": None,  # any value but an empty one and 0
    "NODE_TLS_REJECT_UNAUTHORIZED": frozenset({"0"}),
    "PYTHONHTTPSVERIFY": frozenset({"0"}),
    "NPM_CONFIG_STRICT_SSL": _OFF,
    "npm_config_strict_ssl": _OFF,
}
_LOCAL = re.compile(r"(?:^|//|@)(?:localhost|127\.[0-9.]+|\[?::1\]?|0\.0\.0\.0)(?:[:/]|$)", re.IGNORECASE)
_ADDRESS = re.compile(r"^(?:[a-z]+://|[\w.-]+\.[a-z]{2,}(?:[:/]|$)|localhost|[0-9]+(?:\.[0-9]+){3})", re.IGNORECASE)
# Letters of curl's options that take a value: what follows one in a cluster is no option.
_CURL_VALUED = frozenset("AbcCdDeEFhHKmnoPQrtTuUwxXyYz")
_OPTIONS = {
    "wget": ("--no-check-certificate",),
    "aria2c": ("--check-certificate=false",),
    "apt": ("--allow-unauthenticated", "--force-yes"),
    "dnf": ("--nogpgcheck", "--no-gpg-checks"),
    "apk": ("--allow-untrusted",),
    "zypper": ("--no-gpg-checks", "--gpg-auto-import-keys=false"),
}
_FIX = "install the certificate or key that is missing (ca-certificates, --cacert, a key of the repository)"


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    for step in (*plan.reachable_steps("ENV", "ARG"), *plan.triggers("ENV")):
        for pair in step.instruction.assignments:
            value = step.expand(pair.value or "")
            if pair.name not in _VARIABLES or value is None or not _is_off(pair.name, value):
                continue
            if step.instruction.keyword == "ENV" or _reaches(subject, step, pair.name, value):
                yield Hit(span=step.instruction.span(pair.start, pair.end), message=_message(pair.name), fix=_FIX)
    scripts = (*subject.reachable_scripts(), *subject.entry.scripts)
    # Who checks a sum knows what came, whoever sent it; of what a later step checks it may be another's.
    checks = {script.step.stage: script.step.instruction.line for script in scripts if verifies(script)}
    for script in scripts:
        if not verifies(script):
            yield from _run(script, checked=checks.get(script.step.stage, 0) > script.step.instruction.line)


def _run(script: Script, *, checked: bool) -> Iterator[Hit]:
    told: set[str] = set()
    for command in script.commands:
        for name, value in _set_by(command).items():
            if name in _VARIABLES and "$" not in value and _is_off(name, value):
                # What stands in front of the shell is all its commands', and is told once.
                if name not in script.carried:
                    yield Hit(span=script.span_of(command), message=_message(name), fix=_FIX)
                elif name not in told:
                    yield Hit(span=script.place, message=_message(name), fix=_FIX)
                    told.add(name)
        found = _switch(command)
        if found is not None:
            what, sure = found
            yield Hit(
                span=script.span_of(command),
                message=_message(what),
                fix=_FIX,
                severity=None if sure and not checked else Severity.WARNING,
            )


def _reaches(subject: Subject, step: Step, name: str, value: str) -> bool:
    """Whether what an ARG says is in the environment of a program: of a RUN below it, where no ENV says otherwise."""
    return any(
        _set_by(command).get(name, value) == value
        for script in subject.reachable_scripts()
        if script.step.stage == step.stage
        and script.step.instruction.line > step.instruction.line
        and script.step.scope.values.get(name) == value
        for command in script.commands
    )


def _set_by(command: Command) -> dict[str, str]:
    """What a command sets by the words in front of it, or as `export`; of two words of one name the last."""
    words = (*command.assignments, *(command.argv[1:] if command.argv[0] == "export" else ()))
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _is_off(name: str, value: str) -> bool:
    values = _VARIABLES[name]
    return value.lower() in values if values is not None else value.lower() not in ("", *_OFF)


def _message(what: str) -> str:
    return f"{what} takes whatever comes, from whoever sends it: certificates or signatures are not checked"


def _switch(command: Command) -> tuple[str, bool] | None:
    """The option that turns a check off, and whether the address is surely another machine's."""
    argv = unwrap(command.argv)
    if not argv:
        return None
    program = name_of(argv[0])
    call = call_of(command)
    manager = call.manager if call else program
    if program == "curl" and any(_insecure(word) for word in argv[1:]):
        return _elsewhere("curl -k", argv)
    if manager == "pip":
        return _trusted_host(argv)
    for option in _OPTIONS.get("apt" if program in ("apt", "apt-get") else manager, ()):
        if option in argv:
            said = f"{program} {option}"
            return _elsewhere(said, argv) if program in ("wget", "aria2c") else (said, not _local_files(call))
    return _configured(program, argv)


def _local_files(call: Call | None) -> bool:
    """Whether only files are installed that are there already, perhaps built here or checked in another way."""
    return (
        call is not None
        and bool(call.packages)
        and all(
            re.search(r"^\.{0,2}/|\.(?:apk|rpm|deb)$", package) and "://" not in package for package in call.packages
        )
    )


def _insecure(word: str) -> bool:
    """Whether a word of curl's is -k, alone or in a cluster such as -fsSLk."""
    if word == "--insecure":
        return True
    if not re.match(r"-[A-Za-z#0-9]+$", word) or word.startswith("--"):
        return False
    for letter in word[1:]:
        if letter == "k":
            return True
        if letter in _CURL_VALUED:
            return False
    return False


def _elsewhere(what: str, argv: tuple[str, ...]) -> tuple[str, bool] | None:
    """None where all addresses are this machine's, or are of plain HTTP, which has nothing to check."""
    addresses = [
        word
        for before, word in pairwise(argv)
        if not word.startswith("-") and _ADDRESS.match(word) and not _is_option_for_file(what, before)
    ]
    remote = [word for word in addresses if not _LOCAL.search(word) and not word.lower().startswith("http://")]
    if addresses and not remote:
        return None
    return what, any("$" not in word.split("//", 1)[-1].split("/", 1)[0] for word in remote)


def _is_option_for_file(what: str, word: str) -> bool:
    """Whether the word behind this one is a file that is written, which may look like a host: `-o out.json`."""
    letter = "O" if what.startswith("wget") else "o"
    return word in ("--output", "--output-document") or re.match(rf"-[A-Za-z]*{letter}$", word) is not None


def _trusted_host(argv: tuple[str, ...]) -> tuple[str, bool] | None:
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--trusted-host":
            host = value if equals else (*argv, "")[index + 1]
            if host and not _LOCAL.search(host):
                return f"--trusted-host {host}", "$" not in host
        if word.startswith("global.trusted-host"):
            return "pip config set global.trusted-host", True
    return None


def _configured(program: str, argv: tuple[str, ...]) -> tuple[str, bool] | None:
    words = [word.lower() for word in argv[1:]]
    joined = " ".join(words)
    if program == "git" and any(_unverified(*pair) for pair in zip(words, [*words[1:], ""], strict=True)):
        return "http.sslVerify=false", True
    if program in ("npm", "yarn", "pnpm") and re.search(r"\bstrict-ssl(?:\s+|=)false\b", joined):
        return "strict-ssl=false", True
    if program == "conda" and re.search(r"\bssl_verify\s+(?:false|no)\b", joined):
        return "ssl_verify false", True
    return None


def _unverified(word: str, following: str) -> bool:
    """Whether git is told, by `http.sslVerify=false` or two words, not to look; `http.<address>.sslVerify` too."""
    name, equals, value = word.rpartition("=")
    if not equals:
        name, value = word, following
    key = name[max(name.find("http."), 0) :]
    return key.startswith("http.") and key.endswith(".sslverify") and value.strip("\"'") in _OFF


RULE = Rule(
    id="IF212",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="Certificates and signatures are checked",
    check=_check,
)
