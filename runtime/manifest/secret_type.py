"""The types of Secrets, and the keys that each asks for (kubernetes/pkg/apis/core/validation: ValidateSecret)."""

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

SECRET_TYPE = Text(
    choices=(OPAQUE, TLS, DOCKER_CONFIG, BASIC_AUTH, SSH_AUTH),
    unsupported=(
        "kubernetes.io/service-account-token",
        "kubernetes.io/dockercfg",
        "bootstrap.kubernetes.io/token",
    ),
)

_REQUIRED = {TLS: ("tls.crt", "tls.key"), DOCKER_CONFIG: (DOCKER_CONFIG_KEY,), SSH_AUTH: ("ssh-privatekey",)}


def check_type(kind: str, data: Mapping[str, bytes], root: Cursor) -> None:
    """Raise ManifestError where a key is missing that a Secret of this type must have. No error shows a value."""
    for key in _REQUIRED.get(kind, ()):
        if key not in data or (kind == SSH_AUTH and not data[key]):
            raise root.get("type").fail("missing-field", f" is {kind}, which needs the key {key}")
    if kind == BASIC_AUTH and not {"username", "password"} & data.keys():
        raise root.get("type").fail("missing-field", f" is {kind}, which needs the key username or password")
    if kind == DOCKER_CONFIG and not _is_mapping(data[DOCKER_CONFIG_KEY]):
        raise root.get("type").fail("invalid-value", f": the value of {DOCKER_CONFIG_KEY} is not a JSON object")


def _is_mapping(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
