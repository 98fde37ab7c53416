"""A trial from its beginning to its end: two containers of an image side by side, watched, judged, removed."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from linters.errors import TrialError
from linters.trial.engine import Folder, Recipe, TrialEngine
from linters.trial.judge import Judgement, judge, signal_number
from linters.trial.model import Observation, Run, TrialImage, TrialReport, TrialRequest, Verdict
from linters.trial.watch import watch

LOOK_SECONDS = 0.02


def try_image(
    request: TrialRequest, *, host: str, tls: Path | None = None, cancelled: threading.Event | None = None
) -> TrialReport:
    """Runs an image twice, at the same time, and says what was measured. `host` is the engine as DOCKER_HOST spells it.

    The containers have no network but loopback, no capabilities, no way to gain any, a limit of memory and processes,
    and /tmp and /run in memory; one has a root file system that is read-only. Both are removed whatever happens. Raises
    TrialError: `engine-unreachable`, `image-missing`, `engine-refused`, `engine-lost`, `trial-cancelled`.
    """
    begun = time.monotonic()
    with TrialEngine(host, tls) as engine:
        image = engine.image(request.image)
        obstacle = _obstacle(image, request, engine)
        if obstacle:
            found = Judgement(verdict=Verdict.UNMADE, reason=obstacle)
        else:
            trial = _Trial(
                engine=engine,
                image=image,
                request=request,
                deadline=begun + request.limits.seconds,
                cancelled=cancelled or threading.Event(),
            )
            found = judge(trial.observe(), request.name, request.port)
    return TrialReport(
        name=request.name,
        image_id=image.image_id,
        command=_command(image, request),
        verdict=found.verdict,
        seconds=time.monotonic() - begun,
        reason=found.reason,
        hint=found.hint,
        last_words=found.last_words,
        measures=found.measures,
        findings=found.findings,
    )


def _obstacle(image: TrialImage, request: TrialRequest, engine: TrialEngine) -> str:
    """Why there is nothing to try, or empty."""
    if image.os != "linux":
        return f"the image is for {image.os or 'no system'}, and containers of Linux are tried"
    here = engine.architecture()
    if here and image.architecture and image.architecture != here:
        return f"the image is for {image.architecture}, and the engine's machine is {here}"
    if not _command(image, request):
        return "the image has no command, and none was given"
    return ""


def _command(image: TrialImage, request: TrialRequest) -> tuple[str, ...]:
    """What is run: an entrypoint that is given drops the image's CMD, as engines have it."""
    if request.entrypoint is not None:
        return (*request.entrypoint, *(request.command or ()))
    return (*image.entrypoint, *(image.cmd if request.command is None else request.command))


@dataclass(slots=True)
class _Trial:
    engine: TrialEngine
    image: TrialImage
    request: TrialRequest
    deadline: float
    cancelled: threading.Event
    _made: list[str] = field(default_factory=list)

    def observe(self) -> Observation:
        """Run the image, and where it comes up only with the rights that an engine gives, once more with them."""
        try:
            folders = self.engine.memory_folders(self.image.image_id, self.request.labels)
            writable, read_only = self._both(folders, capable=False)
            bare = None
            if not writable.up and writable.exit_code != 0 and _starts_as_root(self.image):
                bare = writable
                writable, read_only = self._both(folders, capable=True)
            return Observation(image=self.image, writable=writable, read_only=read_only, bare=bare)
        finally:
            self._clear()

    def _both(self, folders: tuple[Folder, ...], *, capable: bool) -> tuple[Run, Run]:
        outcomes: dict[bool, Run | BaseException] = {}
        over = threading.Event()

        def run(*, read_only: bool) -> None:
            if over.is_set():
                return
            try:
                outcomes[read_only] = self._run(folders, over, read_only=read_only, capable=capable)
            except BaseException as error:  # it is raised again where the outcomes are read
                outcomes[read_only] = error

        sides = (False, True)
        threads = [threading.Thread(target=run, kwargs={"read_only": one}, daemon=True) for one in sides]
        try:
            for thread in threads:
                thread.start()
            # An interrupt may come at any instruction of this thread, also between taking a lock and the block that
            # gives it back: so nothing here takes one that the others need, as futures and events would.
            while len(outcomes) < len(sides) and not self.cancelled.is_set():
                time.sleep(LOOK_SECONDS)
            if self.cancelled.is_set():
                raise TrialError("trial-cancelled", self.request.name, "the trial was cancelled")
            return _result(outcomes[False]), _result(outcomes[True])
        finally:
            over.set()
            self._clear()  # what a thread waits for ends with its container
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            self._clear()

    def _run(self, folders: tuple[Folder, ...], over: threading.Event, *, read_only: bool, capable: bool) -> Run:
        request = self.request
        recipe = Recipe(
            image=self.image.image_id,
            read_only=read_only,
            capable=capable,
            entrypoint=request.entrypoint,
            command=request.command,
            environment={"PORT": str(request.port), **request.environment},
            labels=request.labels,
            memory_folders=_apart(folders, self.image.volumes),
            limits=request.limits,
        )
        return watch(
            self.engine,
            recipe,
            ports=self.image.exposed,
            signal=signal_number(self.image.stop_signal),
            deadline=self.deadline,
            cancelled=over,
            stop=not read_only,
            made=self._made.append,
        )

    def _clear(self) -> None:
        """Remove what was made. One that cannot be removed now is found by its labels later."""
        while self._made:
            container = self._made[-1]
            with suppress(TrialError):
                self.engine.remove(container)
            self._made.remove(container)  # a thread may have made another one meanwhile


def _result(outcome: Run | BaseException) -> Run:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _apart(folders: tuple[Folder, ...], volumes: tuple[str, ...]) -> tuple[Folder, ...]:
    """Without folders that are volumes, or lie in one."""
    places = [volume.rstrip("/") for volume in volumes]
    return tuple(folder for folder in folders if not any(f"{folder.path}/".startswith(f"{place}/") for place in places))


def _starts_as_root(image: TrialImage) -> bool:
    return image.user.partition(":")[0] in ("", "0", "root")
