"""How a registry is reached: by TLS, with which authorities, as whom; plain HTTP on this machine, and elsewhere where
asked."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from registry.auth import docker_folder
from registry.errors import TransportError

CERTIFICATES = "certs.d"


def docker_certificates() -> tuple[Path, ...]:
    """Where Docker keeps the certificates of a registry, for its user and for the machine: in a folder of its name,
    ``*.crt`` are authorities, and ``NAME.cert`` with ``NAME.key`` is who we are."""
    own, machine = docker_folder(os.environ), Path("/etc/docker")
    return tuple(folder / CERTIFICATES for folder in (own, machine) if folder is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """`ca` is a file of authorities (PEM) that are believed besides the system's; `plain_http` names the registries,
    as references do, to which plain HTTP is spoken though they are not on loopback; `certificates` are folders as
    Docker's."""

    ca: Path | None = None
    plain_http: frozenset[str] = frozenset()
    certificates: tuple[Path, ...] = field(default_factory=docker_certificates)

    def is_plain(self, registry: str) -> bool:
        """Whether plain HTTP is spoken to a registry; one on loopback with certificates is asked first."""
        known = self._authorities(registry) or self._identities(registry)
        return registry in self.plain_http or (is_loopback(registry) and not known)

    def trust(self, registry: str) -> ssl.SSLContext:
        """Who is believed to be the registry, or where it sends us. Raises TransportError (`ca-unreadable`)."""
        # To read the authorities takes longer than all that is asked of a registry on this machine, which needs none;
        # without them, whatever it might lead to by https is trusted by nobody.
        own = self._authorities(registry)
        if is_loopback(registry) and not own:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context = ssl.create_default_context()
        for file in own:
            try:
                context.load_verify_locations(cafile=str(file))
            except (OSError, ssl.SSLError) as error:
                raise TransportError(
                    "ca-unreadable",
                    str(file),
                    f"no certificates can be read there: {error.strerror or error}",
                    hint="name a file of certificates in PEM",
                ) from error
        return context

    def identify(self, registry: str) -> ssl.SSLContext | None:
        """The same, showing the registry who we are; None where no client certificate is kept for it. It is for the
        registry itself: where that sends us on to is nobody's business.

        Raises TransportError (`client-key-missing`, `client-certificate-unreadable`)."""
        found = self._identities(registry)
        if not found:
            return None
        context = self.trust(registry)
        for certificate in found:
            key = certificate.with_suffix(".key")
            if not key.exists():
                raise TransportError(
                    "client-key-missing",
                    str(certificate),
                    f"the client certificate has no key beside it, expected {key.name}",
                    hint="put its key there, or take the certificate away",
                )
            try:
                # A key with a passphrase would be asked for on the terminal.
                context.load_cert_chain(certificate, key, password=lambda: "")
            except (OSError, ValueError) as error:
                raise TransportError(
                    "client-certificate-unreadable",
                    str(certificate),
                    f"it and {key.name} are no pair that can be used: {getattr(error, 'strerror', None) or error}",
                    hint="expected a certificate and its key in PEM, the key without a passphrase",
                ) from error
        return context

    def folder(self, registry: str) -> Path:
        """Where the certificates for a registry are looked for first."""
        return next((place / registry for place in self.certificates), Path(registry))

    def _authorities(self, registry: str) -> list[Path]:
        found = [file for place in self.certificates for file in _files(place / registry, "*.crt")]
        return [*found, self.ca] if self.ca else found

    def _identities(self, registry: str) -> list[Path]:
        """Of the first folder that has any: the user's own before the machine's."""
        return next((found for place in self.certificates if (found := _files(place / registry, "*.cert"))), [])


def _files(folder: Path, pattern: str) -> list[Path]:
    """Those of a folder, sorted; none where it may not be looked into: it is another user's, as after `sudo -u`."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def is_loopback(registry: str) -> bool:
    """Whether a registry's host is this machine, for which Docker takes plain HTTP too."""
    host = registry.rpartition(":")[0] if ":" in registry.rpartition("]")[2] else registry
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
