"""Readiness: one probe, and what a row of results means. The rules are the kubelet's (pkg/kubelet/prober)."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass

from runtime.manifest.model import Probe

USER_AGENT = "imageforge-probe/1"
EARLY_PERIODS = ((1.0, 0.02), (5.0, 0.1), (float("inf"), 0.25))
"""Seconds between probes of a container that has never been ready, until it has run for so long: finding it ready
sooner changes no verdict, for only successes move the state then. Most programs listen within the first second."""


def early_period(ran_for: float) -> float:
    """Seconds until the next probe of a container that was never ready, and has run for so many."""
    return next(period for until, period in EARLY_PERIODS if ran_for < until)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """What one probe found; `refused` when nothing accepts on the port."""

    ok: bool
    message: str = ""
    refused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """The verdict, and how many equal results in a row there were. It begins as not ready."""

    ready: bool = False
    successes: int = 0
    failures: int = 0

    def after(self, ok: bool, probe: Probe) -> Readiness:
        """The verdict turns only when as many equal results came in a row as the threshold says."""
        successes = self.successes + 1 if ok else 0
        failures = 0 if ok else self.failures + 1
        ready = self.ready
        if successes >= probe.success_threshold:
            ready = True
        elif failures >= probe.failure_threshold:
            ready = False
        return Readiness(ready=ready, successes=successes, failures=failures)


def run_probe(probe: Probe, address: str, port: int) -> ProbeResult:
    """Ask once; `probe.timeout` seconds bound each step of it. A redirect counts as an answer."""
    what = f"readiness probe of port {port}"
    try:
        if probe.path is None:
            with socket.create_connection((address, port), timeout=probe.timeout):
                return ProbeResult(ok=True)
        status = _get(address, port, probe.path, probe.timeout)
    except ConnectionRefusedError:
        return ProbeResult(ok=False, refused=True, message=f"{what}: connection refused")
    except TimeoutError:
        return ProbeResult(ok=False, message=f"{what}: no answer within {probe.timeout} s")
    except (OSError, http.client.HTTPException) as error:
        return ProbeResult(ok=False, message=f"{what}: {error or type(error).__name__}")
    if 200 <= status < 400:
        return ProbeResult(ok=True)
    return ProbeResult(ok=False, message=f"{what}: GET {probe.path} answered {status}, expected 200 to 399")


def _get(address: str, port: int, path: str, timeout: float) -> int:
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()
