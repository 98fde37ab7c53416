"""What a push does: before the ref moves, the tree is linted and the build is stored and held; after it, the build is
let go and shown. A ref that git does not move after all leaves a held build, which the sweeper ends."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from imageforge.config import Home, Settings, load_repository
from imageforge.errors import UsageError
from imageforge.pipeline.event import EventKind, Recorder, event_from
from imageforge.pipeline.gate import lint
from imageforge.pipeline.plan import Request, plan
from imageforge.queue.intake import Intake, Origin
from imageforge.queue.spec import ArchiveSource, Options
from imageforge.queue.wake import Waker
from imageforge.report.deploy import DeployReport, as_text
from imageforge.report.failure import render_stored
from imageforge.report.progress import Progress
from imageforge.sources import Limits, unpack
from imageforge.stack.process import identify
from imageforge.store import App, Build, Builds, BuildStatus, Database
from imageforge.webhooks import skips_ci

PIECE = 1024 * 1024
FOLLOW_SECONDS = 0.2
HEADS = "refs/heads/"


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """One ref as it was and as it is to be; a hash of zeros where there is none."""

    before: str
    after: str
    ref: str

    @property
    def deletes(self) -> bool:
        """Whether the ref goes away."""
        return not self.after.strip("0")


class Hook:
    """The hooks of one app's repository, run by git in its folder. Once `stopping` says that the service goes away,
    nobody waits for a build any more."""

    def __init__(
        self,
        *,
        app: str,
        actor: str,
        home: Home,
        settings: Settings,
        database: Database,
        waker: Waker,
        holder: int,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._actor = actor
        self._holder = holder
        self._stopping = stopping
        self._settings = settings
        self._scratch = home.scratch
        self._opinions = home.opinions
        self._database = database
        self._intake = Intake(home, settings, database, waker)
        self._app: App = self._intake.new_app(app)

    def accept(self, pushes: list[Push]) -> None:
        """pre-receive: lint and store, held. Raises what refuses the push; nothing is stored then.

        The archive is made here because the objects are in git's quarantine until this hook has ended: nobody else can
        see them.
        """
        for push in pushes:
            if self._builds(push) and not push.deletes:
                self._accept(push)
            elif push.ref.startswith(HEADS) and not push.deletes:
                say(
                    f"{push.ref.removeprefix(HEADS)} is stored and not deployed: {self._app.name} deploys "
                    f"{self._app.settings.branch} (imageforge apps set {self._app.name} --branch NAME)"
                )

    def follow(self, pushes: list[Push]) -> None:
        """post-receive: show the builds as they go, and how they end. The refs have moved; git ends with 0 whatever
        comes of it."""
        for push in pushes:
            if not self._builds(push):
                continue
            if push.deletes:
                say(f"{self._app.settings.branch} is deleted; what runs of {self._app.name} runs on")
                continue
            found = Builds(self._database).latest(app=self._app.name, revision=push.after, limit=1)
            if found and found[0].origin == "git":
                self._intake.release(found[0])
                say(f"accepted as build {found[0].id}")
                self._show(found[0])

    def _builds(self, push: Push) -> bool:
        return push.ref == HEADS + self._app.settings.branch

    def _accept(self, push: Push) -> None:
        if _git("cat-file", "-t", push.after).strip() != "commit":
            # git itself refuses this only after the hook, when a build of it would be on its way.
            raise UsageError("not-a-commit", push.ref, "a branch is to point to something that is no commit")
        message = _git("log", "-1", "--format=%B", push.after).strip()
        if skips_ci(message):
            say(f"{push.after[:12]} says not to build it")
            return
        limit = self._settings.context_limit * PIECE
        with (
            self._intake.contexts.draft(limit=limit, spare=self._settings.build_free_disk * PIECE) as draft,
            tempfile.TemporaryDirectory(dir=self._scratch) as scratch,
        ):
            _archive(push.after, draft.write)
            draft.flush()
            folder = Path(scratch) / "tree"
            unpack(draft.path, folder, Limits(bytes=limit))
            planned = plan(
                Request(path=folder, deploy=True, name=self._app.name, confined=True), load_repository(folder)
            )
            with Progress(stream=sys.stdout) as progress, Recorder(listeners=(progress,)).stage("lint") as log:
                lint(planned, log, memory=self._opinions)
            digest = draft.keep()
        holder = identify(self._holder)
        self._intake.submit(
            self._app,
            ArchiveSource(digest=digest),
            Options(),
            Origin(
                way="git",
                actor=self._actor,
                branch=self._app.settings.branch,
                revision=push.after,
                message=message.partition("\n")[0][:200],
                held_by=dataclasses.asdict(holder) if holder else {},
            ),
        )

    def _show(self, build: Build) -> None:
        builds = Builds(self._database)
        number = 0
        with Progress(stream=sys.stdout) as progress:
            while True:
                found = builds.find(build.id)
                for row in builds.events(build.id, after=number):
                    number = row["number"]
                    event = event_from(row)
                    if event.stage != "lint":  # it was shown before the ref moved
                        progress(event)
                    if event.kind is EventKind.FINISHED and event.data.get("report"):
                        say("\n" + as_text(DeployReport.from_json(event.data["report"])))
                if found is None or found.status.ended:
                    break
                if self._stopping():
                    say(f"the service is stopping; build {build.id} goes on when it is back")
                    return
                time.sleep(FOLLOW_SECONDS)
        if found is None or found.status is BuildStatus.SUCCEEDED:
            return
        if found.status is BuildStatus.SUPERSEDED:
            say(f"superseded by build {found.superseded_by}")
            return
        error = found.error or {"code": f"build-{found.status.value}", "message": "it was cancelled"}
        say(render_stored(error, f"build {found.id}"))
        say(f"  push a mended commit; if the cause is not in the repository: imageforge builds retry {found.id}")


def say(text: str) -> None:
    """Tell the pusher, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise UsageError("git-failed", " ".join(arguments), done.stderr.strip()[:500])
    return done.stdout


def _archive(commit: str, write: object) -> None:
    assert callable(write)
    with subprocess.Popen(["git", "archive", "--format=tar", commit], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(PIECE):
            write(piece)
    if process.returncode:
        raise UsageError("git-failed", f"git archive {commit}", "git could not make an archive of the tree")
