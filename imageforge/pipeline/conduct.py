"""One build from its plan to its end, kept in the store: what a command line and a worker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from imageforge.errors import Failure, ForgeError, UsageError
from imageforge.images.known import known_references
from imageforge.pipeline.deploy import roll_out, tell_environment
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.interrupt import HandedBack
from imageforge.pipeline.plan import Plan
from imageforge.pipeline.release import again, release_product, serving
from imageforge.pipeline.run import Earlier, Product, Workshop, reuse, run
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.report.deploy import DeployReport, StageRow
from imageforge.stack.registry_lock import writing_registry
from imageforge.store import Build, Builds, BuildStatus, Database, Release, Releases, ReleaseStatus
from imageforge.vault import Mask

LOG_BYTES = 256 * 1024 * 1024
"""Bytes of compressed events above which the oldest builds lose theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a build that succeeded; `report` where it was deployed."""

    product: Product
    report: DeployReport | None


def recorder_for(
    build_id: int,
    database: Database,
    listeners: tuple[Callable[[Event], None], ...],
    mask: Mask,
    *,
    stored: Callable[[], None] = lambda: None,
) -> Recorder:
    """A recorder that stores a build's events, and goes on after those that an interrupted attempt left. `stored` is
    called whenever there is more to read: for a chatty step once for hundreds of lines, and never before they are
    there."""
    builds = Builds(database)

    def store(rows: list[dict[str, Any]]) -> None:
        builds.append(build_id, rows)
        stored()

    return Recorder(listeners=listeners, sink=store, number=builds.last_event(build_id), mask=mask)


StopReason = Callable[[], ForgeError | None]


@contextmanager
def ending(
    build_id: int,
    database: Database,
    recorder: Recorder,
    *,
    keep_builds: int,
    stop_reason: StopReason = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Store how a build ends, whatever ends it; the yielded dictionary is told with its last event. `stop_reason` says
    why it was interrupted, where somebody else did that."""
    builds = Builds(database)
    last: dict[str, Any] = {}
    try:
        yield last
    except HandedBack:
        raise
    except BaseException as error:
        reason = stop_reason() or error
        if getattr(reason, "code", "") != "build-lost":  # then its row is another worker's
            status, data = status_of(reason), recorder.mask.data(error_data(reason))
            with uninterrupted():
                recorder.emit("", EventKind.FINISHED, status.value, error=data)
                recorder.close()
                builds.finish(build_id, status, error=data)
                builds.forget_beyond(keep_builds, log_bytes=LOG_BYTES)
        raise
    with uninterrupted():
        recorder.emit("", EventKind.FINISHED, BuildStatus.SUCCEEDED.value, **last)
        recorder.close()
        builds.finish(build_id, BuildStatus.SUCCEEDED)
    builds.forget_beyond(keep_builds, log_bytes=LOG_BYTES)


def conduct(
    plan: Plan, build_id: int, workshop: Workshop, recorder: Recorder, database: Database, deployer: Deployer | None
) -> Outcome:
    """Carry out a plan: build, and where it says so, deploy, for which it needs the `deployer`. An attempt that was
    interrupted is gone on with. Raises what `run` and `roll_out` raise."""
    builds = Builds(database)
    stages: list[StageRow] = []

    def collect(event: Event) -> None:
        if event.kind is EventKind.STAGE_FINISHED:
            stages.append(StageRow(name=event.stage, summary=event.text, seconds=float(event.data["seconds"])))

    def find(fingerprint: str) -> Earlier | None:
        return _earlier(builds.succeeded_with(fingerprint))

    workshop = replace(workshop, references=lambda: known_references(database))
    recorder.listen(collect)
    # Until it is stored what was pushed or taken over, a sweep would take it for nobody's.
    with writing_registry(workshop.home):
        product = reuse(_earlier(builds.find(build_id)), build_id, workshop, recorder)
        if product is None:
            product = run(plan, build_id, workshop, recorder, find=find)
            builds.update(
                build_id,
                reference=product.reference,
                image_id=product.image_id,
                fingerprint=product.fingerprint,
                reused_from=product.reused_from,
            )
    report = None
    if plan.deploy:
        assert deployer is not None
        same = serving(plan, product, deployer) if product.reused_from else None
        if same is not None:
            with recorder.stage("rollout") as log:
                log.summary = f"release {same.number} runs this already"
            builds.update(build_id, release=same.number)
            return Outcome(product=product, report=DeployReport.from_json(same.report or {}))
        release = release_product(plan, product, deployer)
        builds.update(build_id, release=release.number)
        if done := _done(release):
            return Outcome(product=product, report=done)
        report = roll_out(release, deployer, recorder, tuple(stages), build_id=build_id)
    return Outcome(product=product, report=report)


def _done(release: Release) -> DeployReport | None:
    """The report of a release that an earlier attempt, killed afterwards, had made live: what came since must not be
    undone."""
    if release.status in (ReleaseStatus.LIVE, ReleaseStatus.SUPERSEDED) and "requests" in (release.report or {}):
        return DeployReport.from_json(release.report or {})
    return None


def conduct_release(
    app: str, number: int, build_id: int, recorder: Recorder, deployer: Deployer, *, note: str, refresh: bool
) -> DeployReport:
    """Run release `number` of an app again as a new one; with `refresh` in the environment as it is now, and after its
    release command. An attempt that was interrupted is gone on with. Raises what `roll_out` raises; UsageError
    (`no-such-release`)."""
    builds, releases = Builds(deployer.database), Releases(deployer.database)
    build = builds.find(build_id)
    release = releases.find(app, build.release) if build and build.release else None
    if release is None:
        # What is live may have changed since this was asked for, and its image must stay.
        earlier = releases.live(app) if refresh else releases.find(app, number)
        if earlier is None:
            raise UsageError("no-such-release", app, f"release {number} is no longer kept")
        release = again(earlier, deployer, note=note, refresh=refresh, made_by=build_id)
        if not refresh:
            tell_environment(earlier, deployer, recorder)
    elif done := _done(release):
        return done
    # The command of an earlier release knows nothing of what later ones did; another environment may need it.
    return roll_out(release, deployer, recorder, (), build_id=build_id if refresh else None)


ENDS = {
    "build-cancelled": BuildStatus.CANCELLED,
    "git-cancelled": BuildStatus.CANCELLED,
    "build-superseded": BuildStatus.SUPERSEDED,
    "build-skipped": BuildStatus.CANCELLED,
}


def status_of(error: BaseException) -> BuildStatus:
    """The end of a build that raised this."""
    code = getattr(error, "code", "")
    if isinstance(error, KeyboardInterrupt):
        return BuildStatus.CANCELLED
    if code in ENDS:
        return ENDS[code]
    if isinstance(error, Failure) and error.kind == "refused":
        return BuildStatus.REFUSED
    return BuildStatus.FAILED


def error_data(error: BaseException) -> dict[str, Any]:
    """An error as a build's row, its events and the API hold it."""
    if isinstance(error, Failure):
        return {
            "code": error.code,
            "kind": error.kind,
            "subject": error.subject,
            "message": error.message,
            "hint": error.hint,
            "kept": error.kept,
        }
    if isinstance(error, KeyboardInterrupt):
        return {"code": "interrupted", "kind": "failed", "subject": "build", "message": "it was interrupted"}
    return {
        "code": "internal",
        "kind": "failed",
        "subject": "imageforge",
        "message": f"{type(error).__name__}: {error}",
    }


def _earlier(build: Build | None) -> Earlier | None:
    if build is None or build.reference is None or build.image_id is None or "@" not in build.reference:
        return None
    return Earlier(build_id=build.id, reference=build.reference, image_id=build.image_id)
