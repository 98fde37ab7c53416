"""Telling the resolver what it is to answer: by a file for its next start, and by its socket for now."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from runtime.discovery.zone import Zone

SECONDS = 2.0


def keep(zone: Zone, file: Path) -> None:
    """Write the zone down in one step. Raises OSError."""
    draft = file.with_name(f".{file.name}.new")
    draft.touch(mode=0o600)
    draft.write_text(zone.to_json())
    draft.replace(file)


def tell(zone: Zone, path: Path) -> dict[str, str]:
    """Have the resolver answer with the zone: when this returns, it does. The addresses on which it cannot, with why.
    Raises OSError where none answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(zone.to_json().encode() + b"\n")
        with connection.makefile("rb") as stream:
            line = stream.readline()
    try:
        failed: dict[str, str] = json.loads(line)["failed"]
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"the resolver does not say what it did: {line[:100]!r}") from error
    return failed
