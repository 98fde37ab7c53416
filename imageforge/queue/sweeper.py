"""What puts right what a crash left behind: builds whose worker was killed or is stuck, builds that nobody was woken
for, builds of pushes whose end nobody told."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.errors import Busy, ForgeError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import abandon
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import settle_hosts
from imageforge.queue.contexts import Contexts
from imageforge.queue.intake import Intake
from imageforge.queue.wake import Waker
from imageforge.stack.process import lives
from imageforge.store import Answers, Apps, Audit, BuildQueue, Builds, Database, Releases
from imageforge.store.build_queue import LEASE_SECONDS
from runtime import ControllerClient, ControllerUnreachable, RuntimeFailure

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
CLEAN_SECONDS = 600.0
HOSTS_SECONDS = 30.0
"""How often every app's hosts are compared with what leads to it: a crash may have parted them."""
DELIVERIES_SECONDS = 30 * 86400.0
"""How long ids of deliveries are kept: most providers sign no time, so an id is the only defence against a replay."""
AUDIT_SECONDS = 400 * 86400.0
CONTEXT_SECONDS = 7 * 86400.0
"""How long an uploaded context can be built again after its build has ended, where there is room."""
SCRATCH = ("build-", "secrets-", "client-")
"""The names of what a build has in the scratch folder, before its number."""
UNNUMBERED = ("squash-", "backup-", "copy-", "tmp")
"""The names of what others have there for as long as they work; who is killed leaves it, the size of an image."""
LEFT_SECONDS = 2 * 86400.0
"""Age after which nobody works in such a folder any more: a build takes a day at most."""
PUSH_REJECTED = {
    "code": "push-rejected",
    "message": "git did not move the branch to this commit",
    "hint": "pull what the branch has by now, then push again",
}

Tip = Callable[[str, str], str | None]
"""(app, branch) -> the commit that the branch has in the app's repository here. Raises ForgeError where git does not
say."""


class Sweeper:
    """Looks every two seconds. One an instance is enough; two do no harm."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        database: Database,
        intake: Intake,
        waker: Waker,
        tip: Tip,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self._intake = intake
        self._waker = waker
        self._tip = tip
        self._clock = clock
        self._queue = BuildQueue(database)
        self._leases: dict[int, tuple[float, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._cleaned_at = 0.0
        self._settled_at = -HOSTS_SECONDS

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> tuple[int, ...]:
        """One look: recover, then wake workers for what waits; gives the builds that were recovered."""
        self._end_stuck()
        self._settle_held()
        recovered = self._queue.recover(lives)
        for build_id in recovered:
            log.warning("the worker of build %d was killed", build_id)
            self._waker.tell(build_id)
        Builds(self._database).settle(lives)
        self._abandon()
        waiting = self._queue.waiting()
        if waiting and self._waker.pending() == 0:
            for build_id in waiting[: self._settings.workers]:
                self._waker.wake(build_id)
        return recovered

    def clean(self) -> None:
        """Drop what nobody will ask for again."""
        now = time.time()
        self._queue.forget_deliveries(now - DELIVERIES_SECONDS)
        Audit(self._database).forget(now - AUDIT_SECONDS)
        Answers(self._database).forget()
        Contexts(self._home.contexts).sweep(
            Builds(self._database).open_archives(),
            older_than=CONTEXT_SECONDS,
            most_bytes=self._settings.keep_contexts * 1024 * 1024,
        )
        self._clear_scratch()

    def _end_stuck(self) -> None:
        """Kill the workers that live and give no sign of it; what they had is recovered. Measured by our own clock and
        by what we saw change, so that a clock that jumps kills nobody."""
        now, seen = self._clock(), {}
        for build_id, (lease, owner) in self._queue.leases().items():
            before = self._leases.get(build_id)
            since = before[1] if before is not None and before[0] == lease else now
            seen[build_id] = (lease, since)
            if now - since > LEASE_SECONDS and lives(owner):
                log.error("the worker of build %d is stuck: killed", build_id)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(owner["pid"]), signal.SIGKILL)
        self._leases = seen

    def _settle_held(self) -> None:
        """Of pushes whose git has ended without telling: carry out those whose branch moved, end the others."""
        for build in self._queue.held(lives):
            try:
                moved = self._tip(build.app, build.branch) == build.revision
            except ForgeError as error:  # it stays held, and is asked about again
                log.warning("whether the branch of build %d moved cannot be told: %s", build.id, error)
                continue
            if moved:
                self._intake.release(build)
                continue
            self._queue.refuse(build.id, {"subject": f"build {build.id}", **PUSH_REJECTED})
            self._waker.tell(build.id)

    def _abandon(self) -> None:
        """Take back the rollouts of builds that ended while no worker was at them. An app that somebody is at is left
        for later."""
        for release in Releases(self._database).abandoned():
            deployer = Deployer(
                home=self._home,
                settings=self._settings,
                database=self._database,
                controller=ControllerClient(self._home.controller_socket),
            )
            try:
                with deploying(self._home, release.app, "taking back a rollout"):
                    said = abandon(release, deployer)
            except Busy:
                continue
            except (RuntimeFailure, ForgeError) as error:
                log.warning("%s release %d is not taken back: %s", release.app, release.number, error)
                continue
            if said:
                log.warning("%s release %d: its build has ended; %s", release.app, release.number, said)

    def _clear_scratch(self) -> None:
        """Remove the folders of builds that will not run again, and those that a killed process left long ago."""
        builds, before = Builds(self._database), time.time() - LEFT_SECONDS
        for folder in self._home.scratch.iterdir():
            if folder.name.startswith(UNNUMBERED) and _changed_at(folder) < before:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            number = next((folder.name.removeprefix(word) for word in SCRATCH if folder.name.startswith(word)), "")
            if number.isdecimal():
                build = builds.find(int(number))
                if build is None or build.status.ended:
                    shutil.rmtree(folder, ignore_errors=True)

    def settle_hosts(self) -> None:
        """Have every app's hosts lead to it. One whose name something else has holds up no other."""
        controller = ControllerClient(self._home.controller_socket)
        for app in Apps(self._database).all():
            try:
                settle_hosts(
                    app.name, home=self._home, settings=self._settings, database=self._database, controller=controller
                )
            except ControllerUnreachable:
                return  # nothing leads anywhere now; it is asked again soon
            except RuntimeFailure as failure:
                log.warning("the hosts of %s: %s", app.name, failure)

    def _run(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS):
            try:
                self.sweep()
                if time.monotonic() - self._settled_at > HOSTS_SECONDS:
                    self.settle_hosts()
                    self._settled_at = time.monotonic()
                if time.monotonic() - self._cleaned_at > CLEAN_SECONDS:
                    self._cleaned_at = time.monotonic()
                    self.clean()
            except ForgeError as error:
                log.warning("sweeping: %s", error)
            except Exception:
                log.exception("sweeping")  # and on: nobody else recovers builds


def _changed_at(path: Path) -> float:
    """In Unix seconds; now, where it has just gone."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return time.time()
