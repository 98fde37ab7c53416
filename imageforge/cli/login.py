"""imageforge login: remember a server and a token for it."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from imageforge.cli.output import say
from imageforge.client import Context, Contexts
from imageforge.client.server import Server
from imageforge.errors import UsageError


def login(
    url: Annotated[str, typer.Argument(help="The server, such as https://forge.example.org.")],
    name: Annotated[str | None, typer.Option("--name", help="The context's name; the host's where left out.")] = None,
) -> None:
    """Log in to a server and use it from now on. The token is read from standard input, never from an argument."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "invalid-url", url, "expected http(s)://HOST[:PORT]", hint="imageforge login https://forge.example.org"
        )
    if parts.username or parts.password:
        raise UsageError("invalid-url", parts.hostname, "it holds credentials", hint="the token is asked for")
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(
            "token-over-plain-http",
            url,
            "a token would cross the network readable by everybody",
            hint="use https, or a tunnel: ssh -L 8701:127.0.0.1:8701 HOST, then imageforge login http://127.0.0.1:8701",
        )
    token = _read_token()
    with Server(url, token) as server:
        server.builds(None, 1)  # a token that is wrong is told of now
    chosen = name or parts.hostname
    Contexts.of_user().add(Context(name=chosen, url=url.rstrip("/"), token=token))
    say(f"logged in; commands go to {url} (context {chosen}) until `imageforge context use` says otherwise")


def _read_token() -> str:
    if sys.stdin.isatty():
        import getpass  # noqa: PLC0415 - needs a terminal's modules, which not every system has

        token = getpass.getpass("token: ").strip()
    else:
        token = sys.stdin.readline().strip()
    if not token:
        raise UsageError(
            "token-missing",
            "standard input",
            "no token was given",
            hint="printf %s TOKEN | imageforge login URL; `imageforge token create NAME` makes one on the server",
        )
    return token
