"""The volumes of a pod and where its containers see them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.manifest.cursor import Cursor
from runtime.manifest.quantity import quantity, whole
from runtime.manifest.resource_field import RESOURCE_REF, ResourceField, resource_field
from runtime.manifest.schema import (
    CONFIG_KEY_NAME,
    CONFIG_NAME,
    FILE_PATH,
    IMAGE,
    MOUNT_PATH,
    NAME,
    OBJECT_NAME,
    SECRET_KEY_NAME,
    SECRET_NAME,
    Amount,
    Flag,
    Many,
    Object,
    Text,
    Whole,
    words,
)
from runtime.manifest.variable import FIELD_REF, field_path

DEFAULT_MODE = 0o644
OPEN_MODE = 0o777
"""Of a folder that everybody may write to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretItem:
    """A key of a Secret or ConfigMap as a file; `mode` None is the volume's."""

    key: str
    path: str
    mode: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretVolume:
    """A Secret as a folder of files. Without `items` every key is a file of its name."""

    name: str
    secret: str
    items: tuple[SecretItem, ...] = ()
    mode: int = DEFAULT_MODE
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigVolume:
    """A ConfigMap as a folder of files. Its fields are not named as a Secret's, so that the hashes differ."""

    name: str
    config_map: str
    items: tuple[SecretItem, ...] = ()
    mode: int = DEFAULT_MODE
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldItem:
    """What is told of the replica, as a file: ``metadata.name``, all labels by ``metadata.labels``, or what one of its
    containers may take."""

    field: str
    path: str
    mode: int | None = None
    resource: ResourceField | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldVolume:
    """What is told of the replica, as a folder of files."""

    name: str
    fields: tuple[FieldItem, ...]
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedVolume:
    """Several of these in one folder; the sources have no names, and `mode` is theirs."""

    name: str
    sources: tuple[SecretVolume | ConfigVolume | FieldVolume, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmptyVolume:
    """A folder that lives as long as its replica, empty at first; in `memory` of at most `size` bytes. Where one on
    disk grows past that its replica is evicted. `mode` are the folder's permissions."""

    name: str
    memory: bool
    size: int | None = None
    mode: int = OPEN_MODE


@dataclass(frozen=True, kw_only=True, slots=True)
class HostVolume:
    """A place of this machine; `type` is what must be there, empty for anything."""

    name: str
    host_path: str
    type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimVolume:
    """The volume of a PersistentVolumeClaim, which outlives its replicas."""

    name: str
    claim: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageVolume:
    """The files of an image, for reading only; `always_pull` and `never_pull` as of a container's image."""

    name: str
    image: str
    always_pull: bool = False
    never_pull: bool = False


WrittenVolume = SecretVolume | ConfigVolume | FieldVolume | ProjectedVolume
"""Those whose files are written for the replica, and which it sees for reading only."""
Volume = WrittenVolume | EmptyVolume | HostVolume | ClaimVolume | ImageVolume


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeMount:
    """Where in the container a volume's folder, or what is at `sub_path` in it, is seen. With `expands` that is a path
    with variables of the container in it, such as ``$(POD_NAME)/log``. `read_only` says nothing of volumes that are for
    reading only in any case."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False
    expands: bool = False


def sources_of(volume: Volume) -> tuple[SecretVolume | ConfigVolume | FieldVolume, ...]:
    """What a volume's files are written from; nothing for one whose files are not written."""
    if isinstance(volume, ProjectedVolume):
        return volume.sources
    return (volume,) if isinstance(volume, SecretVolume | ConfigVolume | FieldVolume) else ()


def is_written(volume: Volume) -> bool:
    """Whether its files are written for the replica."""
    return isinstance(volume, WrittenVolume)


_MODE = Whole(high=0o777)
_PATH = Text(pattern=FILE_PATH, says="a relative path without ..")
_FIELD_ITEMS = Many(
    item=Object(
        fields={"path": _PATH, "mode": _MODE, "fieldRef": FIELD_REF, "resourceFieldRef": RESOURCE_REF},
        required=("path",),
    ),
    unique="path",
)


def _items(key: Text) -> Many:
    return Many(item=Object(fields={"key": key, "path": _PATH, "mode": _MODE}, required=("key", "path")), unique="path")


_SECRET_ITEMS, _CONFIG_ITEMS = _items(SECRET_KEY_NAME), _items(CONFIG_KEY_NAME)
_PROJECTION = Object(
    fields={
        "secret": Object(fields={"name": SECRET_NAME, "items": _SECRET_ITEMS, "optional": Flag()}, required=("name",)),
        "configMap": Object(
            fields={"name": CONFIG_NAME, "items": _CONFIG_ITEMS, "optional": Flag()}, required=("name",)
        ),
        "downwardAPI": Object(fields={"items": _FIELD_ITEMS}),
    },
    known=words("clusterTrustBundle podCertificate serviceAccountToken"),
)
_HOST_TYPES = (
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
)

VOLUMES = Many(
    item=Object(
        fields={
            "name": NAME,
            "secret": Object(
                fields={
                    "secretName": SECRET_NAME,
                    "items": _SECRET_ITEMS,
                    "defaultMode": _MODE,
                    "optional": Flag(),
                },
                required=("secretName",),
            ),
            "configMap": Object(
                fields={"name": CONFIG_NAME, "items": _CONFIG_ITEMS, "defaultMode": _MODE, "optional": Flag()},
                required=("name",),
            ),
            "downwardAPI": Object(fields={"items": _FIELD_ITEMS, "defaultMode": _MODE}),
            "projected": Object(
                fields={"sources": Many(item=_PROJECTION), "defaultMode": _MODE},
            ),
            "emptyDir": Object(
                fields={
                    "medium": Text(choices=("", "Memory"), unsupported=("HugePages", "HugePages-2Mi", "HugePages-1Gi")),
                    "sizeLimit": Amount(),
                    "mode": Whole(high=0o1777),
                },
            ),
            "hostPath": Object(
                fields={
                    "path": Text(pattern=MOUNT_PATH, says="an absolute path, without a colon"),
                    "type": Text(choices=("", *_HOST_TYPES)),
                },
                required=("path",),
            ),
            "persistentVolumeClaim": Object(
                fields={"claimName": OBJECT_NAME, "readOnly": Flag()}, required=("claimName",)
            ),
            "image": Object(
                fields={
                    "reference": Text(pattern=IMAGE, says="an image reference without spaces"),
                    "pullPolicy": Text(choices=("IfNotPresent", "Always", "Never")),
                },
                required=("reference",),
            ),
        },
        required=("name",),
        known=words(
            "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker "
            "gcePersistentDisk gitRepo glusterfs iscsi nfs photonPersistentDisk portworxVolume quobyte rbd "
            "scaleIO storageos vsphereVolume"
        ),
    ),
    unique="name",
)

MOUNTS = Many(
    item=Object(
        fields={
            "name": NAME,
            "mountPath": Text(pattern=MOUNT_PATH, says="a path such as /run/secrets, without a colon"),
            "subPath": _PATH,
            "subPathExpr": _PATH,
            "readOnly": Flag(),
        },
        required=("name", "mountPath"),
        known=words("mountPropagation recursiveReadOnly"),
    ),
    unique="mountPath",
)

_KINDS = ("secret", "configMap", "downwardAPI", "projected", "emptyDir", "hostPath", "persistentVolumeClaim", "image")


def volume(cursor: Cursor) -> Volume:
    """A volume from a tree that the schema has passed; one without a source is an emptyDir, as a cluster has it."""
    name = cursor.get("name").plain()
    said = cursor.node.value if isinstance(cursor.node.value, dict) else {}
    there = [kind for kind in said if kind != "name" and cursor.get(kind).node.value is not None]
    if len(there) > 1:
        raise cursor.fail("invalid-value", f": there are {' and '.join(there)}, and a volume has one source")
    kind = there[0] if there else "emptyDir"
    if kind not in _KINDS:
        raise cursor.get(kind).fail("unsupported-field", " is a volume of Kubernetes that imageforge does not support")
    source = cursor.get(kind)
    mode = source.get("defaultMode").plain(DEFAULT_MODE)
    match kind:
        case "projected":
            return _projected(name, source, mode)
        case "emptyDir":
            return _empty(name, source)
        case "hostPath":
            path = "/" + posixpath.normpath(source.get("path").plain()).lstrip("/")
            if ".." in source.get("path").plain().split("/"):
                raise source.get("path").fail("invalid-value", " has a .., expected a path without")
            return HostVolume(name=name, host_path=path, type=source.get("type").plain(""))
        case "image":
            policy = source.get("pullPolicy").plain("")
            return ImageVolume(
                name=name,
                image=source.get("reference").plain(),
                always_pull=policy == "Always",
                never_pull=policy == "Never",
            )
        case "persistentVolumeClaim":
            return ClaimVolume(
                name=name, claim=source.get("claimName").plain(), read_only=source.get("readOnly").plain(False)
            )
    return _written(name, kind, source, mode)


def mounts(cursor: Cursor, volumes: Sequence[Volume]) -> tuple[VolumeMount, ...]:
    """The mounts of a container."""
    return tuple(_mount(item, volumes) for item in cursor.items())


def _mount(cursor: Cursor, volumes: Sequence[Volume]) -> VolumeMount:
    name = cursor.get("name").plain()
    found = next((volume for volume in volumes if volume.name == name), None)
    if found is None:
        raise cursor.get("name").fail(
            "invalid-value", f': no volume is named "{name}"', hint="name it under spec.template.spec.volumes"
        )
    written = is_written(found)
    expands = bool(cursor.get("subPathExpr").plain(""))
    if expands and cursor.get("subPath").plain(""):
        raise cursor.get("subPathExpr").fail("invalid-value", ": subPathExpr and subPath are mutually exclusive")
    sub_path = posixpath.normpath(cursor.get("subPathExpr" if expands else "subPath").plain("") or ".")
    return VolumeMount(
        volume=name,
        # Of two slashes at the beginning, normpath keeps both.
        path="/" + posixpath.normpath(cursor.get("mountPath").plain()).lstrip("/"),
        sub_path="" if sub_path == "." else sub_path,
        read_only=cursor.get("readOnly").plain(False) and not written,
        expands=expands,
    )


def _written(name: str, kind: str, source: Cursor, mode: int) -> SecretVolume | ConfigVolume | FieldVolume:
    items = source.get("items")
    optional = source.get("optional").plain(False)
    if kind == "downwardAPI":
        return FieldVolume(name=name, fields=tuple(map(_field_item, items.items())), mode=mode)
    chosen = tuple(
        SecretItem(key=item.get("key").plain(), path=item.get("path").plain(), mode=item.get("mode").plain())
        for item in items.items()
    )
    _refuse_overlap([item.path for item in chosen], items)
    if kind == "configMap":
        return ConfigVolume(
            name=name, config_map=source.get("name").plain(), items=chosen, mode=mode, optional=optional
        )
    secret = source.get("secretName").plain() or source.get("name").plain()
    return SecretVolume(name=name, secret=secret, items=chosen, mode=mode, optional=optional)


def _field_item(cursor: Cursor) -> FieldItem:
    reference, amount = cursor.get("fieldRef"), cursor.get("resourceFieldRef")
    if amount.node.value is not None:
        if reference.node.value is not None:
            raise cursor.fail("invalid-value", ": there are fieldRef and resourceFieldRef, and only one of them may be")
        if not amount.get("containerName").plain(""):
            raise amount.fail("missing-field", ".containerName is missing: a file is not of one container")
        return FieldItem(
            field="",
            resource=resource_field(amount),
            path=cursor.get("path").plain(),
            mode=cursor.get("mode").plain(),
        )
    if reference.node.value is None:
        raise cursor.fail("missing-field", ".fieldRef is missing")
    path = reference.get("fieldPath")
    said = path.plain()
    if said not in ("metadata.labels", "metadata.annotations"):
        said = field_path(path)
        if not said.startswith("metadata."):
            raise path.fail("invalid-value", f' is "{said}", which is told in variables alone')
    return FieldItem(field=said, path=cursor.get("path").plain(), mode=cursor.get("mode").plain())


def _projected(name: str, source: Cursor, mode: int) -> ProjectedVolume:
    sources = []
    for item in source.get("sources").items():
        there = [kind for kind in ("secret", "configMap", "downwardAPI") if item.get(kind).node.value is not None]
        if len(there) != 1:
            raise item.fail("invalid-value", " needs one of secret, configMap and downwardAPI")
        sources.append(_written("", there[0], item.get(there[0]), mode))
    said = list(_said_paths(sources))
    _refuse_overlap(said, source.get("sources"))
    return ProjectedVolume(name=name, sources=tuple(sources))


def _said_paths(sources: Sequence[SecretVolume | ConfigVolume | FieldVolume]) -> Iterator[str]:
    for source in sources:
        items = source.fields if isinstance(source, FieldVolume) else source.items
        yield from (item.path for item in items)


def _empty(name: str, source: Cursor) -> EmptyVolume:
    limit = source.get("sizeLimit")
    said = limit.plain()
    amount = None if said is None else quantity(said)
    memory = source.get("medium").plain("") == "Memory"
    # Nothing is no limit, as a cluster has it.
    mode = source.get("mode").plain(OPEN_MODE)
    return EmptyVolume(name=name, memory=memory, size=whole(amount) if amount else None, mode=mode)


def _refuse_overlap(said: Sequence[str], cursor: Cursor) -> None:
    paths = {posixpath.normpath(path): path for path in said}
    for path, written in paths.items():
        if any(other.startswith(f"{path}/") for other in paths) or len(paths) < len(said):
            raise cursor.fail("invalid-value", f': "{written}" is in the way of another path')
