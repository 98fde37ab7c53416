"""The types of Secrets, and the keys that each asks for (kubernetes/pkg/apis/core/validation: ValidateSecret). Of a
type that is not known here nothing is asked: it is for whoever reads the Secret."""

from __future__ import annotations

import json
from collections.abc import Mapping

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import Text

OPAQUE = "Opaque"
TLS = "kubernetes.io/tls"
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
DOCKER_CONFIG_KEY = ".dockerconfigjson"
BASIC_AUTH = "kubernetes.io/basic-auth"
SSH_AUTH = "kubernetes.io/ssh-auth"

OLD_DOCKER_CONFIG = "kubernetes.io/dockercfg"
OLD_DOCKER_CONFIG_KEY = ".dockercfg"

SECRET_TYPE = Text(
    unsupported=("kubernetes.io/service-account-token",),
    hint="there is no API server here that would give a token out; keep it in a manifest for the cluster alone",
)

_REQUIRED = {
    TLS: ("tls.crt", "tls.key"),
    DOCKER_CONFIG: (DOCKER_CONFIG_KEY,),
    OLD_DOCKER_CONFIG: (OLD_DOCKER_CONFIG_KEY,),
    SSH_AUTH: ("ssh-privatekey",),
}
_JSON = (DOCKER_CONFIG_KEY, OLD_DOCKER_CONFIG_KEY)


def check_type(kind: str, data: Mapping[str, bytes], root: Cursor) -> None:
    """Raise ManifestError where a key is missing that a Secret of this type must have. No error shows a value."""
    for key in _REQUIRED.get(kind, ()):
        if key not in data or (kind == SSH_AUTH and not data[key]):
            raise root.get("type").fail("missing-field", f" is {kind}, which needs the key {key}")
    if kind == BASIC_AUTH and not {"username", "password"} & data.keys():
        raise root.get("type").fail("missing-field", f" is {kind}, which needs the key username or password")
    for key in _REQUIRED.get(kind, ()):
        if key in _JSON and not _is_mapping(data[key]):
            raise root.get("type").fail("invalid-value", f": the value of {key} is not a JSON object")


def _is_mapping(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
