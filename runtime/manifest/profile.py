"""Which profile of seccomp or AppArmor confines a container: by its field, or by an annotation of older manifests."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import FILE_PATH

SECCOMP, APPARMOR = "seccompProfile", "appArmorProfile"
_WORDS = {SECCOMP: "seccomp", APPARMOR: "AppArmor"}
_DEFAULT, UNCONFINED, _LOCALHOST = "RuntimeDefault", "Unconfined", "Localhost"
_OF_CONTAINERS = {
    "container.apparmor.security.beta.kubernetes.io/": APPARMOR,
    "container.seccomp.security.alpha.kubernetes.io/": SECCOMP,
}
_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
_OLD = {"runtime/default": _DEFAULT, "docker/default": _DEFAULT, "unconfined": UNCONFINED}
_OLD_LOCAL = "localhost/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """`kind` is the field's type, empty where nothing is said; `name` the machine's profile of ``Localhost``."""

    kind: str = ""
    name: str = ""


Annotated = Mapping[tuple[str, str], Profile]
"""By field and container, whose name is empty for the pod."""


def annotated(annotations: Cursor, containers: Collection[str]) -> Annotated:
    """What a pod's annotations say, which came before the fields (Kubernetes up to 1.18 and 1.29)."""
    found: dict[tuple[str, str], Profile] = {}
    for key, value in annotations.plain({}).items():
        if key == _OF_POD:
            found[SECCOMP, ""] = _old(annotations.get(key), value)
        for prefix, field in _OF_CONTAINERS.items():
            if not key.startswith(prefix):
                continue
            name = key.removeprefix(prefix)
            if name not in containers:
                raise annotations.get(key).fail("invalid-value", f': no container is named "{name}"')
            found[field, name] = _old(annotations.get(key), value)
    return found


def profile(security: Cursor, field: str, old: Profile | None) -> Profile:
    """What a securityContext says, or what `old` does where it says nothing."""
    said = security.get(field)
    kind: str = said.get("type").plain("")
    path: str = said.get("localhostProfile").plain("")
    if kind == _LOCALHOST and not path:
        raise said.fail(
            "missing-field", f".localhostProfile is missing: it must be set when {_WORDS[field]} type is Localhost"
        )
    if path and kind != _LOCALHOST:
        raise said.get("localhostProfile").fail(
            "invalid-value", f": it can only be set when {_WORDS[field]} type is Localhost"
        )
    own = Profile(kind=kind, name=posixpath.normpath(path) if path and field == SECCOMP else path)
    if old and own.kind and old != own:
        raise said.fail("invalid-value", ": an annotation of the pod names another one", hint="take the annotation out")
    return own if own.kind else old or own


def _old(annotation: Cursor, value: str) -> Profile:
    if value in _OLD:
        return Profile(kind=_OLD[value])
    name = value.removeprefix(_OLD_LOCAL)
    if name == value or not FILE_PATH.fullmatch(name):
        raise annotation.fail(
            "invalid-value", f' is "{value}", expected runtime/default, unconfined or localhost/ and the name of one'
        )
    return Profile(kind=_LOCALHOST, name=posixpath.normpath(name))
