"""What is done to a running app beside deploying it: the same for the command line and the API."""

from __future__ import annotations

import contextlib
import shutil

from imageforge.config import Home
from imageforge.errors import UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import delete_secrets
from imageforge.pipeline.domains import NAMESPACE, holding_hosts
from imageforge.store import Apps, BuildQueue, Builds, BuildStatus, Database, Releases
from runtime import ControllerClient, NotFound


def scale(app: str, replicas: int, home: Home, database: Database, controller: ControllerClient) -> None:
    """Ask for so many replicas from now on; does not wait for them. Raises UsageError (`no-live-release`,
    `replicas-set-by-file`), Busy."""
    with deploying(home, app, "a scale"):
        live = Releases(database).live(app)
        if live is None:
            raise UsageError("no-live-release", app, "no release of it is live", hint=f"imageforge releases {app}")
        if (live.report or {}).get("replicas_from") == "imageforge.toml":
            raise UsageError(
                "replicas-set-by-file",
                app,
                "its imageforge.toml sets [app] replicas, and the next push would undo this",
                hint="change it there and push, or remove it there to scale by hand",
                kept="nothing was changed",
            )
        controller.scale(NAMESPACE, app, replicas)
        Apps(database).set_replicas(app, replicas)


def restart(app: str, home: Home, controller: ControllerClient) -> None:
    """Ask for new replicas of the same release; does not wait for them. Raises Busy."""
    with deploying(home, app, "a restart"):
        controller.restart(NAMESPACE, app)


def delete_app(app: str, home: Home, database: Database, controller: ControllerClient) -> None:
    """Stop an app and forget its releases, its waiting builds and its repository. Raises Busy."""
    queue = BuildQueue(database)
    for status in (BuildStatus.HELD, BuildStatus.QUEUED):
        for build in Builds(database).latest(app=app, status=status, limit=1000):
            queue.cancel(build.id)
    with deploying(home, app, "a deletion"):
        with holding_hosts(home, app):
            for kind in ("Service", "Deployment"):
                with contextlib.suppress(NotFound):
                    controller.delete(NAMESPACE, kind, app)
        delete_secrets(app, controller)
        shutil.rmtree(home.repositories / f"{app}.git", ignore_errors=True)
        Apps(database).delete(app)
