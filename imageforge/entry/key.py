"""The balancer's own word to the API. Any user of this machine can connect to the API's port, so what a request says of
where it came from counts only with a key that the two of them know."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imageforge.entry.secret_file import make_once


class Way(StrEnum):
    """How a request came: from this machine, or by one of the balancer's listeners for others."""

    LOCAL = "local"
    TLS = "tls"
    PLAIN = "plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """Where a request came from: the way, and the address of who sent it."""

    way: Way
    address: str


def entry_key(file: Path) -> str:
    """The key of this home, made at the first use; 256 random bits. Raises OSError."""
    return make_once(file, lambda: secrets.token_hex(32).encode()).decode().strip()


def arrival(said: str, forwarded: str, peer: str, key: str) -> Arrival:
    """`said` is the header in which the balancer speaks, `forwarded` the client's address as it gives it, and `peer`
    who connected. Whoever does not know the key is who connected, whatever they say."""
    word, _, shown = said.partition(" ")
    if word not in (Way.TLS, Way.PLAIN) or not hmac.compare_digest(shown.encode(), key.encode()):
        return Arrival(way=Way.LOCAL, address=peer)
    return Arrival(way=Way(word), address=forwarded.rpartition(",")[2].strip() or peer)


def neighbourhood(address: str) -> str:
    """What guesses are counted by: an IPv4 address, or the /64 that every IPv6 customer has to choose addresses of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
