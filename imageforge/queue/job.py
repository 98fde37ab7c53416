"""What a woken worker does: claim the next build, carry it out, give its room to the next.

RQ runs `work` in a process of its own for each wake-up, forked from a worker that has all of this loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import linters
from builders import BuilderError, Endpoint, SquashMode, engine_facts, find_build_client
from imageforge.config import Home, Settings, load_repository, load_settings
from imageforge.errors import Busy, Cancelled, Failure, ForgeError, StackError, UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.conduct import conduct, conduct_release, ending, recorder_for
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.event import EventKind, Recorder
from imageforge.pipeline.interrupt import Cancellation, HandedBack, Interrupting, interrupted_by
from imageforge.pipeline.plan import Request, plan
from imageforge.pipeline.run import Workshop, destination
from imageforge.pipeline.secrets import AppSecrets
from imageforge.queue.admission import MIB, Needs, Room, obstacle
from imageforge.queue.checkout import fetch, git_credentials
from imageforge.queue.spec import BuildSpec, GitSource, ReleaseSource
from imageforge.queue.wake import Waker
from imageforge.report.deploy import DeployReport
from imageforge.stack.process import myself
from imageforge.stack.state import read_report
from imageforge.store import Build, BuildQueue, Builds, Database
from imageforge.vault import Vault
from registry import RegistryClient
from runtime import ControllerClient

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.5
"""How often a running build is asked whether it was cancelled: of the two seconds that a cancel may take."""
LOCK_SECONDS = 0.5


def work(build_id: int) -> None:
    """Claim and carry out one build: the one whose turn it is, which need not be the one that woke us."""
    del build_id
    home = Home.locate()
    settings = load_settings(home.settings_file)
    waker = Waker(home.redis_socket)
    with Database.at(home.store) as database:
        queue = BuildQueue(database)
        hindrance = obstacle(
            Room.look(home.state),
            Needs(memory=settings.build_free_memory * MIB, disk=settings.build_free_disk * MIB),
            running=queue.running(),
        )
        if hindrance:
            log.warning("no build may start: %s", hindrance)
            for held_back in queue.waiting():
                if Builds(database).note(held_back, f"waiting: {hindrance}"):
                    waker.tell(held_back)
            return
        build = queue.claim(myself(), most_running=settings.workers)
        if build is None:
            return
        waker.tell(build.id)
        _wake_next(queue, waker)  # another worker may have nothing to do
        Job(home, settings, database, waker, build).run()
        _wake_next(queue, waker)


def warm() -> None:
    """Find out and load beforehand what each build would again: those that are forked from here have it."""
    home = Home.locate()
    # The HTTP client loads half of itself, and OpenSSL, with the first that is made.
    RegistryClient(load_settings(home.settings_file).registry).close()
    linters.warm()
    report = read_report(home)
    if report is None:
        return
    endpoint = Endpoint(host=report.engine, origin=report.engine_origin)
    with contextlib.suppress(BuilderError):
        find_build_client(endpoint, engine_facts(endpoint))


def _wake_next(queue: BuildQueue, waker: Waker) -> None:
    waiting = queue.waiting()
    if waiting:
        waker.wake(waiting[0])


class Job:
    """One claimed build in this process, whose main thread it has for itself."""

    def __init__(self, home: Home, settings: Settings, database: Database, waker: Waker, build: Build) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self._waker = waker
        self._build = build
        self._queue = BuildQueue(database)
        self._cancelled = Cancellation()
        self._done = threading.Event()
        self._handed_back = False
        self._reason: ForgeError | None = None
        self._folder = home.scratch / f"build-{build.id}"

    def run(self) -> None:
        """Carry it out; every end is in the store, and nothing is raised but by a bug."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of an attempt that was killed
        secrets, wrong_key = AppSecrets(), None
        try:
            secrets = AppSecrets.of(self._build.app, self._database, Vault(self._home.key_file))
        except ForgeError as error:
            wrong_key = error
        recorder = recorder_for(self._build.id, self._database, (), secrets.mask, stored=self._tell)
        try:
            with self._interruptible():
                self._carry_out(recorder, secrets, wrong_key)
        except HandedBack:
            self._hand_back(recorder)
        except (Exception, KeyboardInterrupt) as error:
            # It is stored and told; only what nobody meant to raise belongs into the worker's log.
            if not isinstance(error, Failure | KeyboardInterrupt):
                log.exception("build %d", self._build.id)
        finally:
            self._done.set()
            recorder.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._waker.tell(self._build.id)

    def _carry_out(self, recorder: Recorder, secrets: AppSecrets, wrong_key: ForgeError | None) -> None:
        assert self._build.spec is not None
        spec = BuildSpec.from_json(self._build.spec)
        end = ending(
            self._build.id,
            self._database,
            recorder,
            keep_builds=self._settings.keep_builds,
            stop_reason=lambda: self._reason,
        )
        with end as last:
            if wrong_key is not None:
                raise wrong_key
            if self._build.attempt > 1:
                recorder.emit("", EventKind.NOTE, f"it was interrupted; this is attempt {self._build.attempt}")
            workshop = self._workshop(secrets)
            deployer = Deployer(
                home=self._home,
                settings=self._settings,
                database=self._database,
                controller=ControllerClient(self._home.controller_socket),
            )
            with self._app(recorder):
                try:
                    report = self._work(spec, workshop, recorder, deployer)
                except HandedBack:
                    # While the app is held: who deletes it next finds the build waiting, and cancels it.
                    self._hand_back(recorder)
                    raise
            last["report"] = report.as_json() if report else None

    def _hand_back(self, recorder: Recorder) -> None:
        if not self._handed_back:
            self._handed_back = True
            recorder.emit("", EventKind.NOTE, "the service is stopping; this build goes on when it is back")
            recorder.close()
            self._queue.give_back(self._build.id, self._build.attempt)

    def _work(self, spec: BuildSpec, workshop: Workshop, recorder: Recorder, deployer: Deployer) -> DeployReport | None:
        source = spec.source
        if isinstance(source, ReleaseSource):
            return conduct_release(
                self._build.app,
                source.number,
                self._build.id,
                recorder,
                deployer,
                note=source.note,
                refresh=source.refresh_environment,
            )
        with recorder.stage("source") as log_:
            credentials = git_credentials(self._build.app, self._database, Vault(self._home.key_file))
            folder = fetch(
                source,
                self._build,
                self._folder,
                self._home,
                self._settings,
                credentials,
                log_,
                self._cancelled,
                built=lambda tip: Builds(self._database).covers(self._build.app, tip, besides=self._build.id),
            )
            Builds(self._database).update(self._build.id, **log_.data)
        planned = plan(_request(spec, folder, self._build.app, self._settings.registry), load_repository(folder))
        if isinstance(source, GitSource):
            planned = replace(planned, repository=source.url, revision=log_.data.get("revision"))
        return conduct(planned, self._build.id, workshop, recorder, self._database, deployer).report

    def _workshop(self, secrets: AppSecrets) -> Workshop:
        report = read_report(self._home)
        if report is None:
            raise StackError(
                "stack-not-running", str(self._home.path), "nothing runs in this home", hint="imageforge up"
            )
        return Workshop(
            home=self._home,
            endpoint=Endpoint(host=report.engine, origin=report.engine_origin),
            settings=self._settings,
            cancelled=self._cancelled,
            secrets=secrets,
        )

    @contextlib.contextmanager
    def _app(self, recorder: Recorder) -> Iterator[None]:
        """Hold the app; a command line that is at it is waited for."""
        said = False
        while True:
            with contextlib.ExitStack() as held:
                try:
                    held.enter_context(deploying(self._home, self._build.app, f"build {self._build.id}"))
                except Busy as busy:
                    if not said:
                        recorder.emit("", EventKind.NOTE, f"waiting: {busy.message}")
                    said = True
                    if self._cancelled.wait(LOCK_SECONDS):
                        raise Cancelled("build-cancelled", f"build {self._build.id}", "it was cancelled") from busy
                    continue
                yield
                return

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """SIGINT, which the heartbeat sends, cancels; SIGTERM, which the worker sends, hands the build back."""

        cancel = Interrupting(first=self._cancelled.set)
        hand_back = Interrupting(HandedBack, first=self._cancelled.set)
        threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True).start()
        try:
            with interrupted_by({signal.SIGINT: cancel, signal.SIGTERM: hand_back}):
                yield
        finally:
            self._done.set()

    def _heartbeat(self) -> None:
        """Renew the lease, and stop the build when it is cancelled, superseded, out of time or somebody else's."""
        end = time.monotonic() + self._settings.build_timeout
        while not self._done.wait(HEARTBEAT_SECONDS):
            try:
                found = self._queue.renew(self._build.id, self._build.attempt)
            except ForgeError:
                continue  # a store that is busy or full for a moment is no reason to stop
            if found is None:
                self._reason = Cancelled("build-lost", f"build {self._build.id}", "another worker has taken it over")
            elif found.superseded_by is not None:
                self._reason = Cancelled(
                    "build-superseded", f"build {self._build.id}", f"build {found.superseded_by} is newer"
                )
            elif found.cancel_at is not None:
                self._reason = Cancelled("build-cancelled", f"build {self._build.id}", "it was cancelled")
            elif time.monotonic() > end:
                self._reason = ForgeError(
                    "build-timeout",
                    f"build {self._build.id}",
                    f"not done after {self._settings.build_timeout} s",
                    hint="look at its slowest step, or raise build_timeout in settings.toml",
                )
            else:
                continue
            self._cancelled.set()
            os.kill(os.getpid(), signal.SIGINT)
            return

    def _tell(self) -> None:
        self._waker.tell(self._build.id)


def _request(spec: BuildSpec, folder: Path, app: str, registry: str) -> Request:
    options = spec.options
    if options.tag is not None:
        # Whoever may build an app may not thereby push to another one's name, or with our credentials to elsewhere.
        named = destination(options.tag, default=options.tag, registry=registry)
        if (named.registry, named.repository) != (registry, app):
            raise UsageError(
                "tag-elsewhere",
                options.tag,
                f"a build at a server is pushed to {registry}/{app}",
                hint="leave --tag out",
            )
    return Request(
        path=folder,
        dockerfile=folder / options.dockerfile if options.dockerfile is not None else None,
        tag=options.tag,
        target=options.target,
        build_args=options.args,
        no_cache=options.no_cache,
        deploy=options.deploy,
        squash=SquashMode(options.squash) if options.squash else None,
        name=app,
        port=options.port,
        replicas=options.replicas,
        confined=True,
    )
