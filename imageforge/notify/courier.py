"""The one who tells: sees how builds stand, writes down what is to be told, and tells it until it has arrived."""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from imageforge.config import Settings
from imageforge.errors import ForgeError
from imageforge.notify.event import EVENTS, document
from imageforge.notify.github import REPORT_TARGET, STATUS_TARGET, Repository, drafts, repository_of
from imageforge.notify.post import Reach, post_to_github, post_to_hook
from imageforge.notify.schedule import GONE, Outcome, pause
from imageforge.sources import GitPolicy, parse_git_url
from imageforge.store import (
    App,
    Apps,
    Build,
    Database,
    Draft,
    Hooks,
    Notice,
    Notices,
    Purpose,
    Releases,
    SealedSecrets,
)
from imageforge.store.notices import target_of
from imageforge.vault import Vault
from imageforge.webhooks import standard_signature

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LEASE_SECONDS = 120.0
"""Longer than an attempt can take, so that nobody tells the same at once."""
AT_ONCE = 4
"""Attempts at a time: one receiver that does not answer must not hold up the others."""
TOLD_WITH = "status-token"


class Courier:
    """Looks every second. Several do no harm: each notice is one's at a time."""

    def __init__(self, settings: Settings, database: Database, vault: Vault) -> None:
        self._settings = settings
        self._database = database
        self._vault = vault
        self._notices = Notices(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self.reach = Reach(
            http=settings.hook_http, networks=tuple(ipaddress.ip_network(word) for word in settings.hook_networks)
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; what was begun is carried out."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> int:
        """Write down what is to be told, and tell what is due; how many attempts were made."""
        # What is read for them is read before the write lock is taken, and the lock is taken once: a burst of pushes
        # leaves a hundred superseded builds, and each commit waits for the disk.
        if told := [(build, self._drafts_or_none(build)) for build in self._notices.untold()]:
            self._notices.tell(told)
        due = self._notices.due(lease=LEASE_SECONDS, limit=AT_ONCE)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="courier") as pool:
            list(pool.map(self._attempt, due))
        return len(due)

    def _drafts_or_none(self, build: Build) -> tuple[Draft, ...]:
        try:
            return self._drafts(build)
        except ForgeError:
            raise  # the store is busy; it is asked again
        except Exception:
            # It would be met with each look, and nobody would be told of any other build any more.
            log.exception("nothing is told of build %d", build.id)
            return ()

    def _drafts(self, build: Build) -> tuple[Draft, ...]:
        app = Apps(self._database).find(build.app)
        event = EVENTS.get(build.status)
        if app is None or event is None:
            return ()
        release = Releases(self._database).find(build.app, build.release) if build.release else None
        url = f"{self._settings.service_url}/v1/builds/{build.id}"
        wanted = [
            Draft(
                target=target_of(hook.id),
                event=event,
                payload=document(build, release, event=event, url=url, now=time.time()),
            )
            for hook in Hooks(self._database).of(build.app)
            if hook.gone_at is None and (not hook.events or event in hook.events)
        ]
        repository = self._repository(app)
        if repository is not None:
            wanted += drafts(build, release, repository, url=f"{url}/events?format=text")
        return tuple(wanted)

    def _repository(self, app: App) -> Repository | None:
        if app.settings.git_url is None or self._token(app.name) is None:
            return None
        found = parse_git_url(app.settings.git_url, GitPolicy(allow_http=True))
        return repository_of(found.host, found.path, api=self._settings.github_api)

    def _token(self, app: str) -> bytes | None:
        return SealedSecrets(self._database).of(app, Purpose.SOURCE).get((Purpose.SOURCE, TOLD_WITH))

    def _attempt(self, notice: Notice) -> None:
        try:
            outcome = self._tell(notice)
        except ForgeError as error:
            outcome = Outcome(error=error.message)
        wait = pause(
            outcome,
            notice.attempts + 1,
            stubborn=notice.target.startswith("hook-"),
            chance=random.random(),  # noqa: S311 - spreads attempts, hides nothing
        )
        if outcome.status == GONE and notice.target.startswith("hook-"):
            Hooks(self._database).set_gone(notice.app, notice.target.removeprefix("hook-"))
        problem = None if outcome.told else outcome.error or "it did not arrive"
        if problem is not None:
            log.warning("%s of build %d not told to %s: %s", notice.event, notice.build_id, notice.target, problem)
        self._notices.settle(notice.id, error=problem, next_at=None if wait is None else time.time() + wait)

    def _tell(self, notice: Notice) -> Outcome:
        if notice.target in (STATUS_TARGET, REPORT_TARGET):
            sealed = self._token(notice.app)
            if sealed is None:
                return Outcome(status=401, error="the token was taken away")
            body = json.dumps(notice.payload["body"]).encode()
            url = self._settings.github_api + str(notice.payload["path"])
            return post_to_github(url, body, self._vault.open(sealed))
        name = notice.target.removeprefix("hook-")
        hook = Hooks(self._database).find(notice.app, name)
        sealed = SealedSecrets(self._database).of(notice.app, Purpose.HOOK).get((Purpose.HOOK, name))
        if hook is None or sealed is None or hook.gone_at is not None:
            return Outcome(status=GONE, error="there is no such hook any more")
        body = json.dumps(notice.payload, separators=(",", ":")).encode()
        # One id for all attempts, by which the receiver knows a repetition.
        message, now = f"msg_{hook.id}_{notice.id}", int(time.time())
        signature = standard_signature(self._vault.open(sealed), message_id=message, timestamp=now, text=body)
        if signature is None:
            return Outcome(status=GONE, error="the hook's key is none")
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(now),
            "webhook-signature": signature,
        }
        return post_to_hook(hook.url, body, headers, self.reach)

    def _run(self) -> None:
        while not self._stopping.is_set():
            busy = 0
            try:
                busy = self.look()
            except ForgeError as error:
                log.warning("telling others: %s", error)
            except Exception:
                log.exception("telling others")  # and on: nobody else does it
            if not busy:
                self._stopping.wait(LOOK_SECONDS)
