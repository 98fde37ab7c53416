"""The Docker client's configuration for one build: the user's own, and logins of the build's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.errors import ClientError
from builders.model import RegistryLogin

HUB = "https://index.docker.io/v1/"
"""Under which the client keeps the login of Docker's own registry, which images call docker.io."""


def with_logins(user: Path, logins: Mapping[str, RegistryLogin], into: Path) -> Path:
    """Make a folder for DOCKER_CONFIG: all of the folder `user`, which may not be there, and the logins, which go
    before the user's own and before a credential helper's. Gives the folder, of mode 0700.

    Raises ClientError (`docker-config-unreadable`).
    """
    into.mkdir(mode=0o700)
    file = user / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
        beside = [found for found in user.iterdir() if found.name != file.name] if user.is_dir() else []
    except (OSError, ValueError) as error:
        raise ClientError("docker-config-unreadable", str(file), str(error), hint="mend or remove the file") from error
    for found in beside:
        # Plugins and their state: buildx is one, and keeps its builders there.
        (into / found.name).symlink_to(found)
    keys = {HUB if host in ("docker.io", "index.docker.io") else host: login for host, login in logins.items()}
    config["auths"] = {**(config.get("auths") or {}), **{key: {"auth": _auth(login)} for key, login in keys.items()}}
    # A store of credentials is asked for every host but those with a helper of their own; an empty name is the file.
    config["credHelpers"] = {**(config.get("credHelpers") or {}), **dict.fromkeys(keys, "")}
    target = into / file.name
    target.touch(mode=0o600)
    target.write_text(json.dumps(config))
    return into


def _auth(login: RegistryLogin) -> str:
    return base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
