"""The deploy report: what was released, how the change-over went, what runs now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

from imageforge.report.units import seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One stage of the run before the rollout."""

    name: str
    summary: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaRow:
    """One replica of the release."""

    name: str
    phase: str
    ready: bool
    restarts: int
    address: str
    revision: int


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
    processes; `processes` is empty where there is one.
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

    @property
    def rollout_summary(self) -> str:
        """`3/3 ready, 0 of 212 requests failed`; with several processes `web 2/2, worker 1/1 ready, …`."""
        counts = [f"{row.name} {row.ready}/{row.desired}" for row in self.processes]
        ready = ", ".join(counts) if counts else f"{self.ready}/{self.desired}"
        return f"{ready} ready, {self.failed} of {self.requests} requests failed"

    def as_json(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DeployReport:
        """The inverse of `as_json`; other keys are left aside."""
        names = cls.__dataclass_fields__
        values = {key: value for key, value in raw.items() if key in names}
        values["stages"] = tuple(StageRow(**row) for row in raw.get("stages", ()))
        values["replicas"] = tuple(ReplicaRow(**row) for row in raw.get("replicas", ()))
        values["processes"] = tuple(ProcessRow(**row) for row in raw.get("processes", ()))
        return cls(**values)

    @property
    def release_line(self) -> str:
        """`python manage.py migrate, exit 0   3.2 s`; empty where the app has no release command."""
        found = next((row for row in self.stages if row.name == "release"), None)
        return f"{found.summary}   {seconds(found.seconds)}" if found else ""


REPLICA_HEADERS = ("REPLICA", "STATE", "READY", "RESTARTS", "ADDRESS")


def replica_rows(report: DeployReport) -> list[tuple[str, str, str, int, str]]:
    """The rows of the table, under REPLICA_HEADERS."""
    return [(row.name, row.phase, "yes" if row.ready else "no", row.restarts, row.address) for row in report.replicas]


def as_text(report: DeployReport) -> str:
    """The report for a terminal."""
    table = tabulate(replica_rows(report), headers=REPLICA_HEADERS, tablefmt="simple")
    release = f"release  {report.release_line}\n" if report.release_line else ""
    return (
        f"{report.app} release {report.release}  {report.url}\n"
        f"image    {report.reference}\n"
        f"{release}"
        f"cutover  {report.failed} of {report.requests} requests failed, {report.retried} retried, "
        f"slowest {report.slowest_ms:.0f} ms\n\n{table}"
    )


def as_markdown(report: DeployReport) -> str:
    """The report for a commit status or a chat."""
    stages = tabulate(
        [(row.name, row.summary, seconds(row.seconds)) for row in report.stages],
        headers=("Stage", "Outcome", "Time"),
        tablefmt="github",
    )
    table = tabulate(replica_rows(report), headers=[h.capitalize() for h in REPLICA_HEADERS], tablefmt="github")
    return (
        f"### {report.app} release {report.release}\n\n<{report.url}>\n\nImage `{report.reference}`\n\n"
        f"{report.failed} of {report.requests} requests failed during the rollout "
        f"({seconds(report.rollout_seconds)}).\n\n{stages}\n\n{table}\n"
    )
