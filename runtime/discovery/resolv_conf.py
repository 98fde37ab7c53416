"""How this host looks names up."""

from __future__ import annotations

from pathlib import Path

from runtime.discovery.links import Asked

RESOLV_CONF = Path("/etc/resolv.conf")


def host_asked(path: Path | None = None) -> Asked:
    """What its resolv.conf says (resolv.conf(5)): of several lists of domains the last."""
    try:
        lines = [line.split() for line in (path or RESOLV_CONF).read_text().splitlines()]
    except OSError:
        return Asked()
    said = [words for words in lines if len(words) > 1]
    searches = [words[1:] for words in said if words[0] in ("search", "domain")]
    return Asked(
        nameservers=tuple(words[1] for words in said if words[0] == "nameserver"),
        search=tuple(searches[-1]) if searches else (),
        options=tuple(word for words in said if words[0] == "options" for word in words[1:]),
    )
