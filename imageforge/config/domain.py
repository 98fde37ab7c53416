"""A domain: how it is written, and which ones there can be."""

from __future__ import annotations

import hashlib
import ipaddress
import re

import idna

LONGEST = 253
LONGEST_STEM = 200
"""Characters of a file's name; a draft has some forty more, and a file system takes 255."""
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def parse_domain(text: str) -> str:
    """The domain as DNS has it: lower case, without a dot at its end, letters beyond ASCII by IDNA 2008 (UTS 46).

    Raises ValueError with what is wrong about it: a wildcard, an address, a port, a name that DNS cannot hold, one that
    never leaves this machine.
    """
    name = text.strip().removesuffix(".")
    if "*" in name:
        raise ValueError("a wildcard is not supported, expected one name")
    if re.search(r"[/:@\s]", name):
        raise ValueError("expected a name such as www.example.org, without scheme, port or path")
    try:
        plain = idna.encode(name, uts46=True).decode() if not name.isascii() else name.lower()
        if "xn--" in plain:
            idna.decode(plain)
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"IDNA does not allow it: {error}") from error
    if _is_address(plain):
        raise ValueError("an address is not a name")
    labels = plain.split(".")
    if len(labels) < 2:
        raise ValueError("expected a name with a dot, such as www.example.org")
    wrong = next((label for label in labels if not LABEL.fullmatch(label)), None)
    if wrong is not None or len(plain) > LONGEST:
        raise ValueError("DNS does not allow it: labels of 1 to 63 letters, digits and -, 253 characters in all")
    if is_local(plain):
        raise ValueError("names below localhost never leave this machine")
    return plain


def file_stem(name: str) -> str:
    """What files that belong to a domain are called, before what they end with."""
    return name if len(name) <= LONGEST_STEM else hashlib.sha256(name.encode()).hexdigest()


def is_local(name: str) -> bool:
    """Whether a name is for this machine alone (RFC 6761, 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def is_below(name: str, suffix: str) -> bool:
    """Whether a name is the suffix or below it."""
    return name == suffix or name.endswith(f".{suffix}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text.rpartition(".")[2].isdecimal()  # no top-level domain is a number; 1.2.3 is read as an address
    return True
