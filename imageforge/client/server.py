"""A server's API, as the command line uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from imageforge import __version__
from imageforge.client.errors import ServerError
from imageforge.errors import Kind

TIMEOUT = httpx.Timeout(30.0, read=60.0)
"""Seconds; a stream of events gives a sign of life every 15."""
RECONNECTS = 60
RECONNECT_SECONDS = 1.0
PIECE = 256 * 1024

Row = Mapping[str, Any]


class Server:
    """One server. Every method raises ServerError: `server-unreachable`, or the code that the server gave."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"imageforge/{__version__}"},
            timeout=TIMEOUT,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def apps(self) -> list[Row]:
        """The apps."""
        return list(self._ask("GET", "/v1/apps"))

    def create_app(self, name: str, settings: Row) -> Row:
        """Make an app."""
        return dict(self._ask("POST", "/v1/apps", {"name": name, **settings}))

    def configure(self, name: str, settings: Row) -> Row:
        """Change an app's settings."""
        return dict(self._ask("PATCH", f"/v1/apps/{name}", settings))

    def environment(self, app: str) -> Mapping[str, str]:
        """An app's variables."""
        return dict(self._ask("GET", f"/v1/apps/{app}/env"))

    def set_environment(self, app: str, values: Mapping[str, str | None]) -> int | None:
        """Set variables; the build that makes a release of it, if one is live."""
        answer = self._ask("PATCH", f"/v1/apps/{app}/env", {"values": values})
        return None if answer is None else int(answer["build"])

    def secrets(self, app: str) -> list[Row]:
        """The names of an app's secrets."""
        return list(self._ask("GET", f"/v1/apps/{app}/secrets"))

    def set_secrets(self, app: str, purpose: str, values: Mapping[str, Row]) -> int | None:
        """Set secrets; the build that makes a release with them, if they are for running and one is live."""
        answer = self._ask("PATCH", f"/v1/apps/{app}/secrets", {"values": values, "purpose": purpose})
        return None if answer is None else int(answer["build"])

    def remove_secret(self, app: str, name: str, purpose: str | None) -> int | None:
        """Forget a secret; the build as of `set_secrets`."""
        query = {"purpose": purpose} if purpose else None
        answer = self._ask("DELETE", f"/v1/apps/{app}/secrets/{quote(name, safe='')}", params=query)
        return None if answer is None else int(answer["build"])

    def domains(self, app: str) -> list[Row]:
        """An app's domains, and how their certificates stand."""
        return list(self._ask("GET", f"/v1/apps/{app}/domains"))

    def add_domain(self, app: str, domain: str) -> Row:
        """Have a domain lead to an app."""
        return dict(self._ask("PUT", f"/v1/apps/{app}/domains/{quote(domain, safe='')}"))

    def remove_domain(self, app: str, domain: str) -> None:
        """Have it lead there no longer."""
        self._ask("DELETE", f"/v1/apps/{app}/domains/{quote(domain, safe='')}")

    def webhook(self, app: str) -> Row:
        """Address and secret for the forge."""
        return dict(self._ask("GET", f"/v1/apps/{app}/webhook"))

    def builds(self, app: str | None, limit: int) -> list[Row]:
        """The newest builds."""
        query = {"limit": str(limit), **({"app": app} if app else {})}
        return list(self._ask("GET", "/v1/builds", params=query)["builds"])

    def build(self, build: int) -> Row:
        """One build."""
        return dict(self._ask("GET", f"/v1/builds/{build}"))

    def cancel(self, build: int) -> Row:
        """Cancel a build."""
        return dict(self._ask("POST", f"/v1/builds/{build}/cancel"))

    def retry(self, build: int) -> int:
        """Build the same once more."""
        return int(self._ask("POST", f"/v1/builds/{build}/retry")["build"])

    def releases(self, app: str) -> list[Row]:
        """An app's releases."""
        return list(self._ask("GET", f"/v1/apps/{app}/releases"))

    def release(self, app: str, number: int) -> Row:
        """One release, with its report."""
        return dict(self._ask("GET", f"/v1/apps/{app}/releases/{number}"))

    def rollback(self, app: str, number: int | None) -> int:
        """Go back to a release; the build that does it."""
        return int(self._ask("POST", f"/v1/apps/{app}/rollback", {"release": number})["build"])

    def tokens(self) -> list[Row]:
        """Every token."""
        return list(self._ask("GET", "/v1/tokens"))

    def create_token(self, name: str, scope: str, app: str | None, days: int | None) -> Row:
        """Make a token; its text is in the answer."""
        return dict(self._ask("POST", "/v1/tokens", {"name": name, "scope": scope, "app": app, "days": days}))

    def revoke_token(self, token: str) -> None:
        """Revoke a token."""
        self._ask("DELETE", f"/v1/tokens/{token}")

    def upload(self, app: str, archive: Path, options: Row, *, branch: str = "", revision: str = "") -> int:
        """Send a build context; the build that was accepted."""
        query = {"app": app, "options": json.dumps(options)}
        query |= {key: value for key, value in (("branch", branch), ("revision", revision)) if value}

        def body() -> Iterator[bytes]:
            with archive.open("rb") as handle:
                while piece := handle.read(PIECE):
                    yield piece

        headers = {"Content-Type": "application/gzip", "Content-Length": str(archive.stat().st_size)}
        return int(self._ask("POST", "/v1/builds", params=query, content=body(), headers=headers)["build"])

    def events(self, build: int, *, follow: bool = True) -> Iterator[Row]:
        """A build's events as they come, then ``{"kind": "end", "build": …}``. A connection that is lost is made anew,
        from the event after the last one seen."""
        after, failures = 0, 0
        while True:
            try:
                query = {"after": str(after), "follow": str(follow).lower(), "format": "ndjson"}
                with self._client.stream("GET", f"/v1/builds/{build}/events", params=query) as response:
                    if response.is_error:
                        response.read()
                        raise _told(response)
                    for line in response.iter_lines():
                        row = json.loads(line)
                        failures = 0
                        yield row
                        if row["kind"] == "end":
                            return
                        after = row["number"]
                if not follow:
                    return
            except (httpx.TransportError, json.JSONDecodeError) as error:
                failures += 1
                if failures > RECONNECTS:
                    raise self._unreachable(error) from error
                time.sleep(RECONNECT_SECONDS)

    def ask(
        self,
        method: str,
        path: str,
        body: Row | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One call; what it answers, None for nothing."""
        return self._ask(method, path, body, params=params, content=content, headers=headers)

    def lines(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Row]:
        """A call that answers with one JSON object a line, as they come; empty lines are signs of life."""
        said = {"Accept": "application/x-ndjson", **(headers or {})}
        try:
            with self._client.stream(method, path, params=params, content=content, headers=said) as response:
                if response.is_error:
                    response.read()
                    raise _told(response)
                for line in response.iter_lines():
                    row = json.loads(line) if line else None
                    if row is not None and row.get("kind") == "error":
                        raise _problem(row["problem"])
                    if row is not None:
                        yield row
        except (httpx.TransportError, json.JSONDecodeError) as error:
            raise self._unreachable(error) from error

    def _ask(
        self,
        method: str,
        path: str,
        body: Row | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content: Iterator[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            response = self._client.request(
                method, path, json=body, params=params, content=content, headers=dict(headers or {})
            )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise _told(response)
        return response.json() if response.content else None

    def _unreachable(self, error: Exception) -> ServerError:
        return ServerError(
            "server-unreachable",
            self.url,
            f"no answer: {error}",
            kind="environment",
            hint="is the service up there? another context: imageforge context use NAME",
        )


UNAUTHORIZED = 401
KINDS: Mapping[int, Kind] = {403: "refused", 422: "refused"}


def _told(response: httpx.Response) -> ServerError:
    try:
        told = response.json()
        code, message = str(told["code"]), str(told.get("message") or told.get("detail") or told.get("title"))
    except (ValueError, KeyError, TypeError):
        return ServerError(
            "not-an-imageforge",
            str(response.url.copy_with(query=None)),
            f"it answered {response.status_code}, and not as imageforge does",
            kind="environment",
            hint="check the address: imageforge context ls",
        )
    if response.status_code == UNAUTHORIZED:
        url = str(response.url.copy_with(raw_path=b"/")).rstrip("/")
        hint = f"make a token there, `imageforge token create NAME`, then here: imageforge login {url}"
        said = f"the token was refused: {told.get('subject')}: {message}"
        return ServerError(code, url, said, kind="refused", hint=hint, kept=told.get("kept"))
    return _problem(told, response.status_code, subject=response.url.path)


def _problem(told: Row, status: int = 0, *, subject: str = "server") -> ServerError:
    """The error that a problem tells of."""
    number = status or int(told["status"])
    kind = KINDS.get(number) or ("environment" if number >= 500 else "usage")
    return ServerError(
        str(told["code"]),
        str(told.get("subject") or subject),
        str(told.get("message") or told.get("detail") or told.get("title")),
        kind=kind,
        hint=told.get("hint"),
        kept=told.get("kept"),
    )
