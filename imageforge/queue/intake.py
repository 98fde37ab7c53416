"""Accepting builds: what every way in calls. Accepted means stored; waking a worker comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from imageforge.config import Home, Settings
from imageforge.config.names import APP_NAME
from imageforge.errors import ForgeError, UsageError
from imageforge.queue.checkout import git_policy
from imageforge.queue.contexts import Contexts
from imageforge.queue.spec import ArchiveSource, BuildSpec, GitSource, Options, ReleaseSource, Source
from imageforge.queue.wake import Waker
from imageforge.sources import GitPolicy, parse_git_url
from imageforge.store import (
    Accepted,
    App,
    Apps,
    Build,
    BuildQueue,
    Builds,
    BuildStatus,
    Database,
    DeliveryKey,
    Purpose,
    Releases,
    SealedSecrets,
    Submission,
)
from imageforge.store.build_queue import PUSHES
from imageforge.webhooks import Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Who asked for a build and by which way in, and the revision it is of; `held_by` as in `Submission`."""

    way: str
    actor: str
    branch: str = ""
    revision: str = ""
    message: str = ""
    delivery: DeliveryKey | None = None
    held_by: Mapping[str, Any] | None = None


class Intake:
    """Takes builds in for one instance."""

    def __init__(self, home: Home, settings: Settings, database: Database, waker: Waker) -> None:
        self.contexts = Contexts(home.contexts)
        self._settings = settings
        self._database = database
        self._waker = waker
        self._queue = BuildQueue(database)

    def app(self, name: str) -> App:
        """The app. Raises UsageError (`no-such-app`)."""
        return Apps(self._database).require(name)

    def new_app(self, name: str) -> App:
        """The app, made if need be. Raises UsageError (`invalid-app-name`)."""
        if not APP_NAME.fullmatch(name):
            raise UsageError(
                "invalid-app-name",
                name[:80],
                "expected 1 to 40 of a-z, 0-9 and -, beginning with a letter",
                hint="pass another name",
            )
        return Apps(self._database).ensure(name)

    def configure(self, name: str, values: Mapping[str, Any]) -> App:
        """Change an app's settings; what is not named stays, but for what fetches a source that is now elsewhere.

        Raises UsageError (`no-such-app`, `setting-missing`,
        `watch-invalid`), SourceRefused (`git-url-refused`)."""
        found = self.app(name)
        for key, value in values.items():
            if value is None and key != "git_url":
                raise UsageError(
                    "setting-missing", key, "null is no value of it", hint="leave it out to keep what it has"
                )
        if values.get("git_url"):
            parse_git_url(values["git_url"], git_policy(self._settings))
        if "git_url" in values and found.settings.git_url is not None:
            self._forget_credentials(name, found.settings.git_url, values["git_url"])
        watch = tuple(values.get("watch", found.settings.watch))
        Rules(branch="main", watch=watch)  # a pattern that means nothing is refused now, not at the next push
        settings = replace(found.settings, **{**values, "watch": watch})
        Apps(self._database).configure(name, settings)
        return replace(found, settings=settings)

    def _forget_credentials(self, app: str, before: str, after: str | None) -> None:
        """What proves who we are to one host is not told to another, whoever may say where the source is."""
        if after is not None and _place(before) == _place(after):
            return
        sealed = SealedSecrets(self._database)
        for purpose, name in sealed.of(app, Purpose.SOURCE):
            sealed.remove(app, name, purpose)

    def submit(self, app: App, source: Source, options: Options, origin: Origin) -> Accepted:
        """Store a build and wake a worker."""
        accepted = self._queue.submit(
            Submission(
                app=app.name,
                source=shown(source),
                spec=BuildSpec(source=source, options=options).as_json(),
                origin=origin.way,
                actor=origin.actor,
                branch=origin.branch,
                revision=origin.revision,
                message=origin.message,
                priority=app.settings.priority,
                delivery=origin.delivery,
                # What deploys nothing, or is an older commit by wish, replaces no push.
                supersedes=options.deploy and origin.way in PUSHES,
                held_by=origin.held_by,
            ),
            cancel_running=app.settings.on_newer == "cancel",
        )
        if not accepted.duplicate and origin.held_by is None:
            self._waker.wake(accepted.build_id)
        return accepted

    def release(self, build: Build) -> Accepted | None:
        """Let a held build wait for a worker, and wake one; None where somebody else has done so."""
        app = Apps(self._database).find(build.app)
        cancel_running = app is not None and app.settings.on_newer == "cancel"
        accepted = self._queue.release(build.id, cancel_running=cancel_running)
        if accepted is not None:
            self._waker.wake(build.id)
        return accepted

    def rerelease(self, app: App, number: int | None, origin: Origin, *, note: str | None = None) -> Accepted:
        """Run a release again; without a number the one before the live one, or with a `note` the live one itself,
        with the environment as it is now. Raises UsageError (`no-such-release`)."""
        releases = Releases(self._database)
        if note is not None:
            found = releases.live(app.name)
        elif number is None:
            found = next(iter(releases.superseded(app.name)), None)
        else:
            found = releases.find(app.name, number)
        if found is None:
            what = f"there is no release {number} of it" if number else "there is no release of it to go back to"
            raise UsageError("no-such-release", app.name, what, hint=f"imageforge releases {app.name}")
        source = ReleaseSource(
            number=found.number,
            note=note or f"rollback to {found.number}",
            refresh_environment=note is not None,
        )
        return self.submit(app, source, Options(), origin)

    def cancel(self, build_id: int) -> BuildStatus:
        """Cancel a build. Raises UsageError (`no-such-build`, `build-ended`)."""
        status = self._queue.cancel(build_id)
        if status is None:
            raise no_such_build(build_id)
        if status.ended and status is not BuildStatus.CANCELLED:
            raise UsageError("build-ended", f"build {build_id}", f"it has {status.value} already")
        self._waker.tell(build_id)
        return status

    def retry(self, build_id: int, actor: str, *, delivery: DeliveryKey | None = None) -> Accepted:
        """The same source and options once more, as a new build. Raises UsageError (`no-such-build`,
        `build-not-kept`, `build-not-ended`, `context-gone`)."""
        build = self.build(build_id)
        if build.spec is None:
            raise UsageError(
                "build-not-kept",
                f"build {build_id}",
                "it was run by a command line here, which keeps no source",
                hint="run that command again",
            )
        if not build.status.ended:
            raise UsageError("build-not-ended", f"build {build_id}", f"it is {build.status.value}")
        spec = BuildSpec.from_json(build.spec)
        if isinstance(spec.source, ArchiveSource):
            self.contexts.path(spec.source.digest)
        origin = Origin(
            way="retry",
            actor=actor,
            branch=build.branch,
            revision=build.revision,
            message=build.message,
            delivery=delivery,
        )
        return self.submit(self.new_app(build.app), spec.source, spec.options, origin)

    def build(self, build_id: int) -> Build:
        """One build. Raises UsageError (`no-such-build`)."""
        found = Builds(self._database).find(build_id)
        if found is None:
            raise no_such_build(build_id)
        return found


def _place(url: str) -> tuple[str, int | None]:
    # What was allowed once need not be so now, and is compared all the same.
    found = parse_git_url(url, GitPolicy(allow_http=True))
    return found.host, found.port


def no_such_build(build_id: int) -> ForgeError:
    """The error for an unknown id."""
    return UsageError("no-such-build", str(build_id), "there is no build of this number", hint="imageforge builds ls")


def shown(source: Source) -> str:
    """A source in a word, for tables."""
    if isinstance(source, GitSource):
        return f"{source.url} {source.ref}"
    if isinstance(source, ArchiveSource):
        return f"upload {source.digest[7:19]}"
    return f"release {source.number}"
