"""Which program can drive this engine's BuildKit. The pair is probed, never the word `docker`: a CLI of version 23 or
later needs the buildx plugin, while an older one beside it on PATH has BuildKit's client built in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builders.engine import EngineFacts
from builders.errors import ClientError
from builders.locate import Endpoint

PROBE_SECONDS = 15
BUILT_IN_UNTIL = 23
"""The first major version of the CLI that has no BuildKit client of its own."""
BUILT_IN_SINCE = (18, 9)
USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin", "/snap/bin")


class ClientKind(StrEnum):
    """How a client drives BuildKit."""

    BUILDX = "buildx"
    BUILT_IN = "built-in BuildKit client of"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildClient:
    """A program, how it drives BuildKit, and the version that matters: buildx's or the CLI's."""

    path: Path
    kind: ClientKind
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A `docker` on this machine: its version, and that of its buildx plugin (empty without one)."""

    path: Path
    version: str
    buildx: str


def find_build_client(endpoint: Endpoint, facts: EngineFacts, environ: Mapping[str, str] = os.environ) -> BuildClient:
    """The first that fits: a CLI with buildx, then a CLI with BuildKit's client built in.

    Raises ClientError (`no-buildkit-client`) naming what was found and why each is unfit.
    """
    del endpoint  # every client here takes any endpoint; one that does not will need it
    found = [probed for path in docker_programs(environ) if (probed := _probe(path, environ))]
    chosen = choose(found)
    if chosen:
        return chosen
    seen = "; ".join(f"{cli.path} is {cli.version} without buildx" for cli in found) or "there is no `docker` on PATH"
    raise ClientError(
        "no-buildkit-client",
        f"engine {facts.version}",
        f"no program here can drive its BuildKit: {seen}",
        hint="install the buildx plugin (docker-buildx-plugin, docker-buildx), or Debian 12's docker.io",
    )


def choose(found: list[Found]) -> BuildClient | None:
    """Pure: the client to use of those found, in the order of PATH."""
    for cli in found:
        if cli.buildx:
            return BuildClient(path=cli.path, kind=ClientKind.BUILDX, version=cli.buildx)
    for cli in found:
        numbers = tuple(int(part) for part in re.findall(r"\d+", cli.version)[:2])
        if BUILT_IN_SINCE <= numbers < (BUILT_IN_UNTIL,):
            return BuildClient(path=cli.path, kind=ClientKind.BUILT_IN, version=cli.version)
    return None


def docker_programs(environ: Mapping[str, str]) -> Iterator[Path]:
    """Every `docker` on PATH and in the usual folders, each file once."""
    seen: set[Path] = set()
    for folder in (*environ.get("PATH", os.defpath).split(os.pathsep), *USUAL_FOLDERS):
        path = Path(folder) / "docker"
        if folder and path.is_file() and os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _probe(path: Path, environ: Mapping[str, str]) -> Found | None:
    version = _ask([str(path), "--version"], r"version v?(\d+\.\d+[^\s,]*)", environ)
    if version is None:
        return None
    buildx = _ask([str(path), "buildx", "version"], r"v?(\d+\.\d+[^\s]*)", environ)
    return Found(path=path, version=version, buildx=buildx or "")


def _ask(command: list[str], pattern: str, environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False, env=dict(environ)
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(pattern, done.stdout) if done.returncode == 0 else None
    return found[1] if found else None
