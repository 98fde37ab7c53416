"""A certificate authority of the tests' own."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = datetime.timedelta(days=1)


class TestAuthority:
    """Signs what it is asked to; `file` is its own certificate."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.file = folder / "ca.pem"
        now = datetime.datetime.now(datetime.UTC)
        made = (
            _builder(self._name, self._name, self._key, now - DAY, now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, SHA256())
        )
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def issue(self, *names: str, start: float = -1.0, end: float = 10.0, key: Key | None = None) -> tuple[bytes, bytes]:
        """A certificate and its key, valid from `start` to `end`, in days from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        builder = _builder(x509.Name([]), self._name, key, now + start * DAY, now + end * DAY)
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        made = builder.sign(self._key, SHA256())
        return made.public_bytes(Encoding.PEM), private(key)

    def bundle(self, *names: str, **more: Any) -> bytes:
        """Both in one text."""
        return b"".join(self.issue(*names, **more))

    def context(self) -> ssl.SSLContext:
        """What trusts it alone."""
        return ssl.create_default_context(cafile=str(self.file))


def private(key: Key, password: bytes | None = None) -> bytes:
    """A key as PEM."""
    sealing = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    start: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
