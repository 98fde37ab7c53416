"""An app's release command: once for a release, before anything of it runs. The Job is the record that it ran."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imageforge.config.command import words
from imageforge.errors import DeployFailed
from imageforge.pipeline.event import EventKind, Recorder, StageLog
from imageforge.pipeline.interrupt import HandedBack
from imageforge.pipeline.job_end import LOOK_SECONDS, PATIENCE, JobEnd, patiently
from imageforge.pipeline.manifests import RELEASE_GRACE_SECONDS, join, release_job, release_job_name
from imageforge.pipeline.release_needs import with_needs
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.store import Release
from imageforge.vault import LineMask, Mask
from runtime import ControllerClient, JobPhase, JobStatus, LogLine, NotFound, RuntimeFailure

STAGE = "release"
NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseCommand:
    """What is to be run for which release, and for how many seconds at most. `told` are the lines that an attempt
    which was killed has told already; `secrets` the Secret of the release as YAML: the command takes what web does."""

    release: Release
    command: str
    deadline: int
    told: Iterable[Mapping[str, Any]] = field(default=())
    secrets: str = field(default="", repr=False)

    def run(self, controller: ControllerClient, recorder: Recorder) -> None:
        """Run it, or go on with the one that runs, and tell what it writes as a stage of its own.

        Raises DeployFailed (`release-command-failed`). An interrupt ends it, except where the build is handed back.
        """
        with recorder.stage(STAGE) as log:
            name = release_job_name(self.release.app, self.release.number)
            patiently(lambda: _end_others(self.release.app, name, controller), self._longest)
            try:
                status = self._follow(name, controller, log, recorder.mask)
                if status.lost:
                    log.emit(EventKind.NOTE, "its container was lost, as by a stop of the service: it runs again")
                    patiently(lambda: _clear(self.release.app, name, controller), self._longest)
                    status = self._follow(name, controller, log, recorder.mask)
            except HandedBack:
                raise
            except BaseException:
                with uninterrupted(), contextlib.suppress(RuntimeFailure):
                    # One that is done stays as the record, for an attempt that took the build over meanwhile.
                    if controller.job(NAMESPACE, name).phase is JobPhase.ACTIVE:
                        controller.delete(NAMESPACE, "Job", name)
                raise
            log.data.update(command=self.command, exit_code=status.exit_code)
            log.summary = f"{self.command}, exit {status.exit_code}"
            if status.phase is not JobPhase.SUCCEEDED:
                raise self._failed(status, recorder.mask)

    def _follow(self, name: str, controller: ControllerClient, log: StageLog, mask: Mask) -> JobStatus:
        """The Job's end; it is made where it is not there yet."""
        lines = _Lines(log, mask, {_mark(row) for row in self.told})
        end = JobEnd(
            namespace=NAMESPACE,
            name=name,
            ensure=lambda: self._ensure(name, controller),
            tell=lines.tell,
            seconds=self._longest,
        )
        status = end.follow(controller)
        lines.close()
        return status

    @property
    def _longest(self) -> float:
        """Seconds, with a controller that is away at the beginning and at the end."""
        return self.deadline + 2 * PATIENCE

    def _ensure(self, name: str, controller: ControllerClient) -> None:
        try:
            controller.job(NAMESPACE, name)
        except NotFound:
            release = self.release
            manifest = with_needs(
                release.manifests,
                release_job(
                    release.manifests,
                    release.app,
                    release.number,
                    words(self.command),
                    self.deadline,
                    reference=release.reference,
                ),
            )
            # In one: no pod waits for a Secret that is still to come.
            whole = join(self.secrets, manifest) if self.secrets else manifest
            controller.apply(whole, source=f"{release.app} release {release.number}, release command")

    def _failed(self, status: JobStatus, mask: Mask) -> DeployFailed:
        hint = f"its last lines are above; release {self.release.number} was not started"
        if status.reason == "DeadlineExceeded":
            what = f"was not done after {self.deadline} s and was stopped"
            hint += ". A larger release_deadline in settings.toml gives it more time"
        elif status.exit_code is None:
            what = f"did not run to its end: {status.message}"
        else:
            what = f"exited with code {status.exit_code}"
            if status.message and not status.message.startswith("ended with"):
                what += f": {mask.text(status.message)}"
        return DeployFailed(
            "release-command-failed",
            f"{self.release.app} release {self.release.number}",
            f"`{mask.text(self.command)}` {what}, expected exit code 0",
            hint=hint,
        )


def _clear(app: str, name: str, controller: ControllerClient) -> None:
    """Delete a release's Job and wait until it is gone."""
    with contextlib.suppress(NotFound):
        controller.delete(NAMESPACE, "Job", name)
    _end_others(app, name, controller)


def _end_others(app: str, name: str, controller: ControllerClient) -> None:
    """One release command of an app at a time: that of a deploy which was cancelled may be at its last words."""
    deadline = time.monotonic() + RELEASE_GRACE_SECONDS + PATIENCE
    while True:
        others = [
            job
            for job in jobs_of(app, controller)
            if job.deleting or (job.name != name and job.phase is JobPhase.ACTIVE)
        ]
        for job in others:
            if not job.deleting:
                controller.delete(NAMESPACE, "Job", job.name)
        if not others:
            return
        if time.monotonic() > deadline:
            raise DeployFailed(
                "release-command-failed",
                app,
                f"the release command of a deploy before, {others[0].name}, does not end: {others[0].message}",
                hint="imageforge doctor checks the engine",
            )
        time.sleep(LOOK_SECONDS)


def jobs_of(app: str, controller: ControllerClient) -> tuple[JobStatus, ...]:
    """The Jobs of an app's release commands."""
    return tuple(
        job
        for job in controller.jobs(NAMESPACE)
        if job.app == app and job.release.isdigit() and job.name == release_job_name(app, int(job.release))
    )


def forget_jobs(app: str, controller: ControllerClient, *, but: int | None = None) -> None:
    """Delete the Jobs of an app's releases, except the one of release `but`."""
    for job in jobs_of(app, controller):
        if job.release != str(but):
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Job", job.name)


def _mark(row: Mapping[str, Any]) -> tuple[str, float]:
    return str(row.get("stream", "")), float(row.get("at", 0.0))


class _Lines:
    """Tells each line once, however often the Job's output is read from its beginning, and no secret."""

    def __init__(self, log: StageLog, mask: Mask, told: set[tuple[str, float]]) -> None:
        self._log = log
        self._told = told
        self._masks: defaultdict[str, LineMask] = defaultdict(lambda: LineMask(mask))
        self._waiting: defaultdict[str, deque[float]] = defaultdict(deque)

    def tell(self, line: LogLine) -> None:
        """A line was read."""
        mark = (line.stream, line.at)
        if mark in self._told:
            return
        self._told.add(mark)
        self._waiting[line.stream].append(line.at)
        self._emit(line.stream, self._masks[line.stream].feed(line.text))

    def close(self) -> None:
        """The last was read."""
        for stream, masked in self._masks.items():
            self._emit(stream, masked.close())

    def _emit(self, stream: str, texts: list[str]) -> None:
        for text in texts:
            self._log.emit(EventKind.LINE, text, stream=stream, at=self._waiting[stream].popleft())
