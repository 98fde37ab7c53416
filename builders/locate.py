"""Which engine: DOCKER_HOST, the CLI's context, the system socket, a private one; the first that is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.errors import EngineError

SYSTEM_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where an engine answers, as DOCKER_HOST spells it, and why this one was chosen."""

    host: str
    origin: str

    @property
    def socket(self) -> Path | None:
        """The Unix socket, if it is one."""
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An endpoint to try; `named` by the user, who wants this one or to hear why not."""

    endpoint: Endpoint
    named: bool


def candidates(*, private_socket: Path | None, environ: Mapping[str, str] = os.environ) -> tuple[Candidate, ...]:
    """The endpoints in the order in which they are tried. Raises EngineError (`context-unknown`)."""
    found: list[Candidate] = []
    host = environ.get("DOCKER_HOST")
    if host:
        # Docker's own CLI takes no context into account beside it.
        return (Candidate(endpoint=Endpoint(host=host, origin="DOCKER_HOST"), named=True),)
    context = _context(environ)
    if context:
        found.append(Candidate(endpoint=context, named=True))
    found.append(Candidate(endpoint=Endpoint(host=f"unix://{SYSTEM_SOCKET}", origin="system socket"), named=False))
    if private_socket is not None:
        found.append(
            Candidate(endpoint=Endpoint(host=f"unix://{private_socket}", origin="private engine"), named=False)
        )
    return tuple(found)


def _context(environ: Mapping[str, str]) -> Endpoint | None:
    """The current context's endpoint; `default` and none mean the system socket."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home()) / ".docker")
    name = environ.get("DOCKER_CONTEXT") or _current(folder)
    if not name or name == "default":
        return None
    # The CLI names a context's folder after the digest of its name.
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        host = json.loads(meta.read_text())["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            "context-unknown",
            name,
            f"the Docker context in use cannot be read from {meta}",
            hint="docker context ls; docker context use default",
        ) from error
    return Endpoint(host=str(host), origin=f"context {name}")


def _current(folder: Path) -> str | None:
    try:
        name = json.loads((folder / "config.json").read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return str(name) if name else None
