"""What happened to each object, in Kubernetes' words: a line that repeats is counted and not written again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from runtime.clock import steady
from runtime.errors import RuntimeFailure
from runtime.model import Event
from runtime.store import Store

log = logging.getLogger(__name__)

KEPT = 2000
"""Events that are remembered; what happens less often than others is gone with the rest."""
KEPT_SECONDS = 7 * 24 * 3600.0
"""A cluster forgets them after an hour; here somebody asks in the morning what became of the night."""
TRIM_EVERY = 100


class Recorder:
    """The one who writes events, for many threads. An event that cannot be written stops nobody."""

    def __init__(self, store: Store, now: Callable[[], float] = steady) -> None:
        self._store = store
        self._now = now
        self._changed = threading.Condition()
        self._newest = store.newest_event()
        self._said = 0

    def say(self, kind: str, namespace: str, name: str, reason: str, message: str, *, warning: bool = False) -> None:
        """Something happened to an object. `reason` is one word, such as ``BackOff``; no message may hold a Secret."""
        event = Event(
            namespace=namespace,
            kind=kind,
            name=name,
            warning=warning,
            reason=reason,
            message=message,
            count=1,
            first_at=(now := self._now()),
            last_at=now,
        )
        with self._changed:
            try:
                self._newest = self._store.put_event(event)
                self._said += 1
                if self._said % TRIM_EVERY == 1:
                    self._store.trim_events(KEPT, now - KEPT_SECONDS)
            except RuntimeFailure as error:
                log.warning("event not kept", extra={"reason": reason, "error": str(error)})
                return
            self._changed.notify_all()

    def past(
        self, namespace: str | None = None, kind: str | None = None, name: str | None = None, *, after: int = 0
    ) -> tuple[Event, ...]:
        """Those that came or were repeated after the one with the number `after`, the latest last."""
        return self._store.events(namespace, kind, name, after=after)

    @property
    def newest(self) -> int:
        """The number of the latest event; 0 before the first."""
        with self._changed:
            return self._newest

    def wait(self, seen: int, timeout: float) -> bool:
        """Whether an event with a larger number than `seen` came within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest > seen, timeout)
