"""Logins for pulling images, out of Secrets of the type kubernetes.io/dockerconfigjson, or its older form, in which
the ``auths`` are all there is: which of them are for an image.

After the kubelet's keyring (kubernetes/pkg/credentialprovider): a key of ``auths`` is a host, with ``*`` for a part of
its name, and may have a port and the beginning of a path; the longest is tried first.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

_HUB = "index.docker.io"
_HUB_NAMES = ("docker.io", _HUB, "registry-1.docker.io")


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A name and a password for one registry; no text shows the password."""

    username: str
    password: str = field(repr=False)


def logins_for(image: str, config: bytes) -> tuple[Login, ...]:
    """The logins of a Docker configuration that are for the image, the most special first. What cannot be read is none:
    the pull then says what is missing."""
    host, path = _place(image)
    found = [(key, login) for key, login in _entries(config) if _matches(key, host, path)]
    return tuple(login for _, login in sorted(found, key=lambda item: len(item[0]), reverse=True))


def _entries(config: bytes) -> Iterator[tuple[str, Login]]:
    try:
        found = json.loads(config)
        auths = found.get("auths", found)
    except (ValueError, AttributeError):
        return
    for key, entry in auths.items() if isinstance(auths, dict) else ():
        login = _login(entry)
        if login is not None:
            yield _bare(key), login


def _login(entry: Any) -> Login | None:
    if not isinstance(entry, dict):
        return None
    username, password = entry.get("username"), entry.get("password")
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
    if not username or password is None:
        return None
    return Login(username=str(username), password=str(password))


def _bare(key: str) -> str:
    """Host, port and path of a key, which may be a URL of one of the registry's interfaces."""
    bare = key.split("://", 1)[-1].rstrip("/")
    for version in ("/v1", "/v2"):
        bare = bare.removesuffix(version)
    host, slash, path = bare.partition("/")
    return (_HUB if host in _HUB_NAMES else host) + slash + path


def _place(image: str) -> tuple[str, str]:
    """(host with its port, path) of an image, as Docker reads it."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (_HUB if first in _HUB_NAMES else first), rest
    return _HUB, image if slash else f"library/{image}"


def _matches(key: str, host: str, path: str) -> bool:
    wanted, _, prefix = key.partition("/")
    name, _, port = wanted.partition(":")
    there, _, there_port = host.partition(":")
    parts, there_parts = name.split("."), there.split(".")
    if port != there_port or len(parts) != len(there_parts) or not path.startswith(prefix):
        return False
    return all(fnmatchcase(part, pattern) for part, pattern in zip(there_parts, parts, strict=True))
