"""A rollout under way: how the processes of a release stand, until they are done or one of them fails; and what the
balancer counted meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imageforge.config.names import WEB
from imageforge.errors import DeployFailed
from imageforge.pipeline import rolled
from imageforge.pipeline.cutover import CutoverCount, CutoverWatch
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.manifests import processes
from imageforge.pipeline.rolled import ended_record, newest_record
from imageforge.pipeline.verdict import Verdict, judge
from imageforge.report.deploy import DeployReport, ProcessRow, StageRow
from imageforge.report.rollout import ReplicaRow, RolloutReport
from imageforge.store import Release
from imageforge.vault import LineMask
from runtime import DeploymentStatus, RolloutRecord

LOG_LINES = 10
"""How many of a failed replica's last lines go into the events and the report."""
Standing = Mapping[str, DeploymentStatus]
"""How each process of a release stands, by its name, web first."""


def follow(release: Release, deployer: Deployer, watch: CutoverWatch, log: StageLog, port: int) -> Standing:
    """How the processes stand once all of them are done."""
    said = ""
    for standing in standings(release, deployer):
        status = standing[WEB]
        line = "; ".join(
            (f"{process}: " if len(standing) > 1 else "")
            + f"{one.updated} of {one.desired} updated, {one.available} available, {one.current} in all"
            for process, one in standing.items()
        )
        if line != said:
            said = line
            log.emit(
                EventKind.PROGRESS, line, updated=status.updated, desired=status.desired, available=status.available
            )
        if status.available and not watch.started:
            watch.start()
        verdicts = {
            process: judge(one, port=port if process == WEB else None, now=time.time())
            for process, one in standing.items()
        }
        for process, verdict in verdicts.items():
            if verdict.failed:
                _fail(release, verdict, log, process if len(standing) > 1 else "")
        if all(verdict.done for verdict in verdicts.values()):
            return standing
    raise DeployFailed(
        "rollout-interrupted", release.app, "its Deployment was deleted in the middle", hint="imageforge status"
    )


def standings(release: Release, deployer: Deployer, timeout: float | None = None) -> Iterator[Standing]:
    """The processes of a release as they stand, at each change: web's stream also ticks when another one changes."""
    names = processes(release.manifests)
    for status in deployer.controller.watch(NAMESPACE, release.app, timeout=timeout):
        others = {
            process: deployer.controller.deployment(NAMESPACE, name)
            for process, name in names.items()
            if process != WEB
        }
        yield {WEB: status, **others}


def _fail(release: Release, verdict: Verdict, log: StageLog, process: str) -> None:
    # One secret may be spread over several lines.
    masked = LineMask(log.mask)
    lines = [shown for line in verdict.log for shown in masked.feed(line)] + masked.close()
    for line in lines[-LOG_LINES:]:
        log.emit(EventKind.LINE, line, replica=verdict.subject, failed=True)
    message = f"{verdict.subject} {verdict.message}" if verdict.subject != release.app else verdict.message
    raise DeployFailed(
        verdict.code,
        f"{release.app} release {release.number}",
        log.mask.text(f"process {process}: {message}" if process else message),
        hint=verdict.hint,
    )


def records_of(release: Release, names: Iterable[str], deployer: Deployer, *, ended: bool) -> list[RolloutRecord]:
    """The records of a release's rollouts of these Deployments; those that have `ended`, if that comes soon. None where
    the controller keeps none."""
    look = ended_record if ended else newest_record
    found = (look(deployer.controller, NAMESPACE, name) for name in names)
    return [record for record in found if record is not None and record.release == str(release.number)]


def reports_of(release: Release, records: Iterable[RolloutRecord], count: CutoverCount) -> list[RolloutReport]:
    """Their reports; our own requests are web's."""
    path = str((release.report or {}).get("path", "/"))
    return [
        rolled.report_of(record, count if record.name == release.app and record.replicas else None, path)
        for record in records
    ]


def report_of(
    release: Release,
    standing: Standing,
    deployer: Deployer,
    rollouts: Sequence[RolloutReport],
    count: CutoverCount,
    seconds: float,
    stages: tuple[StageRow, ...],
) -> DeployReport:
    """The report of a rollout that is done and took `seconds`: as it stands, what the balancer counted for all and our
    own watch for itself, of which the worse counts; with the stages before it."""
    serves = bool(standing[WEB].desired)
    return DeployReport(
        app=release.app,
        release=release.number,
        reference=release.reference,
        url=deployer.settings.url(deployer.host(release.app)),
        desired=sum(status.desired for status in standing.values()),
        ready=sum(status.ready for status in standing.values()),
        requests=max([count.sent, *(item.requests for item in rollouts)]) if serves else 0,
        failed=max([count.failed, *(item.failed for item in rollouts)]) if serves else 0,
        retried=max([0, *(item.retried for item in rollouts)]),
        slowest_ms=round(count.slowest * 1000, 1),
        rollout_seconds=round(seconds, 2),
        stages=stages,
        replicas=tuple(
            ReplicaRow(
                name=replica.name,
                phase=replica.phase,
                ready=replica.ready,
                restarts=replica.restarts,
                address=f"{replica.address}:{replica.port}" if replica.port else replica.address,
                revision=replica.revision,
            )
            for status in standing.values()
            for replica in status.replica_list
            if replica.revision == status.revision
        ),
        processes=tuple(
            ProcessRow(name=process, desired=status.desired, ready=status.ready)
            for process, status in standing.items()
            if len(standing) > 1
        ),
        rollouts=tuple(rollouts),
    )
