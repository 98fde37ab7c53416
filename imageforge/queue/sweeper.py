"""What puts right what a crash left behind: builds whose worker was killed, builds that nobody was woken for."""

from __future__ import annotations

import logging
import threading
import time

from imageforge.config import Home, Settings
from imageforge.errors import ForgeError
from imageforge.pipeline.domains import settle_hosts
from imageforge.queue.contexts import Contexts
from imageforge.queue.wake import Waker
from imageforge.stack.process import lives
from imageforge.store import Apps, Audit, BuildQueue, Builds, Database
from runtime import ControllerClient, ControllerUnreachable, RuntimeFailure

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
CLEAN_SECONDS = 3600.0
HOSTS_SECONDS = 30.0
"""How often every app's hosts are compared with what leads to it: a crash may have parted them."""
DELIVERIES_SECONDS = 30 * 86400.0
"""How long ids of deliveries are kept: most providers sign no time, so an id is the only defence against a replay."""
AUDIT_SECONDS = 400 * 86400.0
CONTEXT_SECONDS = 7 * 86400.0
"""How long an uploaded context can be built again after its build has ended."""


class Sweeper:
    """Looks every two seconds. One an instance is enough; two do no harm."""

    def __init__(self, home: Home, settings: Settings, database: Database, waker: Waker) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self._waker = waker
        self._queue = BuildQueue(database)
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
        recovered = self._queue.recover(lives)
        for build_id in recovered:
            log.warning("the worker of build %d was killed", build_id)
            self._waker.tell(build_id)
        Builds(self._database).settle(lives)
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
        Contexts(self._home.contexts).sweep(Builds(self._database).open_archives(), older_than=CONTEXT_SECONDS)

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
