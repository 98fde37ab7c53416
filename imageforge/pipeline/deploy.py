"""From an image to a running release: make the release, run its release command, hand its manifests to the runtime,
watch all of its processes, and on failure go back to the release before."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imageforge.config import Home, Settings
from imageforge.config.repository import FILE_NAME, WEB
from imageforge.errors import DeployFailed, ForgeError, GateRefused
from imageforge.pipeline.cutover import CutoverCount, CutoverWatch
from imageforge.pipeline.domains import NAMESPACE, apply_with_hosts, holding_hosts
from imageforge.pipeline.event import EventKind, Recorder, StageLog
from imageforge.pipeline.interrupt import HandedBack
from imageforge.pipeline.manifests import (
    Worker,
    Workload,
    generate,
    processes,
    renumber,
    rescale,
    secrets_in,
    with_environment,
)
from imageforge.pipeline.plan import DEFAULT_PORT, Plan
from imageforge.pipeline.release_command import STAGE, ReleaseCommand, forget_jobs
from imageforge.pipeline.run import Product
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.pipeline.secrets import AppSecrets
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.pipeline.verdict import Verdict, judge
from imageforge.report.deploy import DeployReport, ProcessRow, ReplicaRow, StageRow
from imageforge.stack.registry_lock import writing_registry
from imageforge.store import App, Apps, Builds, Database, Environment, Release, Releases, ReleaseStatus
from imageforge.vault import LineMask, Vault
from runtime import ControllerClient, DeploymentStatus, NotFound, RolloutPhase, RuntimeFailure, ServiceCounters

LOG_LINES = 10
"""How many of a failed replica's last lines go into the events and the report."""
OPTIONS = ("port", "path", "replicas_from", "fixed", "environment", "release_command")
"""What a release's report holds from the start: how it is watched, where its number of replicas came from, the
processes beside web whose number the file sets, the environment that the file gives it, and its release command."""
PREPARED = "prepared"
"""In a release's report: its release command has succeeded, which is known when its Job is gone."""
RESTORE_SECONDS = 30.0
"""How long a failed deploy waits for the release before to be whole again, so as to say so."""
NO_REQUESTS = ServiceCounters(requests=0, failed=0, retried=0, redispatched=0, errors_5xx=0, in_flight=0)


Standing = Mapping[str, DeploymentStatus]
"""How each process of a release stands, by its name, web first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployer:
    """What a deploy works with."""

    home: Home
    settings: Settings
    database: Database
    controller: ControllerClient

    @property
    def vault(self) -> Vault:
        """What opens the secrets."""
        return Vault(self.home.key_file)

    def host(self, app: str) -> str:
        """The name under which the balancer serves an app."""
        return f"{app}.{self.settings.host_suffix}"


def release_product(plan: Plan, product: Product, deployer: Deployer) -> Release:
    """A new release of what was built; stored, not yet running. A build whose worker was killed finds the release that
    it had made. Raises GateRefused (`runs-as-root`), UsageError (`process-name-taken`)."""
    releases = Releases(deployer.database)
    made = releases.made_by(plan.app, product.build_id)
    if made is not None:
        return made
    number = releases.next_number(plan.app)
    secrets = RunSecrets.now(plan.app, deployer.database, deployer.vault)
    workload = _workload(plan, product, deployer, number, secrets)
    Apps(deployer.database).ensure(plan.app)
    Apps(deployer.database).claim(plan.app, [process.name for process in plan.processes])
    release = Release(
        app=plan.app,
        number=number,
        build_id=product.build_id,
        reference=product.reference,
        image_id=product.image_id,
        manifests=generate(workload),
        status=ReleaseStatus.PENDING,
        created_at=time.time(),
        report={
            "port": workload.port,
            "path": plan.health or "/",
            "replicas_from": plan.replicas_from,
            "fixed": [process.name for process in plan.processes if process.replicas is not None],
            "release_command": plan.release,
            "environment": dict(plan.environment),
        },
        secrets=secrets.sealed(deployer.vault) if secrets else None,
    )
    releases.add(release)
    return release


def serving(plan: Plan, product: Product, deployer: Deployer) -> Release | None:
    """The live release, where it is in every point what this product would be released as, and runs whole."""
    live = Releases(deployer.database).live(plan.app)
    if live is None:
        return None
    # Other secrets have another name, and so make other manifests.
    secrets = RunSecrets.now(plan.app, deployer.database, deployer.vault)
    if live.manifests != generate(_workload(plan, product, deployer, live.number, secrets)):
        return None
    options = live.report or {}
    same_command = options.get("release_command") == plan.release
    return live if same_command and "requests" in options and _runs(live, deployer) else None


def _runs(release: Release, deployer: Deployer) -> bool:
    """Whether each process of a release runs whole, and of this release."""
    standing = {status.name: status for status in deployer.controller.deployments(NAMESPACE)}
    return all(
        name in standing
        and standing[name].phase is RolloutPhase.COMPLETE
        and standing[name].release == str(release.number)
        for name in processes(release.manifests).values()
    )


def _workload(plan: Plan, product: Product, deployer: Deployer, number: int, secrets: RunSecrets | None) -> Workload:
    numeric = _check_user(plan, product.config)
    found = Apps(deployer.database).find(plan.app)
    app = found or App(name=plan.app, created_at=0.0, replicas=None)
    return Workload(
        app=plan.app,
        release=number,
        reference=product.reference,
        port=_port(plan, product),
        replicas=_replicas(plan, app.replicas),
        host=deployer.host(plan.app),
        deadline=deployer.settings.deploy_deadline,
        health=plan.health,
        environment={**plan.environment, **Environment(deployer.database).of(plan.app)},
        numeric_user=numeric,
        secret=secrets.use if secrets else None,
        command=plan.command,
        workers=tuple(
            Worker(
                name=process.name,
                command=process.command,
                replicas=app.scales.get(process.name, 1) if process.replicas is None else process.replicas,
            )
            for process in plan.processes
        ),
    )


def again(
    earlier: Release, deployer: Deployer, *, note: str, refresh: bool = False, made_by: int | None = None
) -> Release:
    """A new release with an earlier one's image and manifests; only the release's number in them differs, and with
    `refresh` the environment and the secrets, which become what is set for the app now. `made_by` is the build that
    asks for it. Raises UsageError (`process-name-taken`)."""
    releases = Releases(deployer.database)
    Apps(deployer.database).claim(earlier.app, _beside_web(earlier))
    number = releases.next_number(earlier.app)
    manifests = renumber(_as_scaled(earlier, deployer), number)
    sealed = earlier.secrets
    if refresh:
        options = earlier.report or {}
        own = options.get("environment") or {}
        environment = {**own, **Environment(deployer.database).of(earlier.app)}
        secrets = RunSecrets.now(earlier.app, deployer.database, deployer.vault)
        port = int(options.get("port", DEFAULT_PORT))
        manifests = with_environment(manifests, environment, secrets.use if secrets else None, port=port)
        sealed = secrets.sealed(deployer.vault) if secrets else None
    release = Release(
        app=earlier.app,
        number=number,
        build_id=earlier.build_id,
        reference=earlier.reference,
        image_id=earlier.image_id,
        manifests=manifests,
        status=ReleaseStatus.PENDING,
        created_at=time.time(),
        note=note,
        report={key: value for key, value in (earlier.report or {}).items() if key in OPTIONS},
        secrets=sealed,
    )
    releases.add(release, made_by=made_by)
    return release


def roll_out(
    release: Release,
    deployer: Deployer,
    recorder: Recorder,
    stages: tuple[StageRow, ...],
    *,
    build_id: int | None = None,
) -> DeployReport:
    """Run a release, and keep what became of it. On failure or interrupt the release before serves as it did.

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
        manifests = _with_secrets(release, release.manifests, deployer)
    except ForgeError as error:
        releases.finish(release.app, release.number, ReleaseStatus.FAILED, {**options, "error": str(error)})
        error.kept = error.kept or "nothing was changed"
        raise
    if build_id is not None and options.get("release_command"):
        stages = (*stages, _prepare(release, deployer, recorder, build_id))
        options[PREPARED] = True
    before: Release | None = None
    settled = False
    began = time.monotonic()
    try:
        before, settled = settle(release.app, deployer, ours=release.number), True
        with recorder.stage("rollout") as log:
            standing, count, counters = _roll(release, manifests, before, deployer, log, options)
            report = _report(release, standing, deployer, counters, count, time.monotonic() - began, stages)
            log.summary = report.rollout_summary
            log.data.update(requests=report.requests, failed=report.failed)
        with uninterrupted():
            # Before it is said that the release is live: a worker that is killed here begins again with the rollout.
            _remove_others(release, deployer)
            releases.finish(release.app, release.number, ReleaseStatus.LIVE, {**options, **report.as_json()})
            apps.keep_processes(release.app, _beside_web(release))
    except BaseException as error:
        with uninterrupted():
            kept = _restore(release, before, deployer, recorder) if settled else "nothing was changed"
            if isinstance(error, DeployFailed):
                error.kept = kept
            releases.finish(
                release.app, release.number, ReleaseStatus.FAILED, {**options, "error": recorder.mask.text(str(error))}
            )
            if settled:
                apps.keep_processes(release.app, _beside_web(before) if before else ())
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
            hint="an app must serve on while it gets SIGTERM, and stop when its last request is answered",
        )
    return report


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
            Apps(deployer.database).keep_processes(release.app, _beside_web(live) if live else ())
        raise
    releases.note(release.app, release.number, {**options, PREPARED: True})
    summary = recorder.mask.text(f"{command}, exit 0")
    return StageRow(name=STAGE, summary=summary, seconds=time.monotonic() - began)


def _beside_web(release: Release) -> list[str]:
    return [name for name in processes(release.manifests) if name != WEB]


def _remove_others(release: Release, deployer: Deployer) -> None:
    """Delete the Deployments of an app that are not in this release: of processes that its file no longer has, or that
    only a release which failed had."""
    wanted = set(processes(release.manifests).values())
    for status in deployer.controller.deployments(NAMESPACE):
        if status.app == release.app and status.name not in wanted:
            with contextlib.suppress(NotFound):
                deployer.controller.delete(NAMESPACE, "Deployment", status.name)


def _roll(
    release: Release,
    manifests: str,
    before: Release | None,
    deployer: Deployer,
    log: StageLog,
    options: Mapping[str, Any],
) -> tuple[Standing, CutoverCount, ServiceCounters]:
    watch = CutoverWatch(
        address=deployer.settings.http_address,
        port=deployer.settings.http_port,
        host=deployer.host(release.app),
        path=str(options.get("path", "/")),
    )
    counted = _counters(deployer, release.app)
    if before and _available(release.app, deployer):
        watch.start()
    try:
        _apply(release, manifests, deployer)
        standing, first = _wait(release, deployer, watch, log, int(options.get("port", DEFAULT_PORT)))
    finally:
        count = watch.stop()
    if not standing[WEB].desired:
        # Nobody is to answer any more: what came meanwhile was not lost by a change-over.
        return standing, CutoverCount(sent=0, failed=0, slowest=0.0), NO_REQUESTS
    return standing, count, _difference(first or counted, _counters(deployer, release.app))


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


def _available(app: str, deployer: Deployer) -> int:
    try:
        return deployer.controller.deployment(NAMESPACE, app).available
    except NotFound:
        return 0


def _wait(
    release: Release, deployer: Deployer, watch: CutoverWatch, log: StageLog, port: int
) -> tuple[Standing, ServiceCounters | None]:
    """How the processes stand once all of them are done; and where nothing answered before, what was counted when the
    first replica did."""
    said, first = "", None
    for standing in _standings(release, deployer):
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
            first = _counters(deployer, release.app)
            watch.start()
        verdicts = {
            process: judge(one, port=port if process == WEB else None, now=time.time())
            for process, one in standing.items()
        }
        for process, verdict in verdicts.items():
            if verdict.failed:
                _fail(release, verdict, log, process if len(standing) > 1 else "")
        if all(verdict.done for verdict in verdicts.values()):
            return standing, first
    raise DeployFailed(
        "rollout-interrupted", release.app, "the controller ended in the middle", hint="imageforge status"
    )


def _standings(release: Release, deployer: Deployer, timeout: float | None = None) -> Iterator[Standing]:
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


def _restore(release: Release, before: Release | None, deployer: Deployer, recorder: Recorder) -> str:
    """Back to the release before, or to nothing where there was none. Never raises: the first error is the one to
    tell."""
    try:
        if before is None:
            with holding_hosts(deployer.home, release.app):
                delete_all(release.app, deployer.controller)
            return "nothing of it is left running"
        _apply(before, _with_secrets(before, _as_scaled(before, deployer), deployer), deployer)
        _remove_others(before, deployer)
        for standing in _standings(before, deployer, RESTORE_SECONDS):
            if all(
                status.observed_generation >= status.generation and status.phase is RolloutPhase.COMPLETE
                for status in standing.values()
            ):
                return f"release {before.number} is serving"
        return f"going back to release {before.number}; `imageforge ps {before.app}` shows how far it is"
    except Exception as error:
        recorder.emit("rollout", EventKind.NOTE, f"going back failed too: {error}")
        return "going back to the release before failed too: see `imageforge status`"


def _with_secrets(release: Release, manifests: str, deployer: Deployer) -> str:
    """A release's manifests with its Secret, which the runtime takes in one piece: no replica starts without it. Raises
    StackError (`key-wrong`, `key-missing`)."""
    secrets = RunSecrets.of(release, deployer.vault)
    return f"{secrets.manifest()}---\n{manifests}" if secrets else manifests


def _forget_secrets(app: str, deployer: Deployer) -> None:
    """Take from the runtime the app's Secrets that no kept release uses; an interrupt's leftovers go next time."""
    used = {name for release in Releases(deployer.database).kept(app) for name in secrets_in(release.manifests)}
    with contextlib.suppress(RuntimeFailure):
        delete_secrets(app, deployer.controller, keep=used)


def delete_secrets(app: str, controller: ControllerClient, *, keep: Collection[str] = ()) -> None:
    """Take an app's Secrets from the runtime, but for those named."""
    mine = {"app.kubernetes.io/name": app, "app.kubernetes.io/managed-by": "imageforge"}
    for secret in controller.secrets(NAMESPACE):
        if mine.items() <= secret.labels.items() and secret.name not in keep:
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Secret", secret.name)


def delete_all(app: str, controller: ControllerClient) -> None:
    """Delete all that runs of an app; does not wait for it to be gone."""
    with contextlib.suppress(NotFound):
        controller.delete(NAMESPACE, "Service", app)
    for status in controller.deployments(NAMESPACE):
        if status.app == app:
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Deployment", status.name)


def _as_scaled(release: Release, deployer: Deployer) -> str:
    """A release's manifests with the replicas that `scale` asked for since, unless its file or a flag set them."""
    app = Apps(deployer.database).find(release.app)
    if app is None:
        return release.manifests
    fixed = fixed_processes(release)
    asked = dict(app.scales) if app.replicas is None else {WEB: app.replicas, **app.scales}
    wanted = {process: count for process, count in asked.items() if process not in fixed}
    return rescale(release.manifests, wanted) if wanted else release.manifests


def fixed_processes(release: Release) -> dict[str, str]:
    """The processes of a release whose number of replicas is set elsewhere than by `scale`, and where that is."""
    options = release.report or {}
    web = {WEB: str(options["replicas_from"])} if options.get("replicas_from") else {}
    return {**web, **dict.fromkeys(options.get("fixed") or (), FILE_NAME)}


def settle(app: str, deployer: Deployer, *, ours: int | None = None) -> Release | None:
    """The release that serves, after deploys that were killed and left theirs pending are settled.

    What the controller holds decides: a pending release that it runs to the end, with all of its processes, is live; so
    is one that it is still rolling out where there is none before it to go back to. All others have failed. `ours` is
    the caller's own.
    """
    releases = Releases(deployer.database)
    held = ""
    with contextlib.suppress(NotFound):
        held = deployer.controller.deployment(NAMESPACE, app).release
    live = releases.live(app)
    for release in releases.pending(app):
        if release.number == ours:
            continue
        serves = str(release.number) == held and (live is None or _runs(release, deployer))
        releases.finish(app, release.number, ReleaseStatus.LIVE if serves else ReleaseStatus.FAILED, release.report)
    return releases.live(app)


def _check_user(plan: Plan, config: Mapping[str, Any]) -> bool:
    """Whether the image's user is a number other than 0; an image that runs as root is refused unless waived."""
    user = str((config.get("config") or {}).get("User") or "").split(":")[0]
    root = user in ("", "0", "root")
    today = datetime.date.today()
    if root and not (plan.waived("IF401", today) or plan.waived("IF402", today)):
        raise GateRefused(
            "runs-as-root",
            plan.app,
            "the image has no USER, so its processes run as root" if not user else f"the image's USER is {user}",
            hint="add `USER 10001` to the Dockerfile, or waive IF402 in [lint] waivers with a reason and an end date",
            kept="the image was built and pushed; nothing was deployed",
        )
    return user.isdigit() and not root


def _port(plan: Plan, product: Product) -> int:
    if plan.port:
        return plan.port
    return product.exposed_ports[0] if len(product.exposed_ports) == 1 else DEFAULT_PORT


def _replicas(plan: Plan, scaled: int | None) -> int:
    if plan.replicas is not None:
        return plan.replicas
    return 1 if scaled is None else scaled


def _counters(deployer: Deployer, app: str) -> ServiceCounters:
    try:
        return deployer.controller.counters(NAMESPACE, app)
    except NotFound:
        return NO_REQUESTS


def _difference(before: ServiceCounters, after: ServiceCounters) -> ServiceCounters:
    return ServiceCounters(
        requests=after.requests - before.requests,
        failed=after.failed - before.failed,
        retried=after.retried - before.retried,
        redispatched=after.redispatched - before.redispatched,
        errors_5xx=after.errors_5xx - before.errors_5xx,
        in_flight=after.in_flight,
    )


def _report(
    release: Release,
    standing: Standing,
    deployer: Deployer,
    counters: ServiceCounters,
    count: CutoverCount,
    seconds: float,
    stages: tuple[StageRow, ...],
) -> DeployReport:
    return DeployReport(
        app=release.app,
        release=release.number,
        reference=release.reference,
        url=deployer.settings.url(deployer.host(release.app)),
        desired=sum(status.desired for status in standing.values()),
        ready=sum(status.ready for status in standing.values()),
        requests=max(counters.requests, count.sent),
        failed=max(counters.failed, count.failed),
        retried=counters.retried,
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
    )
