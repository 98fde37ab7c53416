"""HTTP to a registry: the only module that imports httpx. Logs in when asked to, and turns answers into errors."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from registry.auth import TOKEN_USER, Challenge, Credentials, find_credentials
from registry.errors import RefusedError, TransportError

TIMEOUT = httpx.Timeout(connect=10, read=120, write=120, pool=60)
"""Seconds. A registry may take long to verify a large blob before it answers the closing PUT."""
OK, UNAUTHORIZED, NOT_ALLOWED, NO_SPACE = 200, 401, 405, 507
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 3

Body = Callable[[], Iterable[bytes]]
"""Makes the body anew for each try: a login in between needs it a second time."""


class Transport:
    """Requests to one registry. Plain HTTP on loopback, as Docker does it; HTTPS elsewhere."""

    def __init__(self, registry: str, *, credentials: Credentials | None = None) -> None:
        self.registry = registry
        self._credentials = credentials or find_credentials(registry)
        self._authorization: dict[str, str] = {}
        # To read the authorities takes longer than all that is asked of a registry on this machine, which needs none;
        # without them, whatever it might lead to by https is trusted by nobody.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_loopback(registry) else True
        self._http = httpx.Client(
            timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": "imageforge"}, verify=verify
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    @property
    def base(self) -> str:
        """Scheme and authority."""
        host = "registry-1.docker.io" if self.registry == "docker.io" else self.registry
        return f"{'http' if is_loopback(self.registry) else 'https'}://{host}"

    def request(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        scope: str = "",
    ) -> httpx.Response:
        """One request, with a login if the registry asks for one. `path` may be a whole address (an upload's Location).

        Raises TransportError (`registry-unreachable`, `not-a-registry`, `registry-failed`) and RefusedError (the
        registry's own code in kebab case).
        """
        used = self._authorization.get(scope)
        response = self._send(method, path, body, headers, params, scope)
        if response.status_code == UNAUTHORIZED and self._log_in(response, scope, used):
            response = self._send(method, path, body, headers, params, scope)
        if response.status_code not in expected:
            raise self._error(response, f"{method} {urlsplit(path).path}")
        return response

    @contextmanager
    def download(self, path: str, *, scope: str) -> Iterator[Iterator[bytes]]:
        """A GET whose body is read piece by piece, as it is stored. Where the registry sends us on to an object store,
        it is followed. Raises as `request` does."""
        used = self._authorization.get(scope)
        response = self._send("GET", path, None, None, None, scope, stream=True)
        try:
            if response.status_code == UNAUTHORIZED and self._log_in(response, scope, used):
                response.close()
                response = self._send("GET", path, None, None, None, scope, stream=True)
            for _ in range(MOST_REDIRECTS):
                if response.status_code not in REDIRECTS:
                    break
                target = urljoin(str(response.url), response.headers.get("Location", ""))
                response.close()
                response = self._send("GET", target, None, None, None, scope, stream=True)
            if response.status_code != OK:
                response.read()
                raise self._error(response, f"GET {urlsplit(path).path}")
            yield self._pieces(response)
        finally:
            response.close()

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_raw()
        except httpx.HTTPError as error:
            raise TransportError(
                "registry-unreachable",
                self.registry,
                f"the connection broke during GET: {error}",
                hint="try again; then look at the registry's log",
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        body: Body | None,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        scope: str,
        *,
        stream: bool = False,
    ) -> httpx.Response:
        # Merged, because an upload's Location carries its state as parameters.
        url = str(httpx.URL(urljoin(self.base + "/", path)).copy_merge_params(dict(params or {})))
        sent = dict(headers or {})
        authorization = self._authorization.get(scope)
        # A Location may point elsewhere, such as an object store that must not see our password.
        if authorization and urlsplit(url)[:2] == urlsplit(self.base)[:2]:
            sent["Authorization"] = authorization
        try:
            request = self._http.build_request(method, url, content=body() if body else None, headers=sent)
            return self._http.send(request, stream=stream)
        except httpx.TimeoutException as error:
            raise TransportError(
                "registry-unreachable",
                self.registry,
                f"no answer to {method} in time",
                hint="check the network and the registry's load",
            ) from error
        except httpx.ConnectError as error:
            raise TransportError(
                "registry-unreachable",
                self.registry,
                f"cannot connect: {error}",
                hint="`imageforge up` starts the local one; of another, check name, port and TLS",
            ) from error
        except httpx.HTTPError as error:
            raise TransportError(
                "registry-unreachable",
                self.registry,
                f"the connection broke during {method}: {error}",
                hint="try again; then look at the registry's log",
            ) from error

    def _log_in(self, response: httpx.Response, scope: str, used: str | None) -> bool:
        """Answer a challenge to a request that had gone with `used`. False where there is nothing (more) to answer it
        with. Another thread may have logged in meanwhile."""
        challenge = Challenge.parse(response.headers.get("WWW-Authenticate", ""))
        if challenge.scheme == "basic":
            if self._credentials is None or used == self._credentials.basic():
                return False
            self._authorization[scope] = self._credentials.basic()
            return True
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            self._authorization[scope] = f"Bearer {self._fetch_token(challenge, scope)}"
            return True
        return False

    def _fetch_token(self, challenge: Challenge, scope: str) -> str:
        """The distribution specification's token flow, by GET; an identity token goes by POST as OAuth 2 has it."""
        realm = challenge.parameters["realm"]
        asked = {"service": challenge.parameters.get("service", ""), "scope": challenge.parameters.get("scope", scope)}
        credentials = self._credentials
        try:
            if credentials and credentials.user == TOKEN_USER:
                form = {"grant_type": "refresh_token", "refresh_token": credentials.password.reveal(), **asked}
                answer = self._http.post(realm, data={**form, "client_id": "imageforge"})
            else:
                headers = {"Authorization": credentials.basic()} if credentials else {}
                answer = self._http.get(realm, params=asked, headers=headers)
        except httpx.HTTPError as error:
            raise TransportError(
                "registry-unreachable", self.registry, f"its token service {realm} does not answer: {error}"
            ) from error
        if answer.status_code != 200:
            raise self._error(answer, f"login at {urlsplit(realm).netloc}")
        found = _json(answer)
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str):
            raise TransportError("not-a-registry", self.registry, f"its token service {realm} gave no token")
        return token

    def _error(self, response: httpx.Response, what: str) -> RefusedError | TransportError:
        status = response.status_code
        errors = _json(response).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
        if status == NO_SPACE or (first and "no space left" in json.dumps(first)):
            return TransportError("registry-full", self.registry, f"no space left ({what})", hint="make room for it")
        if status == UNAUTHORIZED:
            return RefusedError(
                "registry-unauthorized",
                self.registry,
                f"login refused ({what})",
                hint=f"docker login {self.registry}, with a user who may push there",
            )
        if first:
            code = str(first.get("code", "unknown")).lower().replace("_", "-")
            said = str(first.get("message") or code)
            return RefusedError(
                f"registry-{code}", self.registry, f"refused {what} with {status}: {said}", hint=_hint(code)
            )
        if status == NOT_ALLOWED:
            # CNCF Distribution 2.8 in read-only mode answers so, without a body.
            return RefusedError(
                "registry-unsupported", self.registry, f"does not allow {what}", hint=_hint("unsupported")
            )
        if status >= 500:
            return TransportError(
                "registry-failed", self.registry, f"failed with {status} on {what}", hint="look at the registry's log"
            )
        return TransportError(
            "not-a-registry",
            self.registry,
            f"answered {status} to {what}, and not as a registry does",
            hint="check the address: something else listens there, or a proxy answers for it",
        )


def is_loopback(registry: str) -> bool:
    """Whether a registry's host is this machine, for which Docker takes plain HTTP too."""
    host = registry.rpartition(":")[0] if ":" in registry.rpartition("]")[2] else registry
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except (ValueError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _hint(code: str) -> str:
    hints = {
        "denied": "this user may not do that there",
        "unsupported": "the registry is read-only or does not offer this; look at its configuration",
        "digest-invalid": "the bytes changed on the way, or the layout is damaged; build again",
        "toomanyrequests": "wait, then try again",
        "name-invalid": "choose another name for the image",
    }
    return hints.get(code, "look at the registry's log")
