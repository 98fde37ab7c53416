"""What is done to a running app beside deploying it: the same for the command line and the API."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping

from imageforge.config import Home, Settings
from imageforge.config.names import FILE_NAME, WEB
from imageforge.errors import ForgeError, UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.domains import NAMESPACE, holding_hosts
from imageforge.pipeline.manifests import processes
from imageforge.pipeline.release import fixed_processes
from imageforge.pipeline.release_command import forget_jobs
from imageforge.pipeline.removal import delete_all, delete_claims, delete_runs, delete_secrets
from imageforge.store import Apps, BuildQueue, Builds, BuildStatus, Database, Releases
from runtime import ControllerClient

log = logging.getLogger(__name__)
FLAG = "--replicas"
"""Where a number of replicas came from that no push sets again."""


def scale(
    app: str, replicas: Mapping[str, int], home: Home, database: Database, controller: ControllerClient
) -> tuple[str, ...]:
    """Ask for so many replicas of some processes from now on, all of them or none; does not wait for them. Returns the
    Deployments. Raises UsageError (`no-live-release`, `no-such-process`, `replicas-set-by-file`), Busy."""
    with deploying(home, app, "a scale"):
        live = Releases(database).live(app)
        if live is None:
            raise UsageError("no-live-release", app, "no release of it is live", hint=f"imageforge releases {app}")
        known, fixed = processes(live.manifests), fixed_processes(live)
        for process in replicas:
            if process not in known:
                raise UsageError(
                    "no-such-process",
                    app,
                    f"it has no process {process}, expected {' or '.join(known)}",
                    hint=f"a process comes with a push that has it in {FILE_NAME}: [app] processes",
                    kept="nothing was changed",
                )
            if process in fixed and fixed[process] != FLAG:
                where = "[app] replicas" if process == WEB else f"[app] processes.{process} replicas"
                if fixed[process] != FILE_NAME:
                    where = f"spec.replicas of the Deployment {known[process]}"
                raise UsageError(
                    "replicas-set-by-file",
                    app,
                    f"its {fixed[process]} sets {where}, and the next push would undo this",
                    hint="change it there and push, or remove it there to scale by hand",
                    kept="nothing was changed",
                )
        for process, count in replicas.items():
            controller.scale(NAMESPACE, known[process], count)
            if process == WEB:
                Apps(database).set_replicas(app, count)
            else:
                Apps(database).scale(app, process, count)
        return tuple(known[process] for process in replicas)


def restart(app: str, home: Home, controller: ControllerClient) -> tuple[str, ...]:
    """Ask for new replicas of the same release, of every process; does not wait for them. Returns the Deployments.
    Raises Busy, NotFound."""
    with deploying(home, app, "a restart"):
        names = running(app, controller)
        for name in names:
            controller.restart(NAMESPACE, name)
        return names


def running(app: str, controller: ControllerClient) -> tuple[str, ...]:
    """The Deployments of an app that are not being deleted, web's first, which is named where it is not there."""
    standing = controller.deployments(NAMESPACE)
    names = {status.name for status in standing if status.app == app and not status.deleting}
    return (app, *sorted(names - {app}))


def delete_app(
    app: str, home: Home, settings: Settings, database: Database, controller: ControllerClient, *, volumes: bool = False
) -> None:
    """Stop an app and forget its releases, its waiting builds, its repository and its images; with `volumes` its claims
    too, and what they hold. Raises Busy."""
    # For this alone: the whole stack comes with it.
    from imageforge.stack.tidy import forget_images  # noqa: PLC0415
    from registry import RegistryError  # noqa: PLC0415

    began = time.time()
    queue = BuildQueue(database)
    for status in (BuildStatus.HELD, BuildStatus.QUEUED):
        for build in Builds(database).latest(app=app, status=status, limit=1000):
            queue.cancel(build.id)
    with deploying(home, app, "a deletion"):
        with holding_hosts(home, app):
            delete_all(app, controller)
        forget_jobs(app, controller)
        delete_runs(app, controller)
        delete_secrets(app, controller)
        if volumes:
            delete_claims(app, controller)
        shutil.rmtree(home.repositories / f"{app}.git", ignore_errors=True)
        Apps(database).delete(app)
    try:
        forget_images(app, home, settings, database, since=began)
    except (ForgeError, RegistryError) as error:
        # The app is gone all the same, and the next tidying removes what no release has.
        log.warning("the images of %s are left to the next tidying of the registry: %s", app, error)
