"""How this host looks names up."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from runtime.discovery.links import Asked

RESOLV_CONF = Path("/etc/resolv.conf")
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")
"""Whom systemd's resolver asks, where the other names that one alone (systemd-resolved(8))."""


def host_asked(path: Path | None = None, behind: Path = BEHIND_STUB) -> Asked:
    """What its resolv.conf says (resolv.conf(5)): of several lists of domains the last. Nameservers on loopback are
    left out: that is another one in a container."""
    found = _read(path or RESOLV_CONF)
    if not found.nameservers and behind.exists():
        return _read(behind)
    return found


def _read(path: Path) -> Asked:
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return Asked()
    said = [words for words in lines if len(words) > 1]
    searches = [words[1:] for words in said if words[0] in ("search", "domain")]
    return Asked(
        nameservers=tuple(words[1] for words in said if words[0] == "nameserver" and not _is_loopback(words[1])),
        search=tuple(searches[-1]) if searches else (),
        options=tuple(word for words in said if words[0] == "options" for word in words[1:]),
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True
