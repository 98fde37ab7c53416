"""One POST to somebody else. The only module here that imports httpx.

A hook's address is resolved once, checked, and connected to as checked: a name that answers differently the second time
leads nowhere. Redirects are not followed. Proxies of the environment are not used: they would resolve the name again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from imageforge.errors import ForgeError, UsageError
from imageforge.notify.schedule import Outcome
from imageforge.sources import SourceFailed, SourceRefused, check_place

TIMEOUT = httpx.Timeout(10.0)
ATTEMPT_SECONDS = 30.0
"""How long an attempt may take in all: httpx counts each read anew, so who sends a byte now and then would never be
out of time, and everybody else's notices would wait behind it."""
LONGEST_URL = 2048
LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read: it is not looked at, but a connection whose answer was read can be closed well."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Where hooks may be: plain HTTP and inner networks only where somebody said so. `trust` None: the authorities
    that httpx brings."""

    http: bool = False
    networks: tuple[Network, ...] = ()
    trust: ssl.SSLContext | None = None


class BreakOff:
    """Breaks off every POST that was given it, those under way and those to come. Every thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._called = False
        self._tasks: set[asyncio.Task[Outcome]] = set()

    def call(self) -> None:
        """Break them off."""
        with self._lock:
            self._called = True
            for task in self._tasks:
                task.get_loop().call_soon_threadsafe(task.cancel)

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Within this block the running task is cancelled when it is called, or at once where it was."""
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            self._tasks.add(task)
            if self._called:
                task.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._tasks.discard(task)


def check_url(url: str, reach: Reach) -> None:
    """Raises UsageError (`hook-url-refused`) for an address that is none, or where this machine will not go."""
    host, port = _place(url, reach)
    try:
        check_place(host, port, reach.networks)
    except SourceRefused as error:
        raise _refused(url, error.message, "an administrator can allow the network: hook_networks") from error
    except SourceFailed as error:
        raise _refused(url, error.message, "check the host's spelling") from error


def post_to_hook(
    url: str, body: bytes, headers: Mapping[str, str], reach: Reach, break_off: BreakOff | None = None
) -> Outcome:
    """POST to a hook. Nothing is raised: what went wrong is the outcome."""
    try:
        host, port = _place(url, reach)
        addresses = check_place(host, port, reach.networks)
    except ForgeError as error:
        return Outcome(error=error.message)
    target = httpx.URL(url).copy_with(host=addresses[0])
    named = {"Host": urlsplit(url).netloc, **headers}
    # The certificate is to be that of the name.
    return _post(target, body, named, extensions={"sni_hostname": host}, trust=reach.trust, break_off=break_off)


def post_to_github(url: str, body: bytes, token: str, break_off: BreakOff | None = None) -> Outcome:
    """POST to GitHub's API, whose address is the administrator's. Nothing is raised."""
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return _post(httpx.URL(url), body, headers, extensions={}, break_off=break_off)


def _post(
    url: httpx.URL,
    body: bytes,
    headers: Mapping[str, str],
    *,
    extensions: Mapping[str, str],
    trust: ssl.SSLContext | None = None,
    break_off: BreakOff | None = None,
) -> Outcome:
    try:
        posted = _posted(url, body, headers, extensions=extensions, trust=trust, break_off=break_off or BreakOff())
        return asyncio.run(posted)
    except asyncio.CancelledError:
        return Outcome(error="broken off", broken_off=True)
    except (httpx.TimeoutException, TimeoutError):
        return Outcome(error="no answer in time")
    except httpx.HTTPError as error:
        return Outcome(error=f"{type(error).__name__}: {error}"[:200])


async def _posted(
    url: httpx.URL,
    body: bytes,
    headers: Mapping[str, str],
    *,
    extensions: Mapping[str, str],
    trust: ssl.SSLContext | None,
    break_off: BreakOff,
) -> Outcome:
    named = {"User-Agent": "imageforge", **headers}
    with break_off.reaching():
        return await _answered(url, body, named, extensions=extensions, trust=trust)


async def _answered(
    url: httpx.URL,
    body: bytes,
    headers: Mapping[str, str],
    *,
    extensions: Mapping[str, str],
    trust: ssl.SSLContext | None,
) -> Outcome:
    async with (
        asyncio.timeout(ATTEMPT_SECONDS),
        httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False, verify=trust or True) as client,
        client.stream("POST", url, content=body, headers=headers, extensions=dict(extensions)) as answer,
    ):
        read = 0
        async for piece in answer.aiter_raw():
            read += len(piece)
            if read > LARGEST_ANSWER:
                break
        after = answer.headers.get("retry-after", "")
        return Outcome(
            status=answer.status_code,
            error=None if answer.is_success else f"answered {answer.status_code}",
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )


def _place(url: str, reach: Reach) -> tuple[str, int]:
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(url, "too long, or with spaces or characters that an address cannot have", "https://host/path")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url)  # is what it is sent to, and refuses more: 01.02.03.04
    except (ValueError, httpx.InvalidURL) as error:
        raise _refused(url, "the host or the port is malformed", "https://host/path") from error
    if parts.scheme not in ("https", "http") or not host:
        raise _refused(url, "no https address", "https://host/path")
    if parts.scheme == "http" and not reach.http:
        raise _refused(
            url,
            "plain http, which anybody on the way can read",
            "use https://; an administrator can allow it: hook_http in settings.toml",
        )
    if parts.username is not None or parts.password is not None:
        raise _refused(url, "a user or a password is in the address", "what is sent is signed, and needs neither")
    return host, port or (443 if parts.scheme == "https" else 80)


def _refused(url: str, problem: str, hint: str) -> UsageError:
    parts = urlsplit(url) if "[" not in url and "]" not in url else None
    # The path and the query of an address like this are often a secret.
    shown = parts.netloc.rpartition("@")[2] if parts else ""
    return UsageError("hook-url-refused", ascii(shown[:100] or "the address"), problem, hint=hint)
