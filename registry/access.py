"""How a registry is reached: by TLS, with which authorities; plain HTTP on this machine, and elsewhere where asked."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from registry.errors import TransportError

DOCKER_CERTIFICATES = Path("/etc/docker/certs.d")
"""Where Docker looks for the authorities of a registry: a folder of its name, with files ``*.crt``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """`ca` is a file of authorities (PEM) that are believed besides the system's; `plain_http` names the registries,
    as references do, to which plain HTTP is spoken though they are not on loopback."""

    ca: Path | None = None
    plain_http: frozenset[str] = frozenset()
    certificates: Path = DOCKER_CERTIFICATES

    def is_plain(self, registry: str) -> bool:
        """Whether plain HTTP is spoken to a registry; one on loopback with authorities is asked first."""
        return registry in self.plain_http or (is_loopback(registry) and not self._authorities(registry))

    def trust(self, registry: str) -> ssl.SSLContext:
        """Who is believed to be the registry. Raises TransportError (`ca-unreadable`)."""
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

    def _authorities(self, registry: str) -> list[Path]:
        found = sorted((self.certificates / registry).glob("*.crt"))
        return [*found, self.ca] if self.ca else found


def is_loopback(registry: str) -> bool:
    """Whether a registry's host is this machine, for which Docker takes plain HTTP too."""
    host = registry.rpartition(":")[0] if ":" in registry.rpartition("]")[2] else registry
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
