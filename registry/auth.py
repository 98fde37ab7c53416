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
from typing import Any

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was stored for a registry, or a `note` why what should have been there is not."""

    credentials: Credentials | None = None
    note: str = ""


def docker_folder(environ: Mapping[str, str]) -> Path | None:
    """Where Docker's client keeps what is the user's; None for a user who has no home."""
    given = environ.get("DOCKER_CONFIG")
    try:
        return Path(given) if given else Path.home() / ".docker"
    except RuntimeError:
        return None


def find_credentials(registry: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """What `docker login` stored for a registry: a helper's answer, else the entry under `auths`; None without one."""
    return look_up(registry, environ).credentials


def look_up(registry: str, environ: Mapping[str, str] = os.environ) -> Found:
    """The same, with a note of what went wrong. A damaged configuration or a helper that fails counts as no login: a
    registry that needs none must still work."""
    folder = docker_folder(environ)
    if folder is None:
        return Found()
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError:
        return Found()
    except (OSError, ValueError) as error:
        return Found(note=f"{folder / 'config.json'} cannot be read: {type(error).__name__}")
    if not isinstance(config, dict):
        return Found(note=f"{folder / 'config.json'} holds no JSON object")
    keys = HUB_KEYS if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
    helpers = _mapping(config.get("credHelpers"))
    helper = next((helpers[key] for key in keys if key in helpers), config.get("credsStore"))
    note = ""
    if helper:
        for key in keys:
            answer = _ask_helper(str(helper), key)
            if answer.credentials:
                return answer
            note = note or answer.note
    auths = _mapping(config.get("auths"))
    stored = next((found for key in keys if (found := _decode(_mapping(auths.get(key))))), None)
    return Found(credentials=stored, note="" if stored else note)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _ask_helper(helper: str, key: str) -> Found:
    """The key goes by stdin, the secret comes by stdout; what the helper writes besides is not repeated."""
    name = f"docker-credential-{helper}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        return Found(note="the credential helper in Docker's configuration has no such name")
    try:
        done = subprocess.run(
            [name, "get"], input=key, capture_output=True, text=True, check=False, timeout=HELPER_SECONDS
        )
    except FileNotFoundError:
        return Found(note=f"{name}, which Docker's configuration names, is not installed")
    except (OSError, subprocess.SubprocessError) as error:
        return Found(note=f"{name} did not answer: {type(error).__name__}")
    if done.returncode:
        # It says so on stdout, in words that all helpers share.
        absent = "credentials not found" in done.stdout
        return Found(note="" if absent else f"{name} ended with {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        return Found(credentials=Credentials(user=str(answer["Username"]), password=Secret(answer["Secret"])))
    except (ValueError, KeyError, TypeError):
        return Found(note=f"{name} answered with something else than a login")


def _decode(entry: Mapping[str, Any]) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(user=TOKEN_USER, password=Secret(str(entry["identitytoken"])))
    if entry.get("username") and entry.get("password"):
        return Credentials(user=str(entry["username"]), password=Secret(str(entry["password"])))
    try:
        user, separator, password = (
            base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        return None
    return Credentials(user=user, password=Secret(password)) if separator else None


# From the first letter of a name only: a long word that is none would else be tried from each of its letters on.
_PARAMETER = re.compile(r'(?<![a-zA-Z_])([a-zA-Z_]++)\s*=\s*"((?:[^"\\]|\\.)*)"')


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
