"""Credentials for a registry: where Docker keeps them, and how they are shown, which is not at all."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "index.docker.io")
HELPER_SECONDS = 10
TOKEN_USER = "<token>"  # noqa: S105 - the word by which helpers say that the secret is an identity token


class Secret(str):
    """A string that must not be seen: it prints as ``***``; `reveal` is the one way to its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """The text itself."""
        return str.__str__(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A user and a password or token."""

    user: str
    password: Secret

    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.user}:{self.password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def find_credentials(registry: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """What `docker login` stored for a registry: a helper's answer, else the entry under `auths`; None without one.

    A damaged configuration counts as none: a registry that needs no login must still work.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    keys = HUB_KEYS if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
    helpers = config.get("credHelpers") or {}
    helper = next((helpers[key] for key in keys if key in helpers), config.get("credsStore"))
    if helper:
        for key in keys:
            found = _ask_helper(str(helper), key)
            if found:
                return found
    auths = config.get("auths") or {}
    return next((found for key in keys if (found := _decode(auths.get(key) or {}))), None)


def _ask_helper(helper: str, key: str) -> Credentials | None:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        return None
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=key,
            capture_output=True,
            text=True,
            check=True,
            timeout=HELPER_SECONDS,
        )
        answer = json.loads(done.stdout)
        return Credentials(user=answer["Username"], password=Secret(answer["Secret"]))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _decode(entry: Mapping[str, str]) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(user=TOKEN_USER, password=Secret(entry["identitytoken"]))
    if entry.get("username") and entry.get("password"):
        return Credentials(user=entry["username"], password=Secret(entry["password"]))
    try:
        user, separator, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Credentials(user=user, password=Secret(password)) if separator else None


_PARAMETER = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """What a registry's WWW-Authenticate asks for."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """Read the header: `Bearer realm="…",service="…",scope="…"` or `Basic realm="…"`."""
        scheme, _, rest = header.partition(" ")
        return cls(scheme=scheme.lower(), parameters=dict(_PARAMETER.findall(rest)))
