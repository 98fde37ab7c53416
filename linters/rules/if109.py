"""IF109: the script that a container starts with runs several programs, or stays in front of the one it runs."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.programs import name_of, started, unwrap
from linters.rule import Hit, Rule, Subject
from linters.rules.if101 import supervises
from linters.rules.if102 import started_service
from linters.shell import Command
from linters.start import StartScript

_SEVERAL = "give each program an image, or a target, of its own; end the script with `exec` and the one that stays"
_EXEC = 'end the script with `exec "$@"`, or `exec` and its program'
# Commands behind which nothing stays to be run.
_ENDING = frozenset(
    {
        *("exit", "return", "wait", "true", "false", ":", "echo", "printf", "set"),
        # Programs that do one thing and end.
        *("aws", "cat", "chmod", "chown", "cp", "curl", "git", "grep", "gzip", "ls", "mkdir", "mv", "mysql", "pg_dump"),
        *("psql", "rm", "rsync", "scp", "sed", "ssh", "tar", "touch", "unzip", "wget"),
    }
)
_STOPPING = frozenset({"kill", "pkill", "killall", "mysqladmin", "mariadb-admin", "pg_ctl", "stop"})


def _check(subject: Subject) -> Iterator[Hit]:
    script = subject.start
    if script is None:
        return
    supervisor = next((one for one in script.commands if supervises(started(one.argv))), None)
    if supervisor is not None:
        program = name_of(started(supervisor.argv)[0])
        message = (
            f"{script.where(supervisor)} starts {program}, a supervisor of several processes, expected one process"
        )
        yield _hit(script, message, _SEVERAL, Severity.ERROR)
        return
    behind = _left_behind(script)
    if len(behind) > 1:
        message = f"{script.where(behind[1])} leaves a second process in the background, expected one process"
        # Of those in the branches of a `case` or an `if` perhaps one alone is started.
        sure = sum(one.depth == 0 for one in behind) > 1
        yield _hit(script, message, _SEVERAL, Severity.ERROR if sure else Severity.WARNING)
    elif not _ends_in_exec(script, behind):
        last = script.commands[-1]
        message = f"{script.where(last)} runs `{last.words[0].text}` behind a shell, which may not pass SIGTERM on"
        yield _hit(script, message, _EXEC, Severity.WARNING)


def _left_behind(script: StartScript) -> list[Command]:
    """The commands that go on beside what the script ends with. Nothing where the script stops what it started."""
    names = {name_of(word) for one in script.commands for word in one.argv[:1]}
    started = [one for one in script.commands if one.after == "&" or started_service(one)]
    if "trap" not in names and (names & _STOPPING or any("stop" in one.argv for one in script.commands)):
        return []
    seen: dict[str, Command] = {}
    for one in started[_awaited(script) :]:
        seen.setdefault(" ".join(unwrap(one.argv)[:2]), one)
    return list(seen.values())


def _awaited(script: StartScript) -> int:
    """How many of the commands in the background are over before the script goes on to its program."""
    started = waited = 0
    for one in script.commands:
        if one.argv == ("wait",) and one.depth == 0:
            waited = started
        elif name_of(one.argv[0]) == "exec" and one.depth == 0:
            return waited
        started += one.after == "&" or started_service(one) is not None
    return 0


def _ends_in_exec(script: StartScript, behind: list[Command]) -> bool:
    """Whether the program takes the script's place somewhere, or there is none to do so."""
    if not script.commands or any(name_of(one.argv[0]) == "exec" for one in script.commands):
        return True
    last = script.commands[-1]
    # A script that waits for what it started and hands signals on is a wrapper of one child.
    return bool(behind) or last.depth > 0 or name_of(last.argv[0]) in _ENDING or last.after == "&"


def _hit(script: StartScript, message: str, fix: str, severity: Severity) -> Hit:
    return Hit(span=script.place, message=message, fix=fix, severity=severity, basis=script.basis)


RULE = Rule(
    id="IF109",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="A start script ends as the one program",
    check=_check,
)
