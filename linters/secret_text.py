"""What text is a secret: known forms of tokens, and long random values under names that speak of secrets."""

from __future__ import annotations

import math
import re

KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[baprs]-[A-Za-z0-9-]{20,}|sk_live_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{36}"
    r"|AIza[A-Za-z0-9_-]{35}|pypi-[A-Za-z0-9_-]{50,})(?![A-Za-z0-9])|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Forms of which nothing else is."""
_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|SECRET_?KEY|ENCRYPTION_?KEY|SIGNING_?KEY|AUTH_?KEY)(?:$|_)|(?:PASSWORD|SECRET|TOKEN|APIKEY)$"
)
_HARMLESS = re.compile(r"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TTL|_EXPIRY|_HASH|_VERSION|_LENGTH)$|PUBLIC|USERNAME")
_PLACEHOLDER = re.compile(
    r"change|example|placeholder|dummy|replace|insert|your|sample|default|secret|password|test|<|\{\{|xxx|\*\*\*",
    re.IGNORECASE,
)
_LEAST_LENGTH = 16
# Bits a character (Shannon): hexadecimal text lies near 3.5 to 4, words and file names below 3.3.
_LEAST_ENTROPY = 3.3


def known_token(value: str) -> bool:
    """Whether a value holds a token of a known form."""
    return KNOWN.search(value) is not None


def names_secret(name: str) -> bool:
    """Whether a variable's name speaks of a secret."""
    upper = name.upper()
    return bool(_SECRET.search(upper)) and not _HARMLESS.search(upper)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for one that somebody is to put there."""
    return _PLACEHOLDER.search(value) is not None


def looks_random(value: str) -> bool:
    """Whether a value is long, of letters and digits, and of no pattern."""
    if len(value) < _LEAST_LENGTH or is_placeholder(value) or re.search(r"[\s$]|://|^[./~]", value):
        return False
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return bool(mixed) and _entropy(value) >= _LEAST_ENTROPY


def looks_secret(name: str, value: str) -> bool:
    """Whether what is called `name` holds a real secret."""
    return known_token(value) or (names_secret(name) and looks_random(value))


def _entropy(text: str) -> float:
    counts = [text.count(char) for char in set(text)]
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
