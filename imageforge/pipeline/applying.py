"""An apply that somebody waits for: the objects are made, each Deployment is followed to its end, and its rollout is
reported, with the proof that nothing was lost on the way.

It is told as rows, which the terminal and the API show each in its way: ``{"kind": "applied", "objects": […]}`` once
all is stored, ``{"kind": "progress", "text": …}``, ``{"kind": "report", "report": {…}}`` for each rollout, and at the
end ``{"kind": "end", "error": {…} | null}``, the error with code, subject, message, hint and kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imageforge.errors import DeployFailed
from imageforge.pipeline.cutover import CutoverCount, CutoverWatch
from imageforge.pipeline.rolled import ended_record, entrance_of, newest_record, report_of, stalled_record
from imageforge.pipeline.trouble import trouble
from imageforge.report.apply import ObjectRow
from imageforge.report.rollout import LOST_HINT, RolloutReport
from runtime import ControllerClient, DeploymentStatus, RolloutPhase, RuntimeFailure

PATIENCE = 60.0
"""Seconds that the controller may be away meanwhile: another one goes on with the rollout."""
STALLED = "rollout-stalled"
Row = dict[str, Any]
BEAT: Row = {"kind": "beat"}
"""Nothing new, but a sign of life, every second at least."""
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Manifests, the name by which errors call them, and the namespace of those that name none, where it is given."""

    source: str
    text: str = field(repr=False)
    place: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where the balancer serves hosts."""

    address: str
    port: int


def apply_and_follow(controller: ControllerClient, texts: Sequence[Text], entry: Entry) -> Iterator[Row]:
    """Make them, and follow their Deployments. Raises what refuses them, before the first row; whoever leaves in the
    middle stops nothing."""
    checked = [item for each in texts for item in controller.check(each.text, source=each.source, place=each.place)]
    followed = [(item.namespace, item.name) for item in checked if item.kind == "Deployment"]
    before = {key: _known(controller, key) for key in followed}
    watches: dict[Key, CutoverWatch] = {}
    try:
        for item in checked:
            if item.kind == "Deployment" and item.change == "configured":
                _begin(controller, entry, (item.namespace, item.name), watches)
        applied = [item for each in texts for item in controller.apply(each.text, source=each.source, place=each.place)]
        rows = [ObjectRow(kind=i.kind, namespace=i.namespace, name=i.name, change=i.change) for i in applied]
        yield {"kind": "applied", "objects": [asdict(row) for row in rows]}
        yield from _follow_all(controller.patient(PATIENCE), entry, followed, before, watches)
    finally:
        for watch in watches.values():
            watch.stop()


def _known(controller: ControllerClient, key: Key) -> int:
    """The number of the newest record that is closed: what it says is no news."""
    record = newest_record(controller, *key)
    return record.number if record is not None and record.ended else 0


def _begin(controller: ControllerClient, entry: Entry, key: Key, watches: dict[Key, CutoverWatch]) -> None:
    """Ask for how long it takes now, and go on asking, where requests reach a replica now."""
    found = [status for status in controller.deployments(key[0]) if status.name == key[1] and status.available]
    entrance = entrance_of(controller, entry.address, entry.port, *key) if found else None
    if entrance is not None:
        watches[key] = CutoverWatch(entrance)
        watches[key].before()
        watches[key].start()


def _follow_all(
    controller: ControllerClient,
    entry: Entry,
    followed: Sequence[Key],
    before: Mapping[Key, int],
    watches: dict[Key, CutoverWatch],
) -> Iterator[Row]:
    error: DeployFailed | None = None
    for key in followed:
        failed: DeployFailed | None = None
        try:
            yield from _follow(controller, entry, key, watches)
        except DeployFailed as stalled:
            failed = stalled
        report = _reported(controller, key, before[key], watches.pop(key, None), failed)
        if report is not None:
            yield {"kind": "report", "report": report.as_json()}
            failed = failed or lost(report)
        error = error or failed
    yield {"kind": "end", "error": as_row(error) if error else None}


def _follow(controller: ControllerClient, entry: Entry, key: Key, watches: dict[Key, CutoverWatch]) -> Iterator[Row]:
    """Until it is as asked. Raises DeployFailed (`rollout-stalled`, `rollout-paused`)."""
    namespace, name = key
    subject, said = f"Deployment {namespace}/{name}", ""
    for status in controller.watch(namespace, name):
        if status.available and status.desired and key not in watches:
            entrance = entrance_of(controller, entry.address, entry.port, namespace, name)
            if entrance is not None:
                watches[key] = CutoverWatch(entrance)
                watches[key].start()
        line = f"{name}: {status.updated} of {status.desired} updated, {status.available} available{trouble(status)}"
        yield {"kind": "progress", "text": line} if line != said else BEAT
        said = line
        if status.observed_generation < status.generation:
            continue
        if status.phase is RolloutPhase.COMPLETE:
            return
        if status.phase is RolloutPhase.STALLED:
            hint = f"imageforge describe deployment {name} -n {namespace}"
            raise DeployFailed(STALLED, subject, status.message, hint=hint, kept=_kept(status))
        if status.paused:
            hint = f"imageforge rollout resume deployment/{name} -n {namespace}"
            raise DeployFailed("rollout-paused", subject, "it is paused, and rolls nothing out", hint=hint)
    raise DeployFailed(STALLED, subject, "it was deleted")


def _kept(status: DeploymentStatus) -> str | None:
    """What still serves of what was there before."""
    old = sum(item.ready and item.revision != status.revision for item in status.replica_list)
    return f"{old} of the replicas before go on serving" if old else None


def _reported(
    controller: ControllerClient, key: Key, known: int, watch: CutoverWatch | None, failed: DeployFailed | None
) -> RolloutReport | None:
    """The report of what was rolled out; None where that was nothing."""
    # Before the record is closed, which counts for a moment longer.
    count: CutoverCount | None = watch.stop(after=failed is None) if watch else None
    look = ended_record if failed is None else stalled_record if failed.code == STALLED else newest_record
    record = look(controller, *key)
    if record is None or record.number == known:
        return None
    report = report_of(record, count if record.replicas else None, watch.path if watch else "/")
    if report.own is not None:
        # Kept with the record, for whoever asks for the report later.
        with contextlib.suppress(RuntimeFailure):
            controller.note_rollout(*key, record.number, asdict(report.own))
    return report


def lost(report: RolloutReport) -> DeployFailed | None:
    """The error for a rollout that lost requests; None where it did not."""
    if not report.failed or report.ok:
        return None
    return DeployFailed(
        "cutover-lost-requests",
        f"Deployment {report.namespace}/{report.deployment}",
        f"{report.proof.text}, while the replicas were replaced",
        kept=f"revision {report.revision} is serving",
        hint=LOST_HINT,
    )


def as_row(error: DeployFailed) -> Row:
    """An error as the last row has it."""
    return {
        "code": error.code,
        "subject": error.subject,
        "message": error.message,
        "hint": error.hint,
        "kept": error.kept,
    }
