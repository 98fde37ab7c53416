"""The configuration of a local CNCF Distribution 2.8 (Debian: docker-registry): loopback, files, deletes; and of a
second one on the same files, behind a balancer, that asks for a token."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLogin:
    """Who may come in: the bearer of a token that `issuer` signed for `service` with the key that `certificates` holds;
    others are sent to `realm` for one."""

    realm: str
    service: str
    issuer: str
    certificates: Path


def registry_config(
    *, root: Path, address: str, port: int, login: TokenLogin | None = None, read_only: bool = False
) -> str:
    """The configuration file as YAML. The HTTP secret signs the state of uploads; one instance may make it up anew.
    With `read_only` pushes and deletions are refused.

    One with a `login` stands behind a balancer and beside the one without, which does the tidying for both.
    """
    text: dict[str, Any] = _config(root, address, port)
    if read_only:
        text["storage"]["maintenance"]["readonly"] = {"enabled": True}
    if login is not None:
        text["http"]["relativeurls"] = True
        text["storage"]["maintenance"]["uploadpurging"] = {"enabled": False}
        text["auth"] = {
            "token": {
                "realm": login.realm,
                "service": login.service,
                "issuer": login.issuer,
                "rootcertbundle": str(login.certificates),
            }
        }
    return yaml.safe_dump(text, sort_keys=False)


def _config(root: Path, address: str, port: int) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "delete": {"enabled": True},
            # An upload that a crash left behind is removed after a day; 2.8 looks every six hours.
            "maintenance": {"uploadpurging": {"enabled": True, "age": "24h", "interval": "6h", "dryrun": False}},
        },
        "http": {
            "addr": f"{address}:{port}",
            "secret": secrets.token_hex(16),
            "headers": {"X-Content-Type-Options": ["nosniff"]},
        },
    }
