"""Where the variables of a container come from: ``env`` and ``envFrom``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.manifest.cursor import Cursor
from runtime.manifest.resource_field import RESOURCE_REF, ResourceField, resource_field
from runtime.manifest.schema import (
    CONFIG_KEY_NAME,
    CONFIG_NAME,
    ENV_NAME,
    FILE_PATH,
    NAME,
    SECRET_KEY_NAME,
    SECRET_NAME,
    Flag,
    Many,
    Object,
    Text,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretKey:
    """A variable's value that is one key of a Secret."""

    name: str
    key: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigKey:
    """A variable's value that is one key of a ConfigMap. Its fields are not named as a Secret's: templates that differ
    in that alone have different hashes."""

    config_map: str
    key: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PodField:
    """A value that is told of the replica: ``metadata.name``, ``metadata.labels['app']``."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretVariables:
    """Every key of a Secret as a variable, its name behind `prefix`."""

    name: str
    prefix: str = ""
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigVariables:
    """Every key of a ConfigMap's texts as a variable, its name behind `prefix`."""

    config_map: str
    prefix: str = ""
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FileKey:
    """A value out of a file that another container of the pod wrote: the variable `key` in `file`, of an emptyDir."""

    volume: str
    file: str
    key: str
    optional: bool = False


Value = str | SecretKey | ConfigKey | PodField | ResourceField | FileKey

ADDRESS_PATHS = ("status.podIP", "status.podIPs")
"""What is known of a replica once its network is there, before its containers are."""

_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    *ADDRESS_PATHS,
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")

FIELD_REF = Object(
    fields={"fieldPath": Text(), "apiVersion": Text(choices=("v1",))},
    required=("fieldPath",),
)

ENV = Many(
    item=Object(
        fields={
            "name": Text(pattern=ENV_NAME, says="a variable name"),
            "value": Text(),
            "valueFrom": Object(
                fields={
                    "secretKeyRef": Object(
                        fields={"name": SECRET_NAME, "key": SECRET_KEY_NAME, "optional": Flag()},
                        required=("name", "key"),
                    ),
                    "configMapKeyRef": Object(
                        fields={"name": CONFIG_NAME, "key": CONFIG_KEY_NAME, "optional": Flag()},
                        required=("name", "key"),
                    ),
                    "fieldRef": FIELD_REF,
                    "resourceFieldRef": RESOURCE_REF,
                    "fileKeyRef": Object(
                        fields={
                            "volumeName": NAME,
                            "path": Text(pattern=FILE_PATH, says="a relative path without .."),
                            "key": Text(pattern=ENV_NAME, says="a variable name"),
                            "optional": Flag(),
                        },
                        required=("volumeName", "path", "key"),
                    ),
                },
            ),
        },
        required=("name",),
    )
)

ENV_FROM = Many(
    item=Object(
        fields={
            "prefix": Text(pattern=ENV_NAME, says="the beginning of a variable name"),
            "secretRef": Object(fields={"name": SECRET_NAME, "optional": Flag()}, required=("name",)),
            "configMapRef": Object(fields={"name": CONFIG_NAME, "optional": Flag()}, required=("name",)),
        },
    )
)


def variable(cursor: Cursor) -> tuple[str, Value]:
    """An item of ``env`` that the schema has passed."""
    name, source = cursor.get("name").plain(), cursor.get("valueFrom")
    if source.node.says_nothing:
        return name, cursor.get("value").plain("")
    if cursor.get("value").plain(""):
        raise source.fail("invalid-value", ": there is a `value` too, and a variable has one of the two")
    kind, found = _only(source, ("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef"))
    if kind == "fieldRef":
        return name, PodField(path=field_path(found.get("fieldPath")))
    if kind == "resourceFieldRef":
        return name, resource_field(found)
    key, optional = found.get("key").plain(), found.get("optional").plain(False)
    if kind == "fileKeyRef":
        volume, file = found.get("volumeName").plain(), found.get("path").plain()
        return name, FileKey(volume=volume, file=file, key=key, optional=optional)
    if kind == "secretKeyRef":
        return name, SecretKey(name=found.get("name").plain(), key=key, optional=optional)
    return name, ConfigKey(config_map=found.get("name").plain(), key=key, optional=optional)


def variables(cursor: Cursor) -> SecretVariables | ConfigVariables:
    """An item of ``envFrom`` that the schema has passed."""
    kind, found = _only(cursor, ("secretRef", "configMapRef"))
    prefix, optional = cursor.get("prefix").plain(""), found.get("optional").plain(False)
    if kind == "secretRef":
        return SecretVariables(name=found.get("name").plain(), prefix=prefix, optional=optional)
    return ConfigVariables(config_map=found.get("name").plain(), prefix=prefix, optional=optional)


def field_path(cursor: Cursor) -> str:
    """What is told of a replica, as a path that is known."""
    path = str(cursor.plain())
    if path not in _FIELD_PATHS and not _SUBSCRIPT.fullmatch(path):
        raise cursor.fail(
            "invalid-value",
            f' is "{path}", which is no field of a pod that can be told',
            hint=f"known here: {', '.join(_FIELD_PATHS)}, metadata.labels['KEY'], metadata.annotations['KEY']",
        )
    return path


def subscript(path: str) -> tuple[str, str] | None:
    """(``labels`` or ``annotations``, key) of a path such as ``metadata.labels['app']``; None for another."""
    found = _SUBSCRIPT.fullmatch(path)
    return None if found is None else (found.group(1), found.group(2))


def _only(cursor: Cursor, names: tuple[str, ...]) -> tuple[str, Cursor]:
    """(name, the one of the fields that is there)."""
    there = [name for name in names if cursor.get(name).node.value is not None]
    if not there:
        raise cursor.fail("missing-field", f".{names[0]} is missing", hint=f"name one of {', '.join(names)}")
    if len(there) > 1:
        raise cursor.fail("invalid-value", f": there are {' and '.join(there)}, and only one of them may be")
    return there[0], cursor.get(there[0])
