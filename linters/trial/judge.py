"""From what was seen of a trial's containers to a verdict: pure."""

from __future__ import annotations

import datetime
import re
import signal as signals
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from linters.catalog import rule
from linters.image.settle import settle
from linters.model import Basis, Finding, LintReport, Severity
from linters.policy import Policy
from linters.trial.families import families, steady
from linters.trial.model import (
    Change,
    Listener,
    Measure,
    Observation,
    ProcessSeen,
    Result,
    Run,
    TrialReport,
    Verdict,
)

SHOWN = 6
_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
)  # fmt: skip
"""By their bits (capabilities(7))."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A verdict with its measurements and findings; `reason` where nothing could be measured, and the `hint` where
    there is another way to a judgement."""

    verdict: Verdict
    reason: str = ""
    hint: str = ""
    last_words: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()


def judge(seen: Observation, name: str, port: int) -> Judgement:
    """What the runs of an image called `name` say, whose program was told to listen on `port`."""
    run = seen.writable
    if not run.up:
        return Judgement(
            verdict=Verdict.UNMADE,
            reason=_why_not_up(run, seen.bare),
            hint=_other_way(run, name),
            last_words=run.last_words,
        )
    writer = _Writer(seen, name, port)
    parts = [
        *writer.rights(),
        *writer.read_only(),
        *writer.changes(),
        *writer.processes(),
        *writer.stopping(),
        *writer.user(),
        *writer.ports(),
    ]
    measures = tuple(part for part in parts if isinstance(part, Measure))
    findings = tuple(part for part in parts if isinstance(part, Finding))
    verdict, reason = _verdict(measures, findings, Severity.ERROR)
    return Judgement(verdict=verdict, reason=reason, measures=measures, findings=findings)


def by_policy(
    report: TrialReport, policy: Policy, *, fail_on: Severity, today: datetime.date | None = None
) -> tuple[TrialReport, LintReport]:
    """What a trial comes to by what a project asks for: the report with the findings that count and the verdict that
    they make, and those that do not, with notes. What could not be measured stays so, whatever is waived."""
    settled = settle(LintReport(file=report.name, findings=report.findings), policy, file="Dockerfile", today=today)
    verdict, reason = report.verdict, report.reason
    if verdict is not Verdict.UNMADE or settled.at_least(fail_on):
        verdict, reason = _verdict(report.measures, settled.findings, fail_on)
    return replace(report, findings=settled.findings, verdict=verdict, reason=reason), settled


def _verdict(measures: Sequence[Measure], findings: Sequence[Finding], fail_on: Severity) -> tuple[Verdict, str]:
    """And, where it is neither passed nor refused, why."""
    if any(finding.severity.rank <= fail_on.rank for finding in findings):
        return Verdict.REFUSED, ""
    blind = [measure.name for measure in measures if measure.result is Result.UNMEASURED]
    if blind:
        return Verdict.UNMADE, f"not all could be measured: {', '.join(blind)}"
    return Verdict.PASSED, ""


def not_made(name: str, reason: str, *, job: bool = False) -> Finding:
    """What is said of an image that could not be tried, where it should have been; of a `job` no trial can be made."""
    found = rule("IF500")
    return Finding(
        rule=found.id,
        severity=found.severity,
        principle=found.principle,
        message=f"it could not be measured: {reason}",
        file=name,
        line=0,
        fix=(
            "what ends by itself cannot be measured: waive IF500 in [lint] waivers"
            if job
            else "have it start though what it needs is not there"
        ),
        basis=Basis.MEASURED,
    )


def _why_not_up(run: Run, bare: Run | None) -> str:
    if run.refused:
        return f"the engine cannot start it: {run.refused}"
    if run.out_of_memory:
        return f"it was ended after {run.lived:.1f} s for want of memory"
    code = run.exit_code
    how = "by itself, as a job does" if code == 0 else f"with exit code {code}"
    rights = ", with an engine's usual rights too" if bare is not None else ""
    need = "" if code == 0 else "; it may need what a trial does not give it: a network, a database, secrets"
    return f"it ended after {run.lived:.1f} s {how}{rights}{need}"


def _other_way(run: Run, name: str) -> str:
    """How a job is judged, which a trial has no time to watch."""
    if run.refused or run.out_of_memory or run.exit_code != 0:
        return ""
    return (
        f"a job is judged by its files: imageforge lint --image {name}; a command of it that stays up can be tried: "
        f"imageforge trial {name} -- CMD"
    )


class _Writer:
    """The measurements, one a method; each gives a line of the table, and findings."""

    def __init__(self, seen: Observation, name: str, port: int) -> None:
        self._seen = seen
        self._run = seen.writable
        self._name = name
        self._port = port
        self._steady = steady(self._run.processes)

    def rights(self) -> Iterator[Measure | Finding]:
        """Whether it comes up without capabilities."""
        bare = self._seen.bare
        if bare is None:
            yield Measure(name="no capabilities", result=Result.OK, detail="it starts with none")
            return
        words = bare.last_words[-1] if bare.last_words else bare.refused
        came = f"without any it ended after {bare.lived:.1f} s ({words})" if words else "without any it ends at once"
        yield Measure(name="no capabilities", result=Result.FAILED, detail=came)
        yield self._finding("IF506", f"it starts only with an engine's usual capabilities: {came}")

    def read_only(self) -> Iterator[Measure | Finding]:
        """V1."""
        locked = self._seen.read_only
        title = "read-only root"
        if locked.up:
            missing = [one for one in self._opened(self._run) if one not in self._opened(locked)]
            if not missing:
                yield Measure(name=title, result=Result.OK, detail=f"it was up for {locked.lived:.1f} s")
                return
            detail = f"it stays up and does not listen on {_ports(missing)}"
        elif locked.refused:
            detail = f"the engine cannot start it: {locked.refused}"
        else:
            words = next((one for one in reversed(locked.last_words) if _READ_ONLY.search(one)), "") or (
                locked.last_words[-1] if locked.last_words else ""
            )
            detail = f"it ended after {locked.lived:.1f} s with exit code {locked.exit_code}"
            detail += f" ({words})" if words else ""
        yield Measure(name=title, result=Result.FAILED, detail=detail)
        yield self._finding("IF501", f"with a read-only root file system {detail}")

    def changes(self) -> Iterator[Measure | Finding]:
        """V2."""
        changes, title = self._run.changes, "writes to its root"
        if changes is None:
            yield Measure(name=title, result=Result.UNMEASURED, detail="it was not looked at")
        elif not changes:
            yield Measure(name=title, result=Result.OK, detail="nothing but volumes, /tmp and /run")
        else:
            named = _changes(changes)
            yield Measure(name=title, result=Result.FAILED, detail=named)
            yield self._finding("IF502", f"running, it changed its root file system: {named}", excerpt=changes[0].path)

    def processes(self) -> Iterator[Measure | Finding]:
        """V3."""
        title = "one process"
        if not self._run.seen:
            yield Measure(name=title, result=Result.UNMEASURED, detail="its processes are on another machine")
            return
        found = families(self._run.processes)
        told = ", ".join(f"`{one.head.title}`" + (f" and {one.size - 1} more" if one.size > 1 else "") for one in found)
        if len(found) <= 1:
            yield Measure(name=title, result=Result.OK, detail=told or "none stayed")
            return
        yield Measure(name=title, result=Result.FAILED, detail=f"{len(found)} programs: {told}")
        yield self._finding("IF503", f"{len(found)} programs run side by side: {told}")

    def stopping(self) -> Iterator[Measure | Finding]:
        """V4."""
        stop, title = self._run.stop, "ends when told to"
        if stop is None:
            yield Measure(name=title, result=Result.UNMEASURED, detail="it was not told to")
            return
        word = signal_name(stop.signal)
        first = self._first()
        heeds = None if first is None else bool(first.caught & (1 << (stop.signal - 1)))
        if stop.signal == signals.SIGKILL:
            detail = "STOPSIGNAL is SIGKILL, which no program can handle: it is ended in the middle of its work"
            yield Measure(name=title, result=Result.FAILED, detail=detail)
            yield self._finding("IF504", detail, excerpt=first.title if first else "")
            return
        if not stop.killed:
            detail = f"{stop.seconds:.1f} s after {word}, exit code {stop.exit_code}"
            yield Measure(name=title, result=Result.OK, detail=detail)
            return
        why = "its first process does not handle it" if heeds is False else "it did not end in time"
        detail = f"{word} was without effect: {why}, and it was killed after {stop.seconds:.1f} s"
        yield Measure(name=title, result=Result.FAILED, detail=detail)
        yield self._finding("IF504", detail, excerpt=first.title if first else "")

    def user(self) -> Iterator[Measure | Finding]:
        """V5."""
        title = "non-root"
        if not self._run.seen:
            yield Measure(name=title, result=Result.UNMEASURED, detail="its processes are on another machine")
            return
        roots = [process for process in self._steady if process.uid == 0]
        if not roots:
            yield Measure(name=title, result=Result.OK, detail=_identity(self._steady))
            return
        others = [process for process in self._steady if process.uid != 0]
        beside = f", {len(others)} other{'s' if len(others) > 1 else ''} as {_users(others)}" if others else ""
        message = f"`{roots[0].title}` runs as root{beside}"
        yield Measure(name=title, result=Result.FAILED, detail=f"{message}; {_identity(roots)}")
        yield self._finding("IF402", message, excerpt=roots[0].title, severity=Severity.ERROR)

    def ports(self) -> Iterator[Measure | Finding]:
        """V8."""
        title = "declared ports"
        if not self._run.seen:
            yield Measure(name=title, result=Result.UNMEASURED, detail="its sockets are on another machine")
            return
        exposed = self._seen.image.exposed
        declared = exposed or (self._port,)
        open_ = sorted({one.port for one in self._run.listeners if not one.loopback})
        inner = sorted({one.port for one in self._run.listeners if one.loopback} - set(open_))
        extra = [port for port in open_ if port not in declared and port != self._port]
        parts = [f"listens on {_ports(open_)}" if open_ else "listens on no port"]
        if inner:
            parts.append(f"{_ports(inner)} on loopback only")
        silent = [port for port in exposed if port not in open_ and port not in inner]
        if silent:
            parts.append(f"nobody listens on {_ports(silent)}, which EXPOSE names")
        hidden = [port for port in inner if port in declared]
        failed = bool(extra or hidden)
        yield Measure(name=title, result=Result.FAILED if failed else Result.OK, detail="; ".join(parts))
        if extra:
            named = f"EXPOSE names {_ports(list(exposed))}" if exposed else f"PORT says {self._port}"
            yield self._finding(
                "IF505", f"it listens on {_ports(extra)} for everybody, and {named}", excerpt=_sockets(self._run, extra)
            )
        if hidden:
            yield self._finding(
                "IF505",
                f"it listens on {_ports(hidden)} of its own loopback only, where no other container reaches it",
                excerpt=_sockets(self._run, hidden),
                severity=Severity.WARNING,
            )

    def _first(self) -> ProcessSeen | None:
        """The container's first process."""
        pids = {process.pid for process in self._run.processes}
        return next((process for process in self._run.processes if process.parent not in pids), None)

    def _opened(self, run: Run) -> list[int]:
        declared = self._seen.image.exposed or (self._port,)
        return sorted({one.port for one in run.listeners if one.port in declared})

    def _finding(self, rule_id: str, message: str, *, excerpt: str = "", severity: Severity | None = None) -> Finding:
        found = rule(rule_id)
        return Finding(
            rule=found.id,
            severity=severity or found.severity,
            principle=found.principle,
            message=message,
            file=self._name,
            line=0,
            excerpt=excerpt,
            fix=_FIXES[rule_id],
            basis=Basis.MEASURED,
        )


_READ_ONLY = re.compile(r"read-only file system|EROFS", re.IGNORECASE)
_FIXES = {
    "IF402": "add USER 10001 before CMD, and have files that it writes belong to 10001",
    "IF501": "have it write below /tmp, or declare the folder by VOLUME",
    "IF502": "have it write below /tmp or to a volume; what is the same for all is made in the Dockerfile",
    "IF503": "give each program an image of its own, or a process of its own in [app] processes",
    "IF504": "handle SIGTERM in the program, or start it by `tini --`",
    "IF505": "name the port by EXPOSE, or have the program not open it",
    "IF506": "do in the Dockerfile what needs rights (chown, useradd), and set USER",
}


def signal_number(text: str) -> int:
    """Of STOPSIGNAL, a name with or without SIG or a number; SIGTERM where it is none."""
    word = text.strip().upper()
    if re.fullmatch(r"[0-9]{1,2}", word) and 0 < int(word) < 65:
        return int(word)
    try:
        return int(signals.Signals[word if word.startswith("SIG") else f"SIG{word}"])
    except KeyError:
        return int(signals.SIGTERM)


def signal_name(number: int) -> str:
    """``SIGTERM``; ``signal 40`` for one without a name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def capabilities(mask: int) -> str:
    """The names in a mask, or ``none``."""
    names = [name for bit, name in enumerate(_CAPABILITIES) if mask & (1 << bit)]
    return ", ".join(names) or ("none" if not mask else hex(mask))


def _identity(processes: tuple[ProcessSeen, ...] | list[ProcessSeen]) -> str:
    if not processes:
        return "no process stayed"
    groups = sorted({group for one in processes for group in (one.gid, *one.groups)})
    held = 0
    for one in processes:
        held |= one.capabilities
    gain = "" if all(one.no_new_privileges for one in processes) else "; it may gain rights"
    named = ", ".join(map(str, groups))
    return f"uid {_users(processes)}, groups {named}, capabilities {capabilities(held)}{gain}"


def _users(processes: tuple[ProcessSeen, ...] | list[ProcessSeen]) -> str:
    return ", ".join(map(str, sorted({one.uid for one in processes})))


def _ports(ports: list[int]) -> str:
    return ", ".join(map(str, ports)) or "none"


def _sockets(run: Run, ports: list[int]) -> str:
    found: list[Listener] = [one for one in run.listeners if one.port in ports]
    return ", ".join(
        f"[{one.address}]:{one.port}" if ":" in one.address else f"{one.address}:{one.port}" for one in found
    )


def _changes(changes: tuple[Change, ...]) -> str:
    named = ", ".join(f"{one.path} ({one.how})" for one in changes[:SHOWN])
    more = len(changes) - SHOWN
    return f"{named} and {more} more" if more > 0 else named
