"""The report of one Deployment's rollout: what changed, when each step was reached, what runs, and the proof of the
cut-over. Of a pushed app and of an applied file alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from tabulate import tabulate

from imageforge.report.units import counted, seconds

DIGITS = 12
"""How much of a digest people read."""
STALLED = "stalled"
COMPLETE = "complete"
BALANCER = "all requests, counted by the balancer"
CONNECTIONS = "all connections, counted by the balancer"
OWN = "requests of our own"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeRow:
    """A field that changed; digests, where known, stand behind images. Never a value that may be secret."""

    field: str
    before: str
    after: str
    digest_before: str = ""
    digest_after: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step, and how many seconds after the change was stored it was reached; None where it was not."""

    name: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaRow:
    """One new replica."""

    name: str
    phase: str
    ready: bool
    restarts: int
    address: str
    revision: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """What the balancer counted for a Service meanwhile, of everybody's requests, ours among them; of the protocol
    ``tcp`` connections."""

    service: str
    protocol: str
    requests: int
    failed: int
    retried: int
    errors_5xx: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long requests of our own took, in milliseconds, each from the first byte sent to the last one read."""

    count: int
    p50_ms: float | None = None
    p99_ms: float | None = None


NO_LATENCY = Latency(count=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnRequests:
    """GETs of our own by the same way as everybody's: `sent` and `failed` of those during and after the rollout."""

    path: str
    sent: int
    failed: int
    first_failure: str = ""
    before: Latency = NO_LATENCY
    during: Latency = NO_LATENCY
    after: Latency = NO_LATENCY


class Verdict(StrEnum):
    """Of a proof."""

    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """Whether a request was lost, in a word and in a sentence."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutReport:
    """One rollout. `outcome` is ``complete``, ``running``, ``stalled`` or ``superseded``; `log` are the last lines of a
    replica in trouble. `drained` were in flight at old replicas when they were taken out, `undrained` outlived their
    time."""

    deployment: str
    namespace: str
    revision: int
    change: str
    outcome: str
    desired: int
    message: str = ""
    recreate: bool = False
    seconds: float | None = None
    changes: tuple[ChangeRow, ...] = ()
    steps: tuple[StepRow, ...] = ()
    replicas: tuple[ReplicaRow, ...] = ()
    traffic: tuple[ServiceRow, ...] = ()
    drained: int = 0
    undrained: int = 0
    own: OwnRequests | None = None
    log: tuple[str, ...] = field(default=())

    @property
    def proof(self) -> Proof:
        """Whether a request was lost."""
        return judge(self)

    @property
    def requests(self) -> int:
        """How many there were, as far as anybody counted."""
        return max(sum(row.requests for row in self.traffic), self.own.sent if self.own else 0)

    @property
    def failed(self) -> int:
        """How many of them no replica answered."""
        return max(sum(row.failed for row in self.traffic), self.own.failed if self.own else 0)

    @property
    def retried(self) -> int:
        """How many of them the balancer gave to another replica."""
        return sum(row.retried for row in self.traffic)

    @property
    def ok(self) -> bool:
        """Whether it came to its end, or another change did before, and lost nothing."""
        return self.outcome != STALLED and self.proof.verdict is not Verdict.FAILED

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it, with the verdict."""
        return {**asdict(self), "proof": asdict(self.proof)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RolloutReport:
        """The inverse of `as_json`; other keys are left aside."""
        values = _known(cls, raw)
        for name, row in _ROWS.items():
            values[name] = tuple(row(**_known(row, item)) for item in raw.get(name, ()))
        values["log"] = tuple(raw.get("log", ()))
        values["own"] = own_from(raw.get("own"))
        return cls(**values)


_ROWS: Mapping[str, Any] = {"changes": ChangeRow, "steps": StepRow, "replicas": ReplicaRow, "traffic": ServiceRow}


def _known(kind: Any, raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key in kind.__dataclass_fields__}


def own_from(raw: Mapping[str, Any] | None) -> OwnRequests | None:
    """Our own requests from JSON; None for nothing."""
    return OwnRequests(**{**_known(OwnRequests, raw), **_latencies(raw)}) if raw else None


def _latencies(own: Mapping[str, Any]) -> dict[str, Latency]:
    return {name: Latency(**_known(Latency, own[name])) for name in ("before", "during", "after") if name in own}


def judge(report: RolloutReport) -> Proof:
    """The proof of the cut-over: it fails where the balancer counted a request that no replica answered, or one of our
    own failed; there is none where nothing leads to the Deployment, nobody is to answer, or nobody asked. Who asks for
    the strategy Recreate asks for a gap: what is lost in it is told, and is no failure."""
    if not report.desired:
        return Proof(verdict=Verdict.NONE, text="no proof: no replica is to answer")
    if not report.traffic and report.own is None:
        return Proof(verdict=Verdict.NONE, text="no proof: no Service leads to it through the balancer")
    tcp = all(row.protocol == "tcp" for row in report.traffic) and report.own is None
    what = "connection" if tcp else "request"
    if not report.requests and not report.failed:
        return Proof(verdict=Verdict.NONE, text=f"no proof: no {what} came meanwhile")
    extra = [f"{report.retried:,} retried"] if report.retried else []
    if report.drained:
        extra.append(f"{report.drained:,} in flight drained")
    if report.undrained:
        extra.append(f"{report.undrained:,} open beyond the grace period")
    said = f"{report.failed:,} of {report.requests:,} {what}s lost{''.join(f', {item}' for item in extra)}"
    if not report.failed:
        return Proof(verdict=Verdict.PASSED, text=said)
    if report.recreate:
        gap = "the strategy Recreate ends the old replicas first; RollingUpdate serves on"
        return Proof(verdict=Verdict.NONE, text=f"no proof: {said}: {gap}")
    first = f"; of our own the first: {report.own.first_failure}" if report.own and report.own.first_failure else ""
    return Proof(verdict=Verdict.FAILED, text=f"{said}{first}")


LOST_HINT = (
    "an app must answer every request that it takes, also while it gets SIGTERM, and stop when its last one is answered"
)
"""What to do about a proof that failed."""

REPLICA_HEADERS = ("REPLICA", "STATE", "READY", "RESTARTS", "ADDRESS")


def replica_cells(rows: Iterable[ReplicaRow]) -> list[tuple[str, str, str, int, str]]:
    """Under REPLICA_HEADERS."""
    return [(row.name, row.phase, "yes" if row.ready else "no", row.restarts, row.address) for row in rows]


def headline(report: RolloutReport) -> str:
    """`deployment/web: revision 2, complete in 2.3 s`."""
    where = "" if report.namespace == "default" else f" in {report.namespace}"
    took = "" if report.seconds is None else f" {_AFTER.get(report.outcome, 'after')} {seconds(report.seconds)}"
    return f"deployment/{report.deployment}{where}: revision {report.revision}, {report.outcome}{took}"


_AFTER = {COMPLETE: "in", "running": "for"}


def change_text(row: ChangeRow) -> str:
    """`image web:1 (3f1c9a7be2d1) -> web:2 (77b0a1cc01f2)`, `env VERSION changed`."""
    before, after = _with_digest(row.before, row.digest_before), _with_digest(row.after, row.digest_after)
    if before and after:
        return f"{row.field} {before} -> {after}"
    return f"{row.field} {after}" if after else f"{row.field} {before} removed"


def _with_digest(text: str, digest: str) -> str:
    """One that names its digest needs no second, and its own is cut short."""
    name, at, own = text.partition("@")
    if at:
        return f"{name}@{own.removeprefix('sha256:')[:DIGITS]}"
    return f"{text} ({digest.removeprefix('sha256:')[:DIGITS]})" if text and digest else text


def steps_text(steps: Sequence[StepRow]) -> str:
    """`started 0.4 s, ready 0.9 s`; without those that were not reached."""
    return ", ".join(f"{row.name} {seconds(row.seconds)}" for row in steps[1:] if row.seconds is not None)


def latency_text(own: OwnRequests) -> str:
    """`before 1.9/3.0 ms of 20, during …`; without those that there are none of."""
    found = {"before": own.before, "during": own.during, "after": own.after}
    return ", ".join(f"{name} {_pair(item)} of {item.count}" for name, item in found.items() if item.count)


def _pair(latency: Latency) -> str:
    return f"{latency.p50_ms or 0:.1f}/{latency.p99_ms or 0:.1f} ms"


def lines(report: RolloutReport) -> list[str]:
    """The facts of a rollout but its replicas and its proof, a label of nine characters before each."""
    found: list[tuple[str, str]] = [("changed", change_text(row)) for row in report.changes]
    found += [("steps", steps_text(report.steps))]
    for row in report.traffic:
        what = counted(row.requests, "connection" if row.protocol == "tcp" else "request")
        errors = "" if row.protocol == "tcp" else f", {row.errors_5xx} answered 5xx by the app"
        found.append(("counted", f"by the balancer for service/{row.service}: {what}, {row.failed} lost{errors}"))
    if report.own is not None:
        told = f"{counted(report.own.sent, 'request')} of our own to {report.own.path}, {report.own.failed} lost"
        found.append(("own", told))
        found.append(("latency", f"of our own, p50/p99: {latency_text(report.own)}"))
    if report.message:
        found.append(("reason", report.message))
    found += [("log", text) for text in report.log]
    shown, last = [], ""
    for label, text in found:
        if text:
            shown.append(f"{label if label != last else '':8} {text}")
            last = label
    return shown


def as_text(report: RolloutReport) -> str:
    """For a terminal."""
    proof = report.proof
    verdict = proof.text if proof.verdict is Verdict.NONE else f"{proof.verdict}: {proof.text}"
    table = tabulate(replica_cells(report.replicas), headers=REPLICA_HEADERS, tablefmt="simple")
    body = "\n".join([headline(report), f"{'cutover':8} {verdict}", *lines(report)])
    return f"{body}\n\n{table}" if report.replicas else body


def as_markdown(report: RolloutReport) -> str:
    """For a pull request: what one wants to know at once, and the rest folded."""
    return f"### {cell(headline(report))}\n\n{proof_markdown(report)}\n\n{details(report)}"


def proof_markdown(report: RolloutReport) -> str:
    """The verdict in a line, and the figures that it rests on."""
    proof = report.proof
    word = {Verdict.PASSED: "Cut-over passed", Verdict.FAILED: "**Cut-over failed**", Verdict.NONE: "Cut-over"}
    parts = [f"{word[proof.verdict]}: {cell(proof.text)}."]
    rows: list[tuple[object, ...]] = [
        (
            f"service/{row.service}",
            CONNECTIONS if row.protocol == "tcp" else BALANCER,
            row.requests,
            row.failed,
            row.retried,
            "" if row.protocol == "tcp" else row.errors_5xx,
        )
        for row in report.traffic
    ]
    if report.own is not None:
        rows.append((f"`GET {cell(report.own.path)}`", OWN, report.own.sent, report.own.failed, "", ""))
    if rows:
        parts.append(_table(rows, ("Of", "What", "Number", "Lost", "Retried", "5xx of the app")))
    if report.message:
        parts.append(f"Reason: {cell(report.message)}")
    if report.log:
        parts.append(fenced(report.log))
    return "\n\n".join(parts)


def details(report: RolloutReport) -> str:
    """The tables behind it, folded."""
    changes = [
        (
            cell(row.field),
            _code(_with_digest(row.before, row.digest_before)),
            _code(_with_digest(row.after, row.digest_after)),
        )
        for row in report.changes
    ]
    steps = [(row.name, "" if row.seconds is None else seconds(row.seconds)) for row in report.steps]
    parts = [_table(changes, ("Changed", "Before", "After"))] if changes else []
    parts.append(_table(steps, ("Step", "After")))
    if report.own is not None:
        parts.append(_table(_latency_rows(report.own), ("Requests of our own", "Count", "p50 ms", "p99 ms")))
    if report.replicas:
        rows = [tuple(cell(str(item)) for item in row) for row in replica_cells(report.replicas)]
        parts.append(_table(rows, [head.capitalize() for head in REPLICA_HEADERS]))
    return folded("What changed, steps, latencies and replicas", "\n\n".join(parts))


def _latency_rows(own: OwnRequests) -> list[tuple[object, ...]]:
    found = {"before": own.before, "during": own.during, "after": own.after}
    return [
        (name, item.count, *(f"{value:.1f}" if value is not None else "" for value in (item.p50_ms, item.p99_ms)))
        for name, item in found.items()
    ]


def _table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    return tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True)


def folded(title: str, body: str) -> str:
    """What GitHub shows once it is clicked; Markdown in it needs the empty lines."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def fenced(text: Iterable[str]) -> str:
    """Lines as they are, whatever they hold."""
    block = "\n".join(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block)), default=0))
    return f"{fence}\n{block}\n{fence}"


def cell(text: str) -> str:
    """Text that stays text in Markdown, in a table too."""
    plain = re.sub(r"([\\`*_\[\]|])", r"\\\1", " ".join(text.split()))
    return plain.replace("<", "&lt;").replace("@", "@\u200b")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
