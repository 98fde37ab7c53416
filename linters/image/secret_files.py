"""Files of a layer that hold a secret: found by their names, settled by their content, never by the name alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linters.image.model import ImageFacts, LayerFile
from linters.secret_text import assignments, is_placeholder, known_token, looks_secret

MOST_READ = 64 * 1024
"""Bytes of a file that are read; what holds keys or logins is smaller."""
MOST_FOUND = 50

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|PGP) )?PRIVATE KEY(?: BLOCK)?-----\s*\S")
_ENCRYPTED = re.compile(rb"^Proc-Type: 4,ENCRYPTED|^-----BEGIN ENCRYPTED", re.MULTILINE)
_PEM = re.compile(
    r"/(?:id_(?:rsa|dsa|ecdsa|ed25519)|[^/]*[._-]key|[^/]*key[^/]*\.(?:pem|json)|[^/]+\.(?:pem|key)"
    r"|credentials[^/]*\.json|(?:service|gcp|gcloud)[^/]*\.json)$",
    re.IGNORECASE,
)
# What everybody has anyway: certificates, public halves, the tests and samples that packages bring.
_PUBLIC = re.compile(
    r"/(?:cacert|ca-|ca\.|ca_|public|pub[_-]|ssl-cert-snakeoil)[^/]*$|\.pub$|truststore|-pub\.|/certs?/ca[^/]*$"
    r"|/(?:node_modules|site-packages|dist-packages|vendor|gems|share|pkg/mod|registry/src|usr/lib|usr/lib64"
    r"|usr/local/lib|usr/local/go|usr/src|lib|tests?|testdata|test-data|fixtures|__tests__|spec|specs|examples?|samples?"
    r"|docs?|mock[s_]?[^/]*|demo)/",
    re.IGNORECASE,
)
_SAMPLE = re.compile(r"example|sample|template|dist$|default|test|demo", re.IGNORECASE)
# No blank at the beginning of a line may be a line's end: a file of nothing else would take the square of its length.
_MACHINE = re.compile(rb"^[ \t]*(?:machine[ \t]+\S+|default\b)", re.MULTILINE)
_LOGIN = re.compile(rb"\spassword\s+(\S+)")

Judge = Callable[[bytes], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSecret:
    """A file that holds a secret, and what that is, in words that do not show it."""

    file: LayerFile
    what: str


def _private_key(data: bytes) -> str | None:
    if _PRIVATE_KEY.search(data) and not _ENCRYPTED.search(data):
        return "a private key"
    return None


def _netrc(data: bytes) -> str | None:
    machine = _MACHINE.search(data)
    found = _LOGIN.search(data, machine.end()) if machine else None
    return "a login's password" if found and _real(found[1]) else None


def _git_credentials(data: bytes) -> str | None:
    found = re.search(rb"^https?://[^:/@\s]*:([^@\s]+)@", data, re.MULTILINE)
    return "a login for git" if found and _real(found[1]) else None


def _aws(data: bytes) -> str | None:
    found = re.search(
        rb"^[ \t]*aws_(?:secret_access_key|session_token)\s*=\s*([A-Za-z0-9/+=]{30,})", data, re.MULTILINE
    )
    return "a key of AWS" if found and _real(found[1]) and b"EXAMPLE" not in found[1] else None


def _docker(data: bytes) -> str | None:
    try:
        found = json.loads(data)
        logins = found.get("auths", found) if isinstance(found, dict) else {}
        values = logins.values() if isinstance(logins, dict) else ()
    except (ValueError, RecursionError):
        return None
    keys = ("auth", "password", "identitytoken")
    held = (value.get(key) for value in values if isinstance(value, dict) for key in keys)
    return "a login for a registry" if any(isinstance(one, str) and _real(one.encode()) for one in held) else None


def _npmrc(data: bytes) -> str | None:
    found = re.search(rb"^[^#;\n]*(?:_authToken|_auth|_password)\s*=\s*\"?([^\s\"]+)", data, re.MULTILINE)
    return "a token of npm" if found and _real(found[1]) else None


def _pypirc(data: bytes) -> str | None:
    found = re.search(rb"^[ \t]*password\s*[=:]\s*(\S+)", data, re.MULTILINE)
    return "a login for a package index" if found and _real(found[1]) else None


def _pgpass(data: bytes) -> str | None:
    found = re.search(rb"^[^#\n:]*:[^:\n]*:[^:\n]*:[^:\n]*:(\S+)$", data, re.MULTILINE)
    return "a password of a database" if found and _real(found[1]) else None


def _environment(data: bytes) -> str | None:
    for name, value in assignments(data.decode("utf-8", "replace")):
        if looks_secret(name, value):
            return f"the value of {name}"
    return None


def _kube(data: bytes) -> str | None:
    found = re.search(
        rb"^[ \t]*(?:-[ \t]+)?(client-key-data|token|password):\s*[\"']?([^\s\"']{8,})", data, re.MULTILINE
    )
    return "a login for a cluster" if found and _real(found[2]) else None


def _real(value: bytes) -> bool:
    """Whether a value is one: no reference to a variable, and not what stands for it in a sample."""
    text = value.decode("utf-8", "replace").strip("\"'")
    if not text or text.startswith(("$", "%", "{")):
        return False
    return known_token(text) or not is_placeholder(text)


_NAMED: tuple[tuple[re.Pattern[str], Judge], ...] = (
    (re.compile(r"/[._]netrc$"), _netrc),
    (re.compile(r"/\.git-credentials$|/\.config/git/credentials$"), _git_credentials),
    (re.compile(r"/\.aws/credentials$"), _aws),
    (re.compile(r"/\.docker/config\.json$|/\.dockercfg$|/\.config/containers/auth\.json$"), _docker),
    (re.compile(r"/\.npmrc$"), _npmrc),
    (re.compile(r"/\.pypirc$"), _pypirc),
    (re.compile(r"/\.pgpass$"), _pgpass),
    (re.compile(r"/\.kube/config$"), _kube),
    (re.compile(r"/\.env(?:\.[^/]+)?$"), _environment),
)
_WORTH_A_LOOK = re.compile(
    r"/(?:[._]netrc|\.git-credentials|\.dockercfg|\.npmrc|\.pypirc|\.pgpass|\.env(?:\..+)?|config(?:\.json)?|auth\.json"
    r"|credentials.*|id_(?:rsa|dsa|ecdsa|ed25519)|(?:service|gcp|gcloud).*\.json|.*key\.json|.*\.(?:pem|key)|.*[._-]key)$",
    re.IGNORECASE,
)
"""What the last part of a path may be, so that all others cost one look."""


def secret_in(path: str, read: Callable[[int], bytes]) -> str | None:
    """What secret a file holds, in words that do not show it; None for none. `path` begins with a slash; `read` gives
    so many bytes from the start, and is only asked where the name speaks of secrets. Raises what it raises."""
    for judge in _judges(path):
        what = judge(read(MOST_READ))
        if what is not None:
            return what
    return None


def _judges(path: str) -> Iterator[Judge]:
    name = path[path.rfind("/") :]
    if not _WORTH_A_LOOK.match(name):
        return
    tail = path[path.rfind("/", 0, path.rfind("/")) :] if path.count("/") > 1 else path
    for pattern, judge in _NAMED:
        if pattern.search(path if "/.config/" in path else tail):
            if not (judge is _environment and _SAMPLE.search(name)) and not _PUBLIC.search(path):
                yield judge
            return
    if _PEM.search(name) and not _PUBLIC.search(path):
        yield _private_key


class SecretFiles:
    """Looks at files as they come; contents are read of those whose names speak of secrets."""

    def __init__(self, facts: ImageFacts) -> None:
        self._facts = facts
        self._found: list[FoundSecret] = []

    def see(self, file: LayerFile) -> None:
        """Take a regular file into account. Raises what its `read` raises."""
        if file.read is None or not file.size or len(self._found) >= MOST_FOUND:
            return
        what = secret_in(file.path, file.read)
        if what is not None:
            self._found.append(FoundSecret(file=file, what=what))

    def found(self) -> tuple[FoundSecret, ...]:
        """The files, by path."""
        return tuple(sorted(self._found, key=lambda one: (one.file.path, one.file.layer)))
