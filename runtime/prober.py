"""The probes of one container, a thread each, so that a slow one holds up no other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from runtime.errors import EngineError, StoreClosed
from runtime.manifest.model import ContainerSpec
from runtime.manifest.probe import Probe
from runtime.probes import ProbeResult
from runtime.verdict import Kind, Verdict, is_asked, pause

log = logging.getLogger(__name__)

Ask = Callable[[Kind, Probe], ProbeResult]
"""Asks once. Raises EngineError."""
Told = Callable[[Verdict, str], None]
"""Hears the verdict after each result, with what the probe said."""


class Prober:
    """Asks from `begin` until `end`. `started` and `ready` are what was known of the container before, by an earlier
    controller; `started_at` is Unix seconds."""

    def __init__(
        self,
        spec: ContainerSpec,
        ask: Ask,
        told: Told,
        *,
        started_at: float,
        started: bool = False,
        ready: bool = False,
    ) -> None:
        self._ask, self._told = ask, told
        self._started_at = started_at
        probes = {Kind.STARTUP: spec.startup, Kind.LIVENESS: spec.liveness, Kind.READINESS: spec.readiness}
        self._probes: Mapping[Kind, Probe] = {kind: probe for kind, probe in probes.items() if probe is not None}
        self._ready = ready
        self._news = threading.Condition()
        self._started = started or Kind.STARTUP not in self._probes
        self._ending = False
        self._over = False

    @property
    def started(self) -> bool:
        """Whether the startup probe has passed, or there is none."""
        return self._started

    def begin(self) -> None:
        """Start asking; returns at once."""
        for kind, probe in self._probes.items():
            if kind is Kind.STARTUP and self._started:
                continue
            threading.Thread(target=self._work, args=(kind, probe), name=f"{kind} probe", daemon=True).start()

    def ending(self) -> None:
        """The container is being ended: only readiness is asked from now on."""
        with self._news:
            self._ending = True
            self._news.notify_all()

    def end(self) -> None:
        """Ask nothing more; what is under way is not told."""
        with self._news:
            self._over = True
            self._news.notify_all()

    def _work(self, kind: Kind, probe: Probe) -> None:
        verdict = Verdict.first(kind)
        if kind is Kind.READINESS and self._ready:
            verdict = replace(verdict, passes=True, ever=True)
        self._wait(probe.initial_delay - self._ran_for(), lambda: False)
        counts_from = 0.0
        while self._may_ask(kind):
            result = self._result(kind, probe)
            now = time.monotonic()
            # One that was asked before its period was over may find it started, and is not counted against it.
            early = kind is Kind.STARTUP and now < counts_from
            ok = None if early and not result.ok else result.ok
            if not early:
                counts_from = now + probe.period
            verdict = verdict.after(ok, probe)
            if not self._tell(verdict, result.message) or verdict.held:
                return
            self._wait(pause(probe, verdict, self._ran_for()), lambda: not is_asked(kind, **self._state()))

    def _may_ask(self, kind: Kind) -> bool:
        """Once it is the turn of this kind; False when it never will be again."""

        def never() -> bool:
            return self._over or (kind is Kind.STARTUP and self._started) or (kind is Kind.LIVENESS and self._ending)

        with self._news:
            self._news.wait_for(lambda: never() or is_asked(kind, **self._state()))
            return not never()

    def _result(self, kind: Kind, probe: Probe) -> ProbeResult:
        try:
            return self._ask(kind, probe)
        except EngineError as error:
            log.debug("probe errored", extra={"kind": kind, "error": str(error)})
            return ProbeResult(ok=None, message=error.message)
        except Exception as error:
            log.exception("probe failed")
            return ProbeResult(ok=None, message=f"{type(error).__name__}: {error}")

    def _tell(self, verdict: Verdict, message: str) -> bool:
        with self._news:
            if self._over:
                return False
            if verdict.kind is Kind.STARTUP and verdict.passes:
                self._started = True
                self._news.notify_all()
        try:
            self._told(verdict, message)
        except StoreClosed:
            return False
        except Exception:
            # Such as a full disk: the next result is told again.
            log.exception("verdict not told", extra={"kind": verdict.kind})
        return True

    def _state(self) -> dict[str, bool]:
        return {"started": self._started, "ending": self._ending}

    def _ran_for(self) -> float:
        return max(0.0, time.time() - self._started_at)

    def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        with self._news:
            self._news.wait_for(lambda: self._over or until(), max(0.0, seconds))
