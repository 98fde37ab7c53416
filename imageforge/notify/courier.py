"""The one who tells: sees how builds stand, writes down what is to be told, and tells it until it has arrived."""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from imageforge.config import Settings
from imageforge.errors import ForgeError
from imageforge.notify.event import EVENTS, document
from imageforge.notify.github import REPORT_TARGET, STATUS_TARGET, Repository, drafts, repository_of
from imageforge.notify.post import BreakOff, Reach, post_to_github, post_to_hook
from imageforge.notify.schedule import GONE, Outcome, pause, rest
from imageforge.notify.turns import Target, choose
from imageforge.sources import GitPolicy, parse_git_url
from imageforge.store import (
    App,
    Apps,
    Build,
    Database,
    Draft,
    Hook,
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
CLOSE_SECONDS = 2.0
"""How long attempts under way may go on at the end."""
BREAK_OFF_SECONDS = 3.0
"""How long those that were broken off then have to note it. What has not done so by then ends with the process, and is
due again when its lease is over."""
TOLD_WITH = "status-token"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Who is told of an app's builds: its hooks that are not gone, and GitHub where there is a token for it."""

    hooks: tuple[Hook, ...] = ()
    repository: Repository | None = None


class Courier:
    """Looks every second. Several do no harm: each notice is one's at a time."""

    def __init__(self, settings: Settings, database: Database, vault: Vault) -> None:
        self._settings = settings
        self._database = database
        self._vault = vault
        self._notices = Notices(database)
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._changed = threading.Condition()
        self._busy: set[Target] = set()
        self._failures: dict[Target, int] = {}
        self._break_off = BreakOff()
        self.reach = Reach(
            http=settings.hook_http, networks=tuple(ipaddress.ip_network(word) for word in settings.hook_networks)
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, within `CLOSE_SECONDS` and `BREAK_OFF_SECONDS`. An attempt that takes longer is broken off, and made
        again after the next start; its receiver knows the repetition by the id."""
        deadline = time.monotonic() + CLOSE_SECONDS
        self._stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        if not self._wait_idle(deadline - time.monotonic()):
            self._break_off.call()
            self._wait_idle(BREAK_OFF_SECONDS)

    def look(self) -> int:
        """Write down what is to be told, tell what is due, and wait for how it goes; how many attempts were made."""
        made = 0
        while begun := self._begin():
            made += begun
            self._wait_idle(None)
        return made

    def _begin(self) -> int:
        """Write down what is to be told and begin to tell what is due; how many attempts were begun."""
        # What is read for them is read before the write lock is taken, and the lock is taken once: a burst of pushes
        # leaves a hundred superseded builds, and each commit waits for the disk.
        # Who is told of an app's builds is read once for all of them.
        listeners = cache(self._listeners)
        if told := [(build, self._drafts_or_none(build, listeners)) for build in self._notices.untold()]:
            self._notices.tell(told)
        waiting = self._notices.waiting()  # most looks find nothing, and need no lock for it
        with self._changed:
            busy = frozenset(self._busy)
        chosen = choose(waiting, busy) if waiting and not self._stopping.is_set() else ()
        taken = self._notices.take(chosen, lease=LEASE_SECONDS) if chosen else ()
        for notice in taken:
            with self._changed:
                self._busy.add((notice.app, notice.target))
            # Not a pool's: those are waited for at the process's end, however long a receiver or a name server hangs.
            thread = threading.Thread(target=self._carry, args=(notice,), name=f"notice {notice.id}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads: it and those after it are due again when their lease is over
                self._done(notice)
                raise
        return len(taken)

    def _wait_idle(self, seconds: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, None if seconds is None else max(0.0, seconds))

    def _carry(self, notice: Notice) -> None:
        try:
            self._attempt(notice)
        except ForgeError as error:
            log.warning("telling %s: %s", notice.target, error)  # again once its lease is over
        except Exception:
            log.exception("telling %s", notice.target)
        finally:
            self._done(notice)
            self._news.set()

    def _done(self, notice: Notice) -> None:
        with self._changed:
            self._busy.discard((notice.app, notice.target))
            self._changed.notify_all()

    def _drafts_or_none(self, build: Build, listeners: Callable[[str], Listeners]) -> tuple[Draft, ...]:
        try:
            return self._drafts(build, listeners(build.app))
        except ForgeError:
            raise  # the store is busy; it is asked again
        except Exception:
            # It would be met with each look, and nobody would be told of any other build any more.
            log.exception("nothing is told of build %d", build.id)
            return ()

    def _listeners(self, name: str) -> Listeners:
        app = Apps(self._database).find(name)
        if app is None:
            return Listeners()
        hooks = tuple(hook for hook in Hooks(self._database).of(name) if hook.gone_at is None)
        return Listeners(hooks=hooks, repository=self._repository(app))

    def _drafts(self, build: Build, listeners: Listeners) -> tuple[Draft, ...]:
        event = EVENTS.get(build.status)
        if event is None or listeners == Listeners():
            return ()
        release = Releases(self._database).find(build.app, build.release) if build.release else None
        url = f"{self._settings.service_url}/v1/builds/{build.id}"
        wanted = [
            Draft(
                target=target_of(hook.id),
                event=event,
                payload=document(build, release, event=event, url=url, now=time.time()),
            )
            for hook in listeners.hooks
            if not hook.events or event in hook.events
        ]
        if listeners.repository is not None:
            wanted += drafts(build, release, listeners.repository, url=f"{url}/events?format=text")
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
        if outcome.broken_off:
            self._notices.give_back(notice)
            return
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
        self._settle(notice, problem, wait)

    def _settle(self, notice: Notice, problem: str | None, wait: float | None) -> None:
        target = (notice.app, notice.target)
        if wait is None:
            self._failures.pop(target, None)
            self._notices.settle(notice, error=problem, next_at=None)
            return
        failures = self._failures[target] = self._failures.get(target, 0) + 1
        quiet = rest(failures)
        self._notices.settle(notice, error=problem, next_at=time.time() + max(wait, quiet))
        self._notices.rest(*target, until=time.time() + quiet)

    def _tell(self, notice: Notice) -> Outcome:
        if notice.target in (STATUS_TARGET, REPORT_TARGET):
            sealed = self._token(notice.app)
            if sealed is None:
                return Outcome(status=401, error="the token was taken away")
            body = json.dumps(notice.payload["body"]).encode()
            url = self._settings.github_api + str(notice.payload["path"])
            return post_to_github(url, body, self._vault.open(sealed), self._break_off)
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
        return post_to_hook(hook.url, body, headers, self.reach, self._break_off)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                self._begin()
            except ForgeError as error:
                log.warning("telling others: %s", error)
            except Exception:
                log.exception("telling others")  # and on: nobody else does it
            if not self._stopping.is_set():
                self._news.wait(LOOK_SECONDS)
