"""The current context of Docker's command line, read from its files.

Format: ``config.json`` names it, ``contexts/meta/<sha256 of the name>/meta.json`` describes it, and its certificates
lie in ``contexts/tls/<sha256 of the name>/docker/`` (docker/cli, package ``cli/context/store``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.errors import EngineError

DEFAULT_CONTEXT = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class CliContext:
    """A context: its name, the engine it points to, and the folder of its certificates where it has any."""

    name: str
    host: str
    tls: Path | None


def current_context(environ: Mapping[str, str]) -> CliContext | None:
    """The context in force, None for the default one. Raises EngineError for one that cannot be read."""
    folder = config_folder(environ)
    name = environ.get("DOCKER_CONTEXT") or _configured(folder / "config.json")
    if not name or name == DEFAULT_CONTEXT:
        return None
    key = hashlib.sha256(name.encode()).hexdigest()
    metadata = _read(folder / "contexts" / "meta" / key / "meta.json", f"context {name}")
    if metadata is None:
        raise EngineError(
            "engine-context-missing",
            f"context {name}",
            f"the Docker command line uses it, and {folder / 'contexts'} does not describe it",
            hint="choose another with `docker context use`, or unset DOCKER_CONTEXT",
        )
    host = ((metadata.get("Endpoints") or {}).get("docker") or {}).get("Host")
    if not isinstance(host, str) or not host:
        raise EngineError("engine-context-invalid", f"context {name}", "it names no Docker endpoint")
    certificates = folder / "contexts" / "tls" / key / "docker"
    return CliContext(name=name, host=host, tls=certificates if certificates.is_dir() else None)


def config_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the command line's settings: DOCKER_CONFIG, else ``~/.docker``."""
    configured = environ.get("DOCKER_CONFIG")
    return Path(configured) if configured else Path(environ.get("HOME") or Path.home()) / ".docker"


def _configured(path: Path) -> str | None:
    config = _read(path, str(path))
    name = (config or {}).get("currentContext")
    return name if isinstance(name, str) else None


def _read(path: Path, subject: str) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EngineError("engine-context-invalid", subject, f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise EngineError("engine-context-invalid", subject, f"{path} is not a JSON object")
    return document
