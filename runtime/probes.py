"""One question to a container: a GET, a TCP connect, a command in it, or gRPC's health service. What counts as an
answer is as in the kubelet (kubernetes/pkg/probe)."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from runtime.container import Execution
from runtime.http_ask import ask
from runtime.manifest.probe import HttpCall, Probe
from runtime.verdict import Kind

USER_AGENT = "imageforge-probe/1"
MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN = 200
"""So many characters of a command's output are told."""

Execute = Callable[[tuple[str, ...], float], Execution]
"""Runs a command in the container, for so many seconds at most. Raises EngineError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """What one probe found; `ok` None when it could not ask, which says nothing of the container; `refused` when
    nothing accepts on the port."""

    ok: bool | None
    message: str = ""
    refused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Whom to ask: the container's address, its port where the probe has one, and a way to run a command in it."""

    address: str
    port: int
    execute: Execute


def run_probe(probe: Probe, target: Target, kind: Kind = Kind.READINESS) -> ProbeResult:
    """Ask once; `probe.timeout` seconds bound each step of it. Raises EngineError where a command cannot be run."""
    if probe.command:
        return _by_command(probe, target, kind)
    address = probe.host or target.address
    what = f"{kind} probe of port {target.port}" + (f" of {probe.host}" if probe.host else "")
    if not address:
        return ProbeResult(ok=False, message="the engine gave the container no address")
    try:
        problem = _problem(probe, address, target.port)
    except ConnectionRefusedError:
        return ProbeResult(ok=False, refused=True, message=f"{what}: connection refused")
    except TimeoutError:
        problem = f"no answer within {probe.timeout} s"
    except (OSError, http.client.HTTPException) as error:
        problem = str(error) or type(error).__name__
    return ProbeResult(ok=not problem, message=f"{what}: {problem}" if problem else "")


def _problem(probe: Probe, address: str, port: int) -> str:
    """Empty where the answer is as it should be."""
    if probe.call is not None:
        status = get(probe.call, address, port, probe.timeout)
        return "" if 200 <= status < 400 else f"GET {probe.path} answered {status}, expected 200 to 399"
    if probe.grpc:
        # 30 MB that only who has such a probe is to pay for.
        from runtime.grpc_health import problem  # noqa: PLC0415

        return problem(address, port, probe.service, probe.timeout)
    socket.create_connection((address, port), timeout=probe.timeout).close()
    return ""


def get(call: HttpCall, address: str, port: int, timeout: float) -> int:
    """The status of the answer. Redirects to the same host are followed; one to elsewhere is the answer. Raises OSError
    and HTTPException."""
    scheme, path = call.scheme.lower(), call.path
    for _ in range(MOST_REDIRECTS):
        status, location = _ask(scheme, address, port, path, _headers(call), timeout)
        if status not in _REDIRECTS or not location:
            return status
        host = f"[{address}]" if ":" in address else address
        there = urlsplit(urljoin(f"{scheme}://{host}:{port}{path}", location))
        if there.hostname != address or there.scheme not in ("http", "https"):
            return status
        scheme, port = there.scheme, there.port or (443 if there.scheme == "https" else 80)
        path = (there.path or "/") + (f"?{there.query}" if there.query else "")
    raise http.client.HTTPException(f"stopped after {MOST_REDIRECTS} redirects")


def _ask(
    scheme: str, address: str, port: int, path: str, headers: tuple[tuple[str, str], ...], timeout: float
) -> tuple[int, str]:
    """(status, Location)."""
    if scheme == "http":
        return ask(address, port, path, headers, timeout)
    connection = http.client.HTTPSConnection(address, port, timeout=timeout, context=_unverified())
    named = {name.lower() for name, _ in headers}
    with closing(connection):
        connection.putrequest("GET", path, skip_host="host" in named, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or ""


def _headers(call: HttpCall) -> tuple[tuple[str, str], ...]:
    """Those that were said; of ours, those that were not. An empty value takes one of ours away."""
    said = {name.lower() for name, _ in call.headers}
    ours = [(name, value) for name, value in _OURS if name.lower() not in said]
    kept = [(name, value) for name, value in call.headers if value or name.lower() not in _OUR_NAMES]
    return (*ours, *kept)


_OURS = (("User-Agent", USER_AGENT), ("Accept", "*/*"))
_OUR_NAMES = frozenset(name.lower() for name, _ in _OURS)


def _unverified() -> ssl.SSLContext:
    """As the kubelet does: the name in the certificate is that of the Service, and the probe goes to an address."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _by_command(probe: Probe, target: Target, kind: Kind) -> ProbeResult:
    done = target.execute(probe.command, probe.timeout)
    what = f"{kind} probe by `{probe.command[0]}`"
    if done.code is None:
        return ProbeResult(ok=False, message=f"{what}: not done within {probe.timeout} s")
    if done.code == 0:
        return ProbeResult(ok=True)
    said = " ".join(done.output.split())[:_SHOWN]
    return ProbeResult(ok=False, message=f"{what}: exit code {done.code}" + (f": {said}" if said else ""))
