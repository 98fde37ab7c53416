"""Readiness probes as kubelet runs them (kubernetes/pkg/kubelet/prober/worker.go): results in a row and thresholds."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from runtime.manifest.model import Probe

LEAST_GOOD, FIRST_BAD = 200, 400
"""A status in between counts as success."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeState:
    """The verdict so far: it changes when enough results in a row agree."""

    ready: bool = False
    successes: int = 0
    failures: int = 0

    def after(self, succeeded: bool, probe: Probe) -> ProbeState:
        """The state after one more result."""
        if succeeded:
            successes = self.successes + 1
            ready = self.ready or successes >= probe.success_threshold
            return ProbeState(ready=ready, successes=successes)
        failures = self.failures + 1
        ready = self.ready and failures < probe.failure_threshold
        return ProbeState(ready=ready, failures=failures)


def ask(probe: Probe, address: str, port: int) -> str:
    """One probe; empty when it succeeds, else what is amiss."""
    if probe.path is None:
        return _connect(address, port, probe.timeout)
    connection = http.client.HTTPConnection(address, port, timeout=probe.timeout)
    try:
        headers = {"User-Agent": "kube-probe/1.0 (imageforge)", "Accept": "*/*", "Connection": "close"}
        connection.request("GET", probe.path or "/", headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET {probe.path} on port {port}: {_reason(error)}"
    finally:
        connection.close()
    return "" if LEAST_GOOD <= status < FIRST_BAD else f"GET {probe.path} on port {port} answered {status}"


class Prober:
    """Probes one container in a thread of its own until stopped; tells each change of verdict, and what is amiss."""

    def __init__(
        self, probe: Probe, address: str, port: int, *, on_result: Callable[[bool, str], None], name: str
    ) -> None:
        self._probe = probe
        self._address = address
        self._port = port
        self._on_result = on_result
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a probe under way may still end, and is not told."""
        self._stopped.set()

    def _run(self) -> None:
        if self._stopped.wait(self._probe.initial_delay):
            return
        state, told, message = ProbeState(), None, ""
        while True:
            problem = ask(self._probe, self._address, self._port)
            if self._stopped.is_set():
                return
            state = state.after(not problem, self._probe)
            if state.ready is not told or problem != message:
                told, message = state.ready, problem
                self._on_result(state.ready, problem)
            # While it has never been ready, a slow period would only make the rollout slow.
            pause = self._probe.period if state.ready else min(self._probe.period, 0.25)
            if self._stopped.wait(pause):
                return


def _connect(address: str, port: int, timeout: float) -> str:
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return ""
    except OSError as error:
        return f"connecting to port {port}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
