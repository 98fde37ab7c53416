"""Certificates in a folder: what each file holds, and why one of them cannot be served. Pure but for reading files.

A certificate is a file ``NAME.pem`` with its chain and its key, or ``NAME.crt`` beside ``NAME.key``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

LARGEST = 1024 * 1024
"""Bytes of a file; a chain with its key has a few thousand."""

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files that make one certificate, the certificate first; `key_missing` where a ``.crt`` stands alone."""

    name: str
    files: tuple[Path, ...]
    key_missing: bool = False

    def signature(self) -> Signature:
        """What changes when a file does; raises OSError."""
        found = [(str(file), file.stat()) for file in self.files]
        return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """One that can be served. `names` are host names in lower case, perhaps with a ``*`` as their first label; times
    are Unix seconds."""

    names: tuple[str, ...]
    not_before: float
    not_after: float
    pem: bytes = field(repr=False)

    def covers(self, host: str) -> bool:
        """Whether a client that asks for this host takes it."""
        return covers(self.names, host)


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateState:
    """One certificate as `doctor` and `status` show it; `problem` is empty for one that is served."""

    file: str
    names: tuple[str, ...] = ()
    not_before: float | None = None
    not_after: float | None = None
    problem: str = ""


class Defect(ValueError):
    """Why a certificate cannot be served, in words that follow the file's name."""


def covers(names: Iterable[str], host: str) -> bool:
    """Whether one of the names is the host, or a wildcard for it: ``*`` stands for one label."""
    return any(name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2]) for name in names)


def sources(folder: Path) -> tuple[Source, ...]:
    """The certificates in a folder, by name; none where there is no folder. Raises OSError."""
    try:
        files = {file.name: file for file in folder.iterdir() if not file.name.startswith(".")}
    except FileNotFoundError:
        return ()
    return tuple(sorted(_sources(files), key=lambda source: source.name))


def _sources(files: dict[str, Path]) -> Iterator[Source]:
    for name, file in files.items():
        if file.suffix == ".pem":
            yield Source(name=name, files=(file,))
        elif file.suffix == ".crt":
            key = files.get(f"{file.stem}.key")
            yield Source(name=name, files=(file, key) if key else (file,), key_missing=key is None)


def read(source: Source) -> bytes:
    """The certificate, its chain and its key as one text. Raises Defect."""
    if source.key_missing:
        raise Defect(f"there is no {Path(source.name).stem}.key beside it")
    try:
        if sum(file.stat().st_size for file in source.files) > LARGEST:
            raise Defect(f"it has more than {LARGEST} bytes")
        return b"\n".join(file.read_bytes().strip() for file in source.files) + b"\n"
    except OSError as error:
        raise Defect(f"it cannot be read: {error.strerror}") from error


def parse(pem: bytes, now: float) -> Certificate:
    """What the text holds. Raises Defect: no certificate, no key of it, no name, not valid at `now`."""
    try:
        leaf = x509.load_pem_x509_certificates(pem)[0]
        names = _names(leaf)
    except (ValueError, IndexError) as error:
        raise Defect("it holds no certificate that can be read") from error
    try:
        key = load_pem_private_key(pem, password=None)
        same = _public(key.public_key()) == _public(leaf.public_key())
    except TypeError as error:
        raise Defect("its key has a password") from error
    except Exception as error:  # the library has many ways to say that it is no key
        raise Defect("it holds no private key that can be read") from error
    if not same:
        raise Defect("its first certificate and its key do not belong together")
    if not names:
        raise Defect("it names no host")
    found = Certificate(
        names=names,
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        pem=pem,
    )
    check_time(found, now)
    return found


def check_time(certificate: Certificate, now: float) -> None:
    """Raise Defect unless it is valid now."""
    if now >= certificate.not_after:
        raise Defect(f"it expired on {_day(certificate.not_after)}")
    if now < certificate.not_before:
        raise Defect(f"it is not valid before {_day(certificate.not_before)}")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = [str(name.value) for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(name.lower() for name in found if _is_host(name)))


def _is_host(name: str) -> bool:
    """A name that the balancer's list can hold: no address, no blanks, nothing that it reads as more than a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        plain = name.removeprefix("*.")
        return bool(plain) and plain.isascii() and all(part.isalnum() or part in "-._" for part in plain)
    return False


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
