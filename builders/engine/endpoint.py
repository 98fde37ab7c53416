"""Where an engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where an engine answers: `host` as DOCKER_HOST would spell it, and `origin`, who named it.

    `tls` is a folder with ``ca.pem``, ``cert.pem`` and ``key.pem``, None where the connection is plain.
    """

    host: str
    origin: str
    tls: Path | None = None

    def environment(self) -> dict[str, str]:
        """The variables that make a Docker client talk to this engine and to no other."""
        variables = {"DOCKER_HOST": self.host}
        if self.tls is not None:
            variables |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.tls)}
        return variables
