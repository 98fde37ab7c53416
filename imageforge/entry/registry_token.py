"""Tokens for the registry that others reach, as CNCF Distribution's token authentication has them.

Source: distribution.github.io/distribution/spec/auth/{token,jwt,scope}. The registry asks whoever comes without one to
get it here; it is a JWT that says for some minutes which actions on which repositories are allowed, and the registry
knows our signature by a certificate.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from imageforge.entry.secret_file import make_once, replace
from imageforge.store import Scope, Token

ISSUER = "imageforge"
SECONDS = 300
"""How long one is valid: a token that is revoked opens the registry no longer than that."""
MOST_SCOPES = 50
PULL_PUSH = frozenset({"pull", "push"})
EVERYTHING = frozenset({"pull", "push", "delete", "*"})

Access = Mapping[str, Any]


def granted(token: Token, scopes: Iterable[str]) -> tuple[Access, ...]:
    """What is allowed of what is asked for: of each ``repository:NAME:ACTION,ACTION`` the actions that the token
    reaches, and none of what it does not.

    An app's images are in the repository of its name: every token of the app pulls and pushes there, one for all apps
    everywhere. An administrator's deletes too, and reads the catalog.
    """
    allowed: list[Access] = []
    words = [word for scope in scopes for word in scope.split()][:MOST_SCOPES]
    for word in words:
        kind, _, rest = word.partition(":")
        name, _, asked = rest.rpartition(":")
        actions = sorted(set(asked.split(",")) & _reach(token, kind, name))
        if actions:
            allowed.append({"type": kind, "name": name, "actions": actions})
    return tuple(allowed)


def _reach(token: Token, kind: str, name: str) -> frozenset[str]:
    admin = token.allows(Scope.ADMIN, None)
    if kind == "repository" and name:
        if admin:
            return EVERYTHING
        return PULL_PUSH if token.allows(Scope.BUILD, name) else frozenset()
    return frozenset({"*"}) if admin and (kind, name) == ("registry", "catalog") else frozenset()


class Signer:
    """Signs with the key of this home, which is made, with the certificate that the registry reads, at the first use.

    Raises OSError where they cannot be kept.
    """

    def __init__(self, folder: Path) -> None:
        self._pem = make_once(folder / "key.pem", _new_key)
        key = load_pem_private_key(self._pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.certificate = folder / "certificate.pem"

    def publish(self) -> Path:
        """The certificate's file, written anew: it follows from the key."""
        replace(self.certificate, _certificate(self._key))
        return self.certificate

    def sign(self, *, subject: str, audience: str, access: Iterable[Access], now: float) -> str:
        """The token. `audience` is the registry's name of itself, `subject` whose token it was made for."""
        moment = int(now)
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": audience,
            "iat": moment,
            # Clocks of one machine agree, but a second is cut off here and not there.
            "nbf": moment - 10,
            "exp": moment + SECONDS,
            "jti": secrets.token_hex(16),
            "access": list(access),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": key_id(self._key)})


def key_id(key: ec.EllipticCurvePrivateKey) -> str:
    """The name of a key, as libtrust makes it: 240 bits of the SHA-256 of its public part, in base 32, by fours."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
    return ":".join(text[i : i + 4] for i in range(0, len(text), 4))


def _new_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A wrapping for the public key: the registry takes it from a certificate, and asks for nothing else in it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imageforge registry tokens")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
    )
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)
