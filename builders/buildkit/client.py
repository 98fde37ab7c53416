"""Which command-line client can drive the engine's BuildKit.

The trap is the pair: a client of version 23 or later needs the buildx plugin, an older one has a BuildKit client built
in; where both are installed the first on PATH may be the one that cannot.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builders.buildkit.environment import client_environment
from builders.engine import Endpoint, EngineFacts
from builders.errors import ClientError

_COMMON_PLACES = (Path("/usr/bin/docker"), Path("/usr/local/bin/docker"), Path("/opt/homebrew/bin/docker"))
_BUILTIN_FROM, _BUILTIN_BELOW = (18, 9), (23, 0)
_OLDEST_ENGINE = (20, 10)
_PROBE_TIMEOUT = 20  # seconds; a plugin on a cold disk takes one or two


class ClientKind(StrEnum):
    """How a client reaches BuildKit: by the buildx plugin, or by the code built into versions 18.09 to 20.10."""

    BUILDX = "buildx"
    BUILTIN = "builtin"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildClient:
    """A `docker` that can drive BuildKit. `version` is buildx's where `kind` is buildx, else the client's own."""

    path: Path
    kind: ClientKind
    version: str


def find_build_client(
    endpoint: Endpoint,
    facts: EngineFacts,
    environ: Mapping[str, str] | None = None,
    *,
    places: tuple[Path, ...] = _COMMON_PLACES,
) -> BuildClient:
    """The first client with buildx, else the first with BuildKit built in, of all on PATH and in the common `places`.

    Raises ClientError ``no-buildkit-client``, which names every client found and why it will not do, or
    ``engine-too-old``.
    """
    environ = os.environ if environ is None else environ
    release = _numbers(facts.version)
    if release and release < _OLDEST_ENGINE:
        raise ClientError(
            "engine-too-old",
            f"{endpoint.host} ({endpoint.origin})",
            f"its version is {facts.version}, 20.10 or later was expected",
            hint="upgrade the engine",
        )
    environment = client_environment(environ, endpoint)
    found = _executables(environ, places)
    files = tuple((path, (known := path.stat()).st_mtime_ns, known.st_size) for path in found)
    key = (files, environment.get("HOME"), environment.get("DOCKER_CONFIG"))  # plugins are looked for there
    if key not in _chosen:
        _chosen[key] = _choose(found, environment)
    return _chosen[key]


_Found = tuple[tuple[tuple[Path, int, int], ...], str | None, str | None]
_chosen: dict[_Found, BuildClient] = {}
"""What was chosen of these files, as long as they stay as they are: to ask each of them takes a tenth of a second."""


def _choose(found: list[Path], environment: Mapping[str, str]) -> BuildClient:
    builtin: BuildClient | None = None
    unfit: list[str] = []
    for path in found:
        buildx = _buildx_version(path, environment)
        if buildx:
            return BuildClient(path=path, kind=ClientKind.BUILDX, version=buildx)
        version = _client_version(path, environment)
        if _BUILTIN_FROM <= _numbers(version) < _BUILTIN_BELOW:
            builtin = builtin or BuildClient(path=path, kind=ClientKind.BUILTIN, version=version)
        else:
            unfit.append(f"{path} {_why_unfit(version)}")
    if builtin is not None:
        return builtin
    raise ClientError(
        "no-buildkit-client",
        "docker",
        f"no client can drive BuildKit: {'; '.join(unfit) or 'none is on PATH'}",
        hint="install the buildx plugin (package docker-buildx or docker-buildx-plugin), or Debian 12's docker.io",
    )


def _executables(environ: Mapping[str, str], places: tuple[Path, ...]) -> list[Path]:
    """Every `docker`, in the order in which a shell would find it, each file once."""
    on_path = [Path(folder) / "docker" for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    found: dict[Path, Path] = {}
    for path in (*on_path, *places):
        if path.is_file() and os.access(path, os.X_OK):
            found.setdefault(path.resolve(), path.absolute())
    return list(found.values())


def _buildx_version(path: Path, environment: Mapping[str, str]) -> str | None:
    """``github.com/docker/buildx v0.14.0 171fcbe`` gives ``v0.14.0``."""
    answer = _ask([str(path), "buildx", "version"], environment)
    match = re.search(r"buildx\S*\s+(v?\d\S*)", answer or "")
    return match[1] if match else None


def _client_version(path: Path, environment: Mapping[str, str]) -> str:
    """``Docker version 20.10.24+dfsg1, build 297e128`` gives ``20.10.24+dfsg1``; empty where nothing is said."""
    match = re.search(r"version\s+([^\s,]+)", _ask([str(path), "--version"], environment) or "")
    return match[1] if match else ""


def _ask(command: list[str], environment: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(  # the plugin may print warnings on stderr
            command,
            env=dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _why_unfit(version: str) -> str:
    if not version:
        return "does not say its version"
    if _numbers(version) >= _BUILTIN_BELOW:
        return f"(version {version}) needs the buildx plugin, which is not installed"
    return f"(version {version}) is older than BuildKit"


def _numbers(version: str) -> tuple[int, int] | tuple[()]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else ()
