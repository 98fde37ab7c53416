"""Which login is for which image, and that no text shows a password."""

from __future__ import annotations

import base64
import json

import pytest

from runtime import load_manifests
from runtime.logins import logins_for
from runtime.manifest.model import Deployment
from runtime.manifest.template import template_hash
from tests.runtime.stack import manifest


def config(*keys: str) -> bytes:
    return json.dumps({"auths": {key: {"username": key, "password": "hunter2"} for key in keys}}).encode()


@pytest.mark.parametrize(
    ("image", "keys", "chosen"),
    [
        ("nginx", ["https://index.docker.io/v1/", "quay.io"], ["https://index.docker.io/v1/"]),
        ("me/app:1", ["docker.io"], ["docker.io"]),
        ("docker.io/me/app", ["https://index.docker.io/v2/"], ["https://index.docker.io/v2/"]),
        ("quay.io/me/app", ["https://quay.io", "docker.io"], ["https://quay.io"]),
        # The most special first; a path is a beginning.
        ("quay.io/me/app", ["quay.io", "quay.io/me", "quay.io/you"], ["quay.io/me", "quay.io"]),
        ("registry:5000/app", ["registry:5000", "registry", "registry:5001"], ["registry:5000"]),
        ("localhost/app", ["localhost"], ["localhost"]),
        ("eu.registry.example/app", ["*.registry.example", "*.example", "registry.example"], ["*.registry.example"]),
        ("quay.io/app", ["*"], []),
        ("app@sha256:00", ["quay.io"], []),
    ],
)
def test_the_logins_for_an_image(image: str, keys: list[str], chosen: list[str]) -> None:
    assert [login.username for login in logins_for(image, config(*keys))] == chosen


def test_what_is_written_as_one_word_and_what_cannot_be_read() -> None:
    word = base64.b64encode(b"me:hunter:2").decode()
    (login,) = logins_for("quay.io/a", json.dumps({"auths": {"quay.io": {"auth": word}}}).encode())
    assert (login.username, login.password) == ("me", "hunter:2")
    assert "hunter" not in repr(login)
    for raw in (b"", b"[]", b"{}", b'{"auths": []}', b'{"auths": {"quay.io": 1}}', b'{"auths": {"quay.io": {}}}',
                b'{"auths": {"quay.io": {"auth": "%"}}}', b"\xff"):  # fmt: skip
        assert logins_for("quay.io/a", raw) == ()


def test_a_template_that_names_none_has_the_hash_it_had() -> None:
    text = manifest("web:1", service=False)
    named = text.replace("      containers:", "      imagePullSecrets: [{name: hub}, {name: quay}]\n      containers:")
    plain, other = (load_manifests(each)[0].object for each in (text, named))
    assert isinstance(plain, Deployment)
    assert isinstance(other, Deployment)
    assert template_hash(plain.template) == "798cdf88c"
    assert (other.template.pull_secrets, other.template.secrets) == (("hub", "quay"), {"hub", "quay"})
