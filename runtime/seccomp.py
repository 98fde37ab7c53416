"""Seccomp profiles of the machine's own: its owner puts them into a folder, and manifests name them (``Localhost``)."""

from __future__ import annotations

import json
from pathlib import Path

from runtime.errors import ConfigError
from runtime.written_file import read_written


def read_profile(folder: str, path: str) -> str:
    """The text of a profile, as the engine takes it. Raises ConfigError (`profile-not-loaded`), in the kubelet's
    words."""
    try:
        content = read_written(Path(folder).resolve(), path, folder)
        found = None if content is None else json.loads(content)
    except ConfigError as error:
        raise _not_loaded(path, error.message) from error
    except (ValueError, RecursionError) as error:
        raise _not_loaded(path, "it is no JSON") from error
    if content is None:
        raise _not_loaded(path, f"there is none in {folder}")
    if not isinstance(found, dict) or "defaultAction" not in found:
        raise _not_loaded(path, "it is no object with a defaultAction")
    return json.dumps(found)


def _not_loaded(path: str, why: str) -> ConfigError:
    return ConfigError(
        "profile-not-loaded",
        path,
        f'cannot load seccomp profile "{path}": {why}',
        hint="the machine's owner puts it there: `seccomp_profiles` in settings.toml",
    )
