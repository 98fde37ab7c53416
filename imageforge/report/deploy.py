"""The deploy report: what was released, how the change-over went, what runs now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

from imageforge.report import rollout
from imageforge.report.rollout import REPLICA_HEADERS, ReplicaRow, RolloutReport, replica_cells
from imageforge.report.units import seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One stage of the run before the rollout."""

    name: str
    summary: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRow:
    """One process of an app that has several."""

    name: str
    desired: int
    ready: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployReport:
    """What a deploy came to.

    `requests` were counted by the balancer from the first change to the last, our own among them; `failed` are those
    that no replica answered. `slowest_ms` is the slowest of our own, in milliseconds. `desired` and `ready` are of all
    processes; `processes` is empty where there is one. `rollouts` are those of the processes, web first; reports of
    earlier versions have none.
    """

    app: str
    release: int
    reference: str
    url: str
    desired: int
    ready: int
    requests: int
    failed: int
    retried: int
    slowest_ms: float
    rollout_seconds: float
    stages: tuple[StageRow, ...] = field(default=())
    replicas: tuple[ReplicaRow, ...] = field(default=())
    processes: tuple[ProcessRow, ...] = field(default=())
    rollouts: tuple[RolloutReport, ...] = field(default=())

    @property
    def rollout_summary(self) -> str:
        """`3/3 ready, 0 of 212 requests failed`; with several processes `web 2/2, worker 1/1 ready, …`."""
        counts = [f"{row.name} {row.ready}/{row.desired}" for row in self.processes]
        ready = ", ".join(counts) if counts else f"{self.ready}/{self.desired}"
        return f"{ready} ready, {self.failed} of {self.requests} requests failed"

    def as_json(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {**asdict(self), "rollouts": [item.as_json() for item in self.rollouts]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DeployReport:
        """The inverse of `as_json`; other keys are left aside."""
        names = cls.__dataclass_fields__
        values = {key: value for key, value in raw.items() if key in names}
        values["stages"] = tuple(StageRow(**row) for row in raw.get("stages", ()))
        values["replicas"] = tuple(ReplicaRow(**row) for row in raw.get("replicas", ()))
        values["processes"] = tuple(ProcessRow(**row) for row in raw.get("processes", ()))
        values["rollouts"] = tuple(RolloutReport.from_json(item) for item in raw.get("rollouts", ()))
        return cls(**values)

    @property
    def release_line(self) -> str:
        """`python manage.py migrate, exit 0   3.2 s`; empty where the app has no release command."""
        found = next((row for row in self.stages if row.name == "release"), None)
        return f"{found.summary}   {seconds(found.seconds)}" if found else ""


def as_text(report: DeployReport) -> str:
    """The report for a terminal."""
    table = tabulate(replica_cells(report.replicas), headers=REPLICA_HEADERS, tablefmt="simple")
    release = f"release  {report.release_line}\n" if report.release_line else ""
    return (
        f"{report.app} release {report.release}  {report.url}\n"
        f"image    {report.reference}\n"
        f"{release}"
        f"cutover  {report.failed} of {report.requests} requests failed, {report.retried} retried, "
        f"slowest {report.slowest_ms:.0f} ms\n{''.join(f'{line}{chr(10)}' for line in _lines(report))}\n{table}"
    )


def _lines(report: DeployReport) -> list[str]:
    """Of the rollouts; where there are several, each under its name."""
    if len(report.rollouts) == 1:
        return rollout.lines(report.rollouts[0])
    return [
        line
        for item in report.rollouts
        for line in (rollout.headline(item), *(f"  {line}" for line in rollout.lines(item)))
    ]


def as_markdown(report: DeployReport) -> str:
    """The report for a commit, a pull request or a chat: what one wants to know at once, and the rest folded."""
    stages = tabulate(
        [(row.name, rollout.cell(row.summary), seconds(row.seconds)) for row in report.stages],
        headers=("Stage", "Outcome", "Time"),
        tablefmt="github",
        disable_numparse=True,
    )
    cells = [tuple(rollout.cell(str(item)) for item in row) for row in replica_cells(report.replicas)]
    replicas = tabulate(
        cells, headers=[head.capitalize() for head in REPLICA_HEADERS], tablefmt="github", disable_numparse=True
    )
    parts = [f"### {report.app} release {report.release}", f"<{report.url}>", f"Image `{report.reference}`"]
    if not report.rollouts:
        took = seconds(report.rollout_seconds)
        parts.append(f"{report.failed} of {report.requests} requests failed during the rollout ({took}).")
    if report.stages:
        parts.append(stages)
    if not report.rollouts:
        parts.append(replicas)
    for item in report.rollouts:
        title = [f"#### {rollout.cell(rollout.headline(item))}"] if len(report.rollouts) > 1 else []
        parts += [*title, rollout.proof_markdown(item), rollout.details(item)]
    return "\n\n".join(parts) + "\n"
