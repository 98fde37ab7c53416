"""HTTP to a registry: the only module that uses httpx. Logs in when asked to, tries again what may go well the next
time, and turns answers into errors."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from registry.access import Access, is_loopback
from registry.answers import gathered, json_object, number, printable
from registry.auth import TOKEN_USER, Challenge, Credentials, Found, look_up
from registry.errors import RefusedError, TransportError
from registry.lean_httpx import httpx
from registry.patience import ONCE, PASSING, Patience, retry_after

OK, PARTIAL, BAD_REQUEST, UNAUTHORIZED, NOT_ALLOWED, NO_SPACE = 200, 206, 400, 401, 405, 507
FORBIDDEN, NOT_FOUND, TOO_LARGE, UNSATISFIABLE, TOO_MANY = 403, 404, 413, 416, 429
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 3
LOOK_SECONDS = 0.2
"""How long a pause goes on after it was cancelled."""
_UNKNOWN_CLIENT = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE_UNKNOWN")
"""What a server's alerts say of a client certificate that is missing, or of an authority that it does not believe."""
_PACKING = frozenset({b"content-encoding", b"transfer-encoding", b"content-length"})
_TOKEN = re.compile(r"[!-~]+")
"""What can stand in a header as it is."""
_PORTS = {"http": 80, "https": 443}

Body = Callable[[], Iterable[bytes]]
"""Makes the body anew for each try: a login in between needs it a second time."""
Cancelled = Callable[[], bool]
T = TypeVar("T")


def never() -> bool:
    """Nobody cancels."""
    return False


class _OfOnePort(httpx.BaseTransport):
    """The transport to a host's own port, 443, and another one to its others."""

    def __init__(self, own: httpx.BaseTransport, others: httpx.BaseTransport) -> None:
        self._own = own
        self._others = others

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return (self._own if request.url.port is None else self._others).handle_request(request)

    def close(self) -> None:
        self._own.close()
        self._others.close()


class Transport:
    """Requests to one registry. Plain HTTP on loopback, as Docker does it; HTTPS elsewhere, unless `access` says
    otherwise."""

    def __init__(
        self,
        registry: str,
        *,
        credentials: Credentials | None = None,
        access: Access | None = None,
        patience: Patience = ONCE,
        cancelled: Cancelled = never,
    ) -> None:
        access = access or Access()
        self.registry = registry
        self._access = access
        self.patience = patience
        self.cancelled = cancelled
        self._plain = access.is_plain(registry)
        found = Found(credentials=credentials) if credentials else look_up(registry)
        self._credentials, self._credentials_note = found.credentials, found.note
        self._authorization: dict[str, str] = {}
        self._answered = False
        self._http = httpx.Client(
            # A registry may take long to verify a large blob before it answers the closing PUT.
            timeout=httpx.Timeout(connect=10, read=patience.silence, write=patience.silence, pool=None),
            follow_redirects=False,
            headers={"User-Agent": "imageforge", "Accept-Encoding": "gzip"},
            event_hooks={"response": [self._look_ahead]},
            # None are kept, as by Docker's client: one that is not ASCII could not be sent back.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            verify=access.trust(registry),
            mounts=self._identified(),
        )

    def _identified(self) -> dict[str, httpx.BaseTransport]:
        """The connections on which we show a client certificate: those to the registry, and no others."""
        context = self._access.identify(self.registry)
        if context is None:
            return {}
        place = urlsplit(f"https://{urlsplit(self.base).netloc}")
        # What is mounted goes by no proxy of itself.
        proxy = None if proxy_bypass(place.hostname or "") else getproxies().get("https")
        if proxy and "://" not in proxy:
            proxy = f"http://{proxy}"
        known = httpx.HTTPTransport(verify=context, proxy=proxy)
        if place.port not in (None, _PORTS["https"]):
            return {place.geturl(): known}
        # A pattern without a port, or with the usual one, is for all of a host's.
        others = httpx.HTTPTransport(verify=self._access.trust(self.registry), proxy=proxy)
        return {place.geturl(): _OfOnePort(known, others)}

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    @property
    def base(self) -> str:
        """Scheme and authority."""
        host = "registry-1.docker.io" if self.registry == "docker.io" else self.registry
        return f"{'http' if self._plain else 'https'}://{host}"

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
        once: bool = False,
    ) -> httpx.Response:
        """One request, with a login if the registry asks for one, and as often as `patience` has it, or `once`.
        `path` may be a whole address (an upload's Location).

        Raises TransportError (`registry-unreachable`, `not-a-registry`, `insecure-redirect`, `registry-failed`),
        RefusedError (the registry's own code in kebab case) and, where it is cancelled between two tries,
        InterruptedError.
        """

        def ask() -> httpx.Response:
            used = self._authorization.get(scope)
            response = self._send(method, path, body, headers, params, scope)
            if response.status_code == UNAUTHORIZED and self._log_in(response, scope, used):
                response = self._send(method, path, body, headers, params, scope)
            for _ in range(MOST_REDIRECTS if method in ("GET", "HEAD") else 0):
                if response.status_code not in REDIRECTS:
                    break
                response = self._send(method, self._target(response), None, headers, None, scope)
            if response.status_code not in expected:
                raise self._error(response, f"{method} {self._path(path)}")
            self._answered = True
            return response

        return ask() if once else self.persist(ask)

    def persist(self, ask: Callable[[], T]) -> T:
        """Do something again while it fails with what may pass, as `patience` has it."""
        trial = Trial(self)
        while True:
            try:
                return ask()
            except (TransportError, RefusedError) as error:
                trial.failed(error)

    @contextmanager
    def download(self, path: str, *, scope: str, offset: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """A GET whose body is read piece by piece, as it is stored, from `offset` on where the registry can do that:
        gives the offset at which the pieces begin. Where the registry sends us on to an object store, it is followed.
        Raises as `request` does, and is not tried again."""
        used = self._authorization.get(scope)
        wanted = {"Range": f"bytes={offset}-"} if offset else {}
        # What comes packed anew on the way is not what was stored.
        wanted["Accept-Encoding"] = "identity"
        response = self._send("GET", path, None, wanted, None, scope, stream=True)
        try:
            if response.status_code == UNAUTHORIZED:
                response = self._drain(response)
                if self._log_in(response, scope, used):
                    response.close()
                    response = self._send("GET", path, None, wanted, None, scope, stream=True)
            for _ in range(MOST_REDIRECTS):
                if response.status_code not in REDIRECTS:
                    break
                target = self._target(response)
                response.close()
                response = self._send("GET", target, None, wanted, None, scope, stream=True)
            if response.status_code not in (OK, PARTIAL):
                response = self._drain(response)
                raise self._error(response, f"GET {self._path(path)}")
            begins = _begins(response) if response.status_code == PARTIAL else 0
            if begins not in (0, offset):
                said = f"bytes from {begins} on" if begins >= 0 else "a part of a blob without saying which"
                raise self._no_registry(f"sent {said}, expected those from {offset} on")
            self._answered = True
            yield begins, self._pieces(response)
        finally:
            response.close()

    def going_on(self, response: httpx.Response, before: str = "") -> str:
        """Where an upload goes on after an answer, as a whole address; `before` where it does not say. Raises
        TransportError: `not-a-registry` where that is nowhere, `insecure-redirect` where others can read what is sent
        there, and the registry itself was asked by TLS."""
        if "Location" in response.headers:
            return self._target(response)
        if not before:
            raise self._no_registry("opened an upload and did not say where")
        return before

    def _target(self, response: httpx.Response) -> str:
        """Where a registry sends us on, such as to an object store. Raises as `going_on` does."""
        return str(self._place(response.headers.get("Location", ""), response.request.url))

    def _look_ahead(self, response: httpx.Response) -> None:
        """Refuse a redirect that leads nowhere, before httpx takes it for a connection that broke."""
        if response.has_redirect_location:
            self._target(response)

    def _place(self, to: str, base: httpx.URL | None = None, params: Mapping[str, str] | None = None) -> httpx.URL:
        """An address of the registry's, or one that it gave, as seen from `base`."""
        try:
            place = _address(to, base or httpx.URL(self.base), params)
        except ValueError as error:
            raise self._no_registry(f"`{printable(to, 100)}` is no address to go to: {_why(error)}") from error
        if place.scheme != "https" and not self._may_be_plain(place):
            raise TransportError(
                "insecure-redirect",
                self.registry,
                f"sends us on to {_shown(place)}, where others can read and change what goes there",
                hint="expected https; look at the registry's configuration, which must know of a proxy that speaks TLS",
            )
        return place

    def _path(self, to: str) -> str:
        """Of an address, as it is asked for; what follows may be secret."""
        return self._place(to).raw_path.partition(b"?")[0].decode("ascii")

    def _drain(self, response: httpx.Response) -> httpx.Response:
        """A streamed answer as a whole; one that is whole already stays as it is."""
        try:
            return response if response.is_closed else self._whole(response)
        except httpx.HTTPError as error:
            raise self._broken("GET", error) from error

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_raw()
        except httpx.HTTPError as error:
            raise self._broken("GET", error) from error

    def _broken(self, method: str, error: httpx.HTTPError) -> TransportError:
        if isinstance(error, httpx.TimeoutException):
            return TransportError(
                "registry-unreachable",
                self.registry,
                f"no answer to {method} for {self.patience.silence:.0f} s",
                hint="check the network and the registry's load",
                retryable=True,
                hung=True,
            )
        if any(word in str(error) for word in _UNKNOWN_CLIENT):
            return TransportError(
                "client-certificate-refused",
                self.registry,
                f"it wants a client certificate that it knows: {error}",
                hint=f"put client.cert and client.key into {self._access.folder(self.registry)}",
            )
        if isinstance(error, httpx.ConnectError):
            return TransportError(
                "registry-unreachable",
                self.registry,
                f"cannot connect: {error}",
                hint=_connect_hint(str(error)),
                # One that was there a moment ago is about to come back; one that never was is not waited for.
                retryable=self._answered and "CERTIFICATE" not in str(error),
            )
        return TransportError(
            "registry-unreachable",
            self.registry,
            f"the connection broke during {method}: {error}",
            hint="try again; then look at the registry's log",
            retryable=isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol),
        )

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
        url = self._place(path, params=params)
        sent = dict(headers or {})
        authorization = self._authorization.get(scope)
        # A Location may point elsewhere, such as an object store that must not see our password.
        if authorization and _origin(url) == _origin(httpx.URL(self.base)):
            sent["Authorization"] = authorization
        try:
            request = self._http.build_request(method, url, content=body() if body else None, headers=sent)
            response = self._http.send(request, stream=True)
            return response if stream else self._whole(response)
        except httpx.HTTPError as error:
            if path.startswith("/") and self._speaks_plainly(str(url), error):
                return self._send(method, path, body, headers, params, scope, stream=stream)
            raise self._broken(method, error) from error

    def _whole(self, response: httpx.Response) -> httpx.Response:
        """An answer that is read at once, which a stranger cannot make as long as he likes."""
        try:
            # Not as httpx unpacks it, which gives a piece whatever size it grows to.
            content = gathered(response.iter_raw(), response.headers.get("Content-Encoding", ""))
        except ValueError as error:
            raise self._no_registry(str(error)) from error
        finally:
            response.close()
        # As bytes: httpx reads headers in any encoding, and writes those that are ASCII alone.
        unpacked = [(name, value) for name, value in response.headers.raw if name.lower() not in _PACKING]
        return httpx.Response(response.status_code, headers=unpacked, content=content, request=response.request)

    def _speaks_plainly(self, url: str, error: Exception) -> bool:
        """Whether it was spoken to by TLS, on loopback, and does not know it: as Docker does, plainly then. Several
        threads may find that out at once, the last of them when another one has its answer already."""
        if not url.startswith("https:") or not is_loopback(self.registry):
            return False
        if not any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER", "HTTP_REQUEST")):
            return False
        if self._answered and not self._plain:
            return False
        self._plain = True
        return True

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
        scopes = (challenge.parameters.get("scope") or scope).split()
        asked = {"service": challenge.parameters.get("service", ""), "scope": scopes}
        credentials = self._credentials
        identity = credentials is not None and credentials.user == TOKEN_USER
        try:
            place = _address(realm, params=None if identity else asked)
        except ValueError as error:
            named = f"its token service `{printable(realm, 100)}` is at no address"
            raise self._no_registry(f"{named}: {_why(error)}", hint=_REALM) from error
        if place.scheme != "https" and not self._may_be_plain(place):
            raise TransportError(
                "registry-insecure-login",
                self.registry,
                f"wants the login to be sent to {_shown(place)}, where others can read it",
                hint="expected https; look at the registry's configuration",
            )
        try:
            if credentials and identity:
                form = {"grant_type": "refresh_token", "refresh_token": credentials.password.reveal(), **asked}
                request = self._http.build_request("POST", place, data={**form, "client_id": "imageforge"})
            else:
                headers = {"Authorization": credentials.basic()} if credentials else {}
                request = self._http.build_request("GET", place, headers=headers)
            answer = self._whole(self._http.send(request, stream=True))
        except httpx.HTTPError as error:
            raise TransportError(
                "registry-unreachable",
                self.registry,
                f"its token service at {_shown(place)} does not answer: {error}",
                hint="check the network, and the realm in the registry's configuration",
                retryable=isinstance(error, httpx.TransportError),
                hung=isinstance(error, httpx.TimeoutException),
            ) from error
        if answer.status_code != OK:
            raise self._error(answer, f"login at {_shown(place)}")
        found = json_object(answer.content) or {}
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            said = "no token" if not token else "a token that is none"
            raise self._no_registry(f"its token service {_shown(place)} gave {said}", hint=_REALM)
        return token

    def _may_be_plain(self, place: httpx.URL) -> bool:
        """Whether a place may be spoken to by plain HTTP, as regards logins, uploads and redirects."""
        if _origin(place) == _origin(httpx.URL(self.base)):
            return True
        # Without a user, who may be named like a host on loopback.
        host = place.netloc.decode("ascii")
        named = {name.lower() for name in self._access.plain_http}
        return is_loopback(host) or host in named or (place.port is None and f"{host}:80" in named)

    def _no_registry(self, message: str, *, hint: str | None = None) -> TransportError:
        """It answers, and not as registries do."""
        return TransportError("not-a-registry", self.registry, message, hint=hint or _STRANGER)

    def _error(self, response: httpx.Response, what: str) -> RefusedError | TransportError:
        status = response.status_code
        errors = (json_object(response.content) or {}).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
        passing = status in PASSING
        asked = retry_after(response.headers.get("Retry-After"), time.time()) if passing else None

        def refused(code: str, message: str, hint: str) -> RefusedError:
            return RefusedError(code, self.registry, message, hint=hint, retryable=passing, asked=asked, status=status)

        if status == NO_SPACE or (first and b"no space left" in response.content):
            return TransportError(
                "registry-full", self.registry, f"no space left ({what})", hint="make room for it", status=status
            )
        if status == UNAUTHORIZED:
            why = f" ({self._credentials_note})" if self._credentials_note else ""
            return refused(
                "registry-unauthorized",
                f"login refused ({what}){why}",
                f"docker login {self.registry}, with a user who may do that there",
            )
        if first:
            code = _kebab(_text(first.get("code")))
            said = printable(_text(first.get("message"))) or code
            return refused(f"registry-{code}", f"refused {what} with {status}: {said}", _hint(code, asked))
        if status in _BARE:
            code = _BARE[status]
            return refused(f"registry-{code}", f"refused {what} with {status}", _hint(code, asked))
        if status >= 500:
            return TransportError(
                "registry-failed",
                self.registry,
                f"failed with {status} on {what}",
                hint="look at the registry's log",
                retryable=passing,
                asked=asked,
                status=status,
            )
        hint = _STRANGER
        if status == BAD_REQUEST and self._plain:
            hint = "where it speaks TLS: --ca FILE names who signed its certificate, or a .crt in Docker's certs.d"
        return TransportError(
            "not-a-registry",
            self.registry,
            f"answered {status} to {what}, and not as a registry does",
            hint=hint,
            status=status,
            retryable=passing,
        )


class Trial:
    """One thing that is tried again while it fails with what may pass."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._failed = self._hung = 0

    def progressed(self) -> None:
        """Something went well: what went wrong before counts no more."""
        self._failed = self._hung = 0

    def failed(self, error: TransportError | RefusedError) -> None:
        """Wait until it may be tried again. Raises `error` where it is not to be, InterruptedError when cancelled."""
        self._failed += 1
        self._hung += error.hung
        chance = random.random()  # noqa: S311 - it parts those who come at once, and keeps no secret
        pause = self._transport.patience.pause(self._failed, self._hung, asked=error.asked, chance=chance)
        if not error.retryable or pause is None:
            # Whoever has a larger thing to try again knows that this was tried enough.
            error.retryable = False
            raise error
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            if self._transport.cancelled():
                raise InterruptedError("it was cancelled") from error
            time.sleep(min(left, LOOK_SECONDS))


def _address(
    text: str, base: httpx.URL | None = None, params: Mapping[str, str | Sequence[str]] | None = None
) -> httpx.URL:
    """An address by HTTP, as seen from `base`, with `params` besides its own. Raises ValueError where it is none."""
    try:
        place = base.join(text) if base else httpx.URL(text)
        # Without any it stays as it is written: it may be signed.
        place = place.copy_merge_params(dict(params)) if params else place
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if place.scheme not in _PORTS or not place.host:
        raise ValueError("it names no host that is asked by HTTP")
    if place.port is not None and not 0 < place.port < 1 << 16:
        raise ValueError(f"there is no port {place.port}")
    # As the resolver takes it; else that fails with what is no OSError.
    place.raw_host.decode("ascii").encode("idna")
    return place


def _origin(place: httpx.URL) -> tuple[str, bytes, int | None]:
    """Scheme, host and port, the latter also where it is not written."""
    return place.scheme, place.raw_host, place.port or _PORTS.get(place.scheme)


def _shown(place: httpx.URL) -> str:
    """An address without what in it may be secret or long."""
    return printable(f"{place.scheme}://{place.netloc.decode('ascii')}", 300)


def _why(error: ValueError) -> str:
    return printable(str(error), 200)


def _begins(response: httpx.Response) -> int:
    """The first byte that a Content-Range names; -1 where it names none."""
    found = re.match(r"bytes ([0-9]+)-", response.headers.get("Content-Range", ""))
    begins = number(found[1]) if found else None
    return -1 if begins is None else begins


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _kebab(code: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", code.lower()).strip("-")[:60] or "unknown"


_STRANGER = "check the address: something else listens there, or a proxy answers for it"
_REALM = "look at the realm in the registry's configuration, and at the log of what answers there"

# What an answer without the specification's errors in it means; 405 is that of CNCF Distribution 2.8 when read-only.
_BARE = {
    FORBIDDEN: "denied",
    NOT_FOUND: "not-found",
    NOT_ALLOWED: "unsupported",
    TOO_LARGE: "too-large",
    UNSATISFIABLE: "range-invalid",
    TOO_MANY: "toomanyrequests",
}


def _hint(code: str, asked: float | None) -> str:
    hints = {
        "denied": "this user may not do that there",
        "unsupported": "the registry is read-only or does not offer this; look at its configuration",
        "digest-invalid": "the bytes changed on the way, or the layout is damaged; build again",
        "toomanyrequests": f"try again in {asked:.0f} s" if asked else "wait, then try again",
        "too-large": "the registry, or a proxy before it, takes no request of that size: raise its limit",
        "name-invalid": "choose another name for the image",
        "not-found": "check the name of the repository, and that something is a registry there",
        "manifest-unknown": "check the tag: `imageforge image tags` lists them",
        "name-unknown": "check the name of the repository",
    }
    return hints.get(code, "look at the registry's log")


def _connect_hint(said: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return "name the file of its authority: --ca FILE, or /etc/docker/certs.d/REGISTRY/ca.crt"
    if "SSL" in said:
        return "if it speaks plain HTTP, and that is wanted: --plain-http REGISTRY"
    return "`imageforge up` starts the local one; of another, check name, port and TLS"
