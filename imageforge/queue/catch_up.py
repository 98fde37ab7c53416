"""Pushes that were made while the service was down: their webhooks went nowhere, and most forges send them once."""

from __future__ import annotations

import logging
import threading

from imageforge.config import Home, Settings
from imageforge.errors import ForgeError
from imageforge.queue.checkout import git_credentials, git_policy
from imageforge.queue.intake import Intake, Origin
from imageforge.queue.spec import GitSource, Options
from imageforge.sources import ls_remote, parse_git_url
from imageforge.store import App, Apps, Builds, Database
from imageforge.vault import Vault

log = logging.getLogger(__name__)

PAUSES = (2.0, 10.0, 60.0)
"""Seconds before each look at the apps whose source did not answer yet: after a reboot, networks come up late."""


class CatchUp:
    """Compares, once after each start, what each app's source has with what was built of it."""

    def __init__(self, home: Home, settings: Settings, database: Database, intake: Intake) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self._intake = intake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catch-up", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a look at a source that does not answer is cut short."""
        self._stopping.set()
        self._thread.join()

    def look(self, app: App) -> int | None:
        """Build the tip of an app's branch if no build was made of it; the build. Raises what `ls_remote` raises."""
        settings = app.settings
        if settings.git_url is None:
            return None
        policy = git_policy(self._settings)
        ref = f"refs/heads/{settings.branch}"
        tip = ls_remote(
            parse_git_url(settings.git_url, policy),
            ref,
            policy=policy,
            credentials=git_credentials(app.name, self._database, Vault(self._home.key_file)),
            cancelled=self._stopping,
        )
        if Builds(self._database).covers(app.name, tip):
            return None
        source = GitSource(url=settings.git_url, ref=ref, commit=tip, tip_only=True)
        origin = Origin(way="catch-up", actor="start of the service", branch=settings.branch, revision=tip)
        return self._intake.submit(app, source, Options(), origin).build_id

    def _run(self) -> None:
        waiting = [app.name for app in Apps(self._database).all() if app.settings.git_url]
        for pause in PAUSES:
            if not waiting or self._stopping.wait(pause):
                return
            waiting = [name for name in waiting if not self._looked(name)]
        for name in waiting:
            log.warning("the source of %s does not answer; pushes made while we were down are not known", name)

    def _looked(self, name: str) -> bool:
        app = Apps(self._database).find(name)
        if app is None:
            return True
        try:
            build = self.look(app)
        except ForgeError as error:
            log.info("%s: %s", name, error)
            return False
        except Exception:
            log.exception("catching up with %s", name)
            return True
        if build is not None:
            log.warning("build %d of %s catches up with a push made while we were down", build, name)
        return True
