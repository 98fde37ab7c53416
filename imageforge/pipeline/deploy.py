"""From an image to a running release: make the release, run its release command, hand its manifests to the runtime,
watch all of its processes, and on failure go back to the release before."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imageforge.config.names import DEFAULT_PORT, WEB
from imageforge.errors import DeployFailed, ForgeError
from imageforge.pipeline.cutover import CutoverCount, CutoverWatch, Entrance
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE, apply_with_hosts, holding_hosts
from imageforge.pipeline.event import EventKind, Recorder, StageLog
from imageforge.pipeline.interrupt import HandedBack
from imageforge.pipeline.manifests import processes, secrets_in
from imageforge.pipeline.release import as_scaled, beside_web, set_since, settle, with_secrets
from imageforge.pipeline.release_command import STAGE, ReleaseCommand, forget_jobs
from imageforge.pipeline.removal import delete_all, delete_secrets, remove_others
from imageforge.pipeline.rollout import Standing, follow, records_of, report_of, reports_of, standings
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.pipeline.secrets import AppSecrets
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.report.deploy import DeployReport, StageRow
from imageforge.report.rollout import LOST_HINT, STALLED
from imageforge.stack.registry_lock import writing_registry
from imageforge.store import Apps, Builds, Release, Releases, ReleaseStatus
from runtime import NotFound, RolloutPhase, RolloutRecord, RuntimeFailure

logger = logging.getLogger(__name__)

PREPARED = "prepared"
"""In a release's report: its release command has succeeded, which is known when its Job is gone."""
NAMED = 5
"""Variables that a note names before it counts the others."""
RESTORE_SECONDS = 30.0
"""How long a failed deploy waits for the release before to be whole again, so as to say so."""
PATIENCE = 60.0
"""How long the controller may be away: one that was killed or replaced takes up the rollout where it was."""


def roll_out(
    release: Release,
    deployer: Deployer,
    recorder: Recorder,
    stages: tuple[StageRow, ...],
    *,
    build_id: int | None = None,
) -> DeployReport:
    """Run a release, and keep what became of it. On failure or interrupt the release before serves as it did; a build
    that is handed back leaves the rollout to whoever takes it up.

    `build_id` is the build of which this is a step: its release command runs first, once. None runs no command.

    Raises DeployFailed with the verdict's code, or `release-command-failed`; `cutover-lost-requests` when it runs but
    requests were lost on the way.
    """
    # The engine may have to pull the image, from a registry that a sweep would end for a moment.
    with writing_registry(deployer.home):
        return _roll_out(release, deployer, recorder, stages, build_id)


def _roll_out(
    release: Release, deployer: Deployer, recorder: Recorder, stages: tuple[StageRow, ...], build_id: int | None
) -> DeployReport:
    releases, apps = Releases(deployer.database), Apps(deployer.database)
    options = dict(release.report or {})
    # Before anything is changed: the secrets may not open, and what is set may have changed since the run began.
    recorder.mask = AppSecrets.mask_of(release.app, deployer.database, deployer.vault)
    try:
        manifests = with_secrets(release, release.manifests, deployer)
    except ForgeError as error:
        releases.finish(release.app, release.number, ReleaseStatus.FAILED, {**options, "error": str(error)})
        error.kept = error.kept or "nothing was changed"
        raise
    if build_id is not None and options.get("release_command"):
        stages = (*stages, _prepare(release, deployer, recorder, build_id))
        options[PREPARED] = True
    deployer = replace(deployer, controller=deployer.controller.patient(PATIENCE))
    before: Release | None = None
    settled = False
    began = time.monotonic()
    try:
        before, settled = settle(release.app, deployer, ours=release.number), True
        with recorder.stage("rollout") as log:
            standing, records, count = _roll(release, manifests, before, deployer, log, options)
            rollouts = reports_of(release, records, count)
            report = report_of(release, standing, deployer, rollouts, count, time.monotonic() - began, stages)
            log.summary = report.rollout_summary
            log.data.update(requests=report.requests, failed=report.failed)
        with uninterrupted():
            # Before it is said that the release is live: a worker that is killed here begins again with the rollout.
            remove_others(release, deployer)
            releases.finish(release.app, release.number, ReleaseStatus.LIVE, {**options, **report.as_json()})
            apps.keep_processes(release.app, beside_web(release))
    except HandedBack:
        raise  # the controller goes on with it, and the next attempt with watching it
    except BaseException as error:
        with uninterrupted():
            stood = _standing(release, deployer, recorder, error) if settled else []
            kept = _restore(release, before, deployer, recorder) if settled else "nothing was changed"
            if isinstance(error, DeployFailed):
                error.kept = kept
            failed = {**options, "error": recorder.mask.text(str(error)), "rollouts": stood}
            releases.finish(release.app, release.number, ReleaseStatus.FAILED, failed)
            if settled:
                apps.keep_processes(release.app, beside_web(before) if before else ())
        raise
    releases.forget_beyond(release.app, deployer.settings.keep_releases)
    with contextlib.suppress(RuntimeFailure):
        forget_jobs(release.app, deployer.controller, but=release.number)
    _forget_secrets(release.app, deployer)
    if report.failed:
        raise DeployFailed(
            "cutover-lost-requests",
            f"{release.app} release {release.number}",
            f"{report.failed} of {report.requests} requests failed while the replicas were replaced"
            + (f"; the first: {count.first_failure}" if count.first_failure else ""),
            kept=f"release {release.number} is serving",
            hint=LOST_HINT,
        )
    return report


def tell_environment(earlier: Release, deployer: Deployer, recorder: Recorder) -> None:
    """Say it where an earlier release that is to run again has another environment than is set for its app now: what
    was set since is still set, and counts for the next release of anything else."""
    try:
        names = set_since(earlier, deployer)
    except (
        ForgeError,
        RuntimeFailure,
    ) as error:  # it only describes what is going to be done, and that says what is amiss
        logger.info("what is set now is not compared: %s", error)
        return
    if names:
        more = len(names) - NAMED
        named = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
        recorder.emit(
            "rollout",
            EventKind.NOTE,
            f"it runs with release {earlier.number}'s environment; what is set now differs in {named}, for the next "
            "release",
        )


def _prepare(release: Release, deployer: Deployer, recorder: Recorder, build_id: int) -> StageRow:
    """Run the release command, unless an attempt that was killed had done so. Its failure is the release's, of which
    nothing was started."""
    options = dict(release.report or {})
    command, began = str(options["release_command"]), time.monotonic()
    if options.get(PREPARED):
        summary = recorder.mask.text(f"{command}, has run before it was interrupted")
        with recorder.stage(STAGE) as log:
            log.summary = summary
        return StageRow(name=STAGE, summary=summary, seconds=0.0)
    releases = Releases(deployer.database)
    events = Builds(deployer.database).events(build_id)
    told = [row["data"] for row in events if row["stage"] == STAGE and row["kind"] == EventKind.LINE.value]
    try:
        secrets = RunSecrets.of(release, deployer.vault)
        run = ReleaseCommand(
            release=release,
            command=command,
            deadline=deployer.settings.release_deadline,
            told=told,
            secrets=secrets.manifest() if secrets else "",
        )
        run.run(deployer.controller, recorder)
    except HandedBack:
        raise
    except BaseException as error:
        with uninterrupted():
            live = settle(release.app, deployer, ours=release.number)
            if isinstance(error, DeployFailed):
                error.kept = f"release {live.number} is serving" if live else "nothing of it was started"
            failed = {**options, "error": recorder.mask.text(str(error))}
            releases.finish(release.app, release.number, ReleaseStatus.FAILED, failed)
            Apps(deployer.database).keep_processes(release.app, beside_web(live) if live else ())
        raise
    releases.note(release.app, release.number, {**options, PREPARED: True})
    summary = recorder.mask.text(f"{command}, exit 0")
    return StageRow(name=STAGE, summary=summary, seconds=time.monotonic() - began)


def _roll(
    release: Release,
    manifests: str,
    before: Release | None,
    deployer: Deployer,
    log: StageLog,
    options: Mapping[str, Any],
) -> tuple[Standing, list[RolloutRecord], CutoverCount]:
    watch = CutoverWatch(
        Entrance(
            address=deployer.settings.http_address,
            port=deployer.settings.http_port,
            host=deployer.host(release.app),
            path=str(options.get("path", "/")),
        )
    )
    if before and _available(release.app, deployer):
        watch.before()
        watch.start()
    standing: Standing | None = None
    try:
        _apply(release, manifests, deployer)
        standing = follow(release, deployer, watch, log, int(options.get("port", DEFAULT_PORT)))
    finally:
        count = watch.stop(after=standing is not None and bool(standing[WEB].desired))
    records = records_of(release, (status.name for status in standing.values()), deployer, ended=True)
    if not standing[WEB].desired:
        # Nobody is to answer any more: what came meanwhile was not lost by a change-over.
        return standing, records, CutoverCount(sent=0, failed=0, slowest=0.0)
    return standing, records, count


def _apply(release: Release, manifests: str, deployer: Deployer) -> None:
    apply_with_hosts(
        release.app,
        manifests,
        f"{release.app} release {release.number}",
        home=deployer.home,
        settings=deployer.settings,
        database=deployer.database,
        controller=deployer.controller,
    )


def _standing(release: Release, deployer: Deployer, recorder: Recorder, error: BaseException) -> list[dict[str, Any]]:
    """How far a rollout came that is about to be taken back, and why it is, as JSON."""
    try:
        records = records_of(release, processes(release.manifests).values(), deployer, ended=False)
    except RuntimeFailure:
        return []
    reports = reports_of(release, records, CutoverCount(sent=0, failed=0, slowest=0.0))
    # What an app wrote last may hold a secret; the runtime knows those of the release alone.
    why = recorder.mask.text(str(error) or type(error).__name__)
    return [
        replace(item, outcome=STALLED, message=why, log=tuple(map(recorder.mask.text, item.log))).as_json()
        for item in reports
    ]


def _available(app: str, deployer: Deployer) -> int:
    try:
        return deployer.controller.deployment(NAMESPACE, app).available
    except NotFound:
        return 0


def abandon(release: Release, deployer: Deployer) -> str:
    """Take back a rollout that nobody carries out any more, and say what serves instead; nothing where the release is
    no longer pending. The caller holds the app."""
    releases = Releases(deployer.database)
    found = releases.find(release.app, release.number)
    if found is None or found.status is not ReleaseStatus.PENDING:
        return ""
    before = settle(release.app, deployer, ours=release.number)
    said = _restore(release, before, deployer, Recorder(), seconds=0.0)
    report = {**(release.report or {}), "error": "its build ended before its rollout did"}
    releases.finish(release.app, release.number, ReleaseStatus.FAILED, report)
    Apps(deployer.database).keep_processes(release.app, beside_web(before) if before else ())
    return said


def _restore(
    release: Release,
    before: Release | None,
    deployer: Deployer,
    recorder: Recorder,
    *,
    seconds: float = RESTORE_SECONDS,
) -> str:
    """Back to the release before, or to nothing where there was none; waits that long for it to be whole. Never raises:
    the first error is the one to tell."""
    try:
        if before is None:
            with holding_hosts(deployer.home, release.app):
                delete_all(release.app, deployer.controller)
            return "nothing of it is left running"
        _apply(before, with_secrets(before, as_scaled(before, deployer), deployer), deployer)
        remove_others(before, deployer)
        for standing in standings(before, deployer, seconds):
            if all(
                status.observed_generation >= status.generation and status.phase is RolloutPhase.COMPLETE
                for status in standing.values()
            ):
                return f"release {before.number} is serving"
        return f"going back to release {before.number}; `imageforge ps {before.app}` shows how far it is"
    except Exception as error:
        recorder.emit("rollout", EventKind.NOTE, f"going back failed too: {error}")
        return "going back to the release before failed too: see `imageforge status`"


def _forget_secrets(app: str, deployer: Deployer) -> None:
    """Take from the runtime the app's Secrets that no kept release uses; an interrupt's leftovers go next time."""
    used = {name for release in Releases(deployer.database).kept(app) for name in secrets_in(release.manifests)}
    with contextlib.suppress(RuntimeFailure):
        delete_secrets(app, deployer.controller, keep=used)
