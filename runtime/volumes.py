"""What the volumes of a template hold, pure: which files, with which bytes and modes."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.errors import ConfigError
from runtime.manifest.model import PodTemplate
from runtime.manifest.resources import Resources
from runtime.manifest.volume import ConfigVolume, FieldItem, FieldVolume, ProjectedVolume, SecretVolume, sources_of
from runtime.sources import Pod, Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file's bytes and mode."""

    content: bytes = field(repr=False)
    mode: int


Folder = Mapping[str, File]
"""Files by their path in a volume."""


def folders(template: PodTemplate, sources: Sources) -> dict[str, Folder]:
    """The files of each volume whose files are written. Of two sources of a projected one the later wins. Raises
    ConfigError (`secret-not-found`, `secret-key-not-found`, `config-map-not-found`, `config-map-key-not-found`) in the
    kubelet's words, and KeyFailure."""
    found: dict[str, Folder] = {}
    for volume in template.volumes:
        parts = sources_of(volume)
        if parts or isinstance(volume, ProjectedVolume):
            found[volume.name] = {
                path: file for part in parts for path, file in _folder(part, volume.name, sources).items()
            }
    return found


def _folder(source: SecretVolume | ConfigVolume | FieldVolume, volume: str, sources: Sources) -> Folder:
    if isinstance(source, FieldVolume):
        return {
            posixpath.normpath(item.path): File(
                content=_said(item, sources).encode(), mode=source.mode if item.mode is None else item.mode
            )
            for item in source.fields
        }
    kind, name = ("Secret", source.secret) if isinstance(source, SecretVolume) else ("ConfigMap", source.config_map)
    values = _values(source, sources)
    if values is None:
        if source.optional:
            return {}
        raise _failed(kind, name, volume, sources, f'{kind.lower()} "{name}" not found', missing="not-found")
    if not source.items:
        return {key: File(content=value, mode=source.mode) for key, value in values.items()}
    found = {}
    for item in source.items:
        if item.key in values:
            mode = source.mode if item.mode is None else item.mode
            found[posixpath.normpath(item.path)] = File(content=values[item.key], mode=mode)
        elif not source.optional:
            word = "secret" if kind == "Secret" else "config"
            raise _failed(
                kind, name, volume, sources, f"references non-existent {word} key: {item.key}", missing="key-not-found"
            )
    return found


def _values(source: SecretVolume | ConfigVolume, sources: Sources) -> Mapping[str, bytes] | None:
    if isinstance(source, SecretVolume):
        return sources.secret(source.secret)
    found = sources.config_map(source.config_map)
    return None if found is None else found.files


def _said(item: FieldItem, sources: Sources) -> str:
    if item.resource is not None:
        assert sources.amount is not None, "whoever makes a container tells of what it may take"
        return sources.amount(item.resource, Resources())
    assert sources.pod is not None, "whoever makes a container tells of its replica"
    return _told(sources.pod, item.field)


def _told(pod: Pod, path: str) -> str:
    """A field as a file has it: of all labels or annotations one a line, as the kubelet writes them."""
    if path not in ("metadata.labels", "metadata.annotations"):
        return pod.value(path)
    pairs = pod.labels if path == "metadata.labels" else pod.annotations
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(pairs.items()))


def _failed(kind: str, name: str, volume: str, sources: Sources, reason: str, *, missing: str) -> ConfigError:
    return ConfigError(
        f"{'secret' if kind == 'Secret' else 'config-map'}-{missing}",
        f"{kind} {sources.namespace}/{name}",
        f'MountVolume.SetUp failed for volume "{volume}" : {reason}',
        hint=f"apply the {kind} with what the volume names; the replica then starts by itself",
    )
