"""The configuration of a local CNCF Distribution 2.8 (Debian: docker-registry): loopback, files, deletes."""

from __future__ import annotations

import secrets
from pathlib import Path

import yaml


def registry_config(*, root: Path, address: str, port: int) -> str:
    """The configuration file as YAML. The HTTP secret signs the state of uploads; one instance may make it up anew."""
    return yaml.safe_dump(
        {
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
        },
        sort_keys=False,
    )
