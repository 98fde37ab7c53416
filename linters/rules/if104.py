"""IF104: a daemon that a container has no use for is installed."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Span
from linters.model import Principle, Severity
from linters.packages import Verb, bare_name, purged
from linters.programs import name_of, unwrap
from linters.rule import Hit, Option, Rule, Subject

_SYSTEM = frozenset({"apt", "apk", "dnf", "zypper"})
_DAEMONS = {
    "openssh-server": ("sshd", "`docker exec` opens a shell in a running replica"),
    "openssh-server-pam": ("sshd", "`docker exec` opens a shell in a running replica"),
    "dropbear": ("dropbear", "`docker exec` opens a shell in a running replica"),
    "cron": ("cron", "let a job of the platform start a container of its own"),
    "cronie": ("crond", "let a job of the platform start a container of its own"),
    "dcron": ("crond", "let a job of the platform start a container of its own"),
    "fcron": ("fcron", "let a job of the platform start a container of its own"),
    "rsyslog": ("rsyslogd", "write logs to the standard output"),
    "syslog-ng": ("syslog-ng", "write logs to the standard output"),
    "supervisor": ("supervisord", "one image, or one target, for each service"),
    "runit": ("runsvdir", "one image, or one target, for each service"),
    "monit": ("monit", "one image, or one target, for each service"),
}
_SSH = frozenset({"sshd", "dropbear"})


def _check(subject: Subject) -> Iterator[Hit]:
    allowed = subject.policy.names("IF104", "allow")
    for where, package, fix in _installed(subject):
        if package in allowed:
            continue
        yield Hit(
            span=where,
            message=f"{package} is installed, a daemon that would run beside the program",
            fix=f"leave it out: {fix}",
        )


def installs_ssh(subject: Subject) -> bool:
    """Whether an SSH server is installed beside the program."""
    return any(_DAEMONS[package][0] in _SSH for _, package, _ in _installed(subject))


def _installed(subject: Subject) -> Iterator[tuple[Span, str, str]]:
    main = _programs(subject)
    for script in subject.run_scripts():
        found = subject.calls(script)
        removals = [call for call in found if call.verb is Verb.REMOVE]
        for call in found:
            if call.verb is not Verb.INSTALL or (call.manager not in _SYSTEM and call.manager != "pip"):
                continue
            for word in call.command.words:
                package = bare_name(word.text)
                if package not in _DAEMONS or word.text not in call.packages:
                    continue
                if call.manager == "pip" and package != "supervisor":
                    continue
                program, fix = _DAEMONS[package]
                # The daemon may be what the container is for.
                if program not in main and not purged(removals, call, [package]):
                    yield script.span(word.start, word.end), package, fix


def _programs(subject: Subject) -> set[str]:
    """The programs that the container starts in the foreground; a supervisor has a rule of its own."""
    names = set()
    argv = subject.entry.argv
    if argv:
        names.add(name_of((*unwrap(argv), "")[0]))
    commands = [command for script in subject.entry.scripts for command in script.commands[-1:]]
    commands += subject.start.commands if subject.start is not None else ()
    names |= {name_of((*unwrap(command.argv), "")[0]) for command in commands}
    if names & {"cron", "crond"}:
        names |= {"cron", "crond"}
    return names - {"supervisord", "runsvdir", "monit"}


RULE = Rule(
    id="IF104",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="No daemon is installed beside the program",
    check=_check,
    options=(Option(name="allow", default=(), help="packages that may be in the image"),),
)
