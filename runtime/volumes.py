"""What the volumes of a template hold, pure: which files, with which bytes and modes."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.errors import ConfigError
from runtime.manifest.model import PodTemplate, SecretVolume
from runtime.secret import Lookup


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file's bytes and mode."""

    content: bytes = field(repr=False)
    mode: int


Folder = Mapping[str, File]
"""Files by their path in a volume."""


def folders(template: PodTemplate, namespace: str, lookup: Lookup) -> dict[str, Folder]:
    """Each volume's files. Raises ConfigError (`secret-not-found`, `secret-key-not-found`) in the kubelet's words."""
    return {volume.name: _folder(volume, namespace, lookup) for volume in template.volumes}


def _folder(volume: SecretVolume, namespace: str, lookup: Lookup) -> Folder:
    values = lookup(volume.secret)
    if values is None:
        if volume.optional:
            return {}
        raise _failed(volume, namespace, "secret-not-found", f'secret "{volume.secret}" not found')
    if not volume.items:
        return {key: File(content=value, mode=volume.mode) for key, value in values.items()}
    found = {}
    for item in volume.items:
        if item.key in values:
            mode = volume.mode if item.mode is None else item.mode
            found[posixpath.normpath(item.path)] = File(content=values[item.key], mode=mode)
        elif not volume.optional:
            raise _failed(volume, namespace, "secret-key-not-found", f"references non-existent secret key: {item.key}")
    return found


def _failed(volume: SecretVolume, namespace: str, code: str, reason: str) -> ConfigError:
    return ConfigError(
        code,
        f"Secret {namespace}/{volume.secret}",
        f'MountVolume.SetUp failed for volume "{volume.name}" : {reason}',
        hint="apply the Secret with what the volume names; the replica then starts by itself",
    )
