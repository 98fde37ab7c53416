"""What text is a secret: by its form, by the name it has, and by its value."""

from __future__ import annotations

import math
import re

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[baprs]-[A-Za-z0-9-]{20,}|sk_live_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{36}"
    r"|AIza[A-Za-z0-9_-]{35}|pypi-[A-Za-z0-9_-]{50,})(?![A-Za-z0-9])"
)
# With the beginning of its body, for the header alone is what programs look for, and all of it where its end is there:
# each piece can be read in one way alone, so that nothing is tried over and over.
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\+[nr]|\s)*"
    r"(?:[A-Za-z-]+: [^\r\n\\]+(?:\\+[nr]|[\r\n])(?:\\+[nr]|\s)*)*"
    r"[A-Za-z0-9+/=]{32,}"
    r"(?:(?:(?:\\+[nr]|\s)+[A-Za-z0-9+/=]+)*(?:\\+[nr]|\s)*-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?:\\+[nr][A-Za-z0-9+/=]+)*)"
)
_LOGIN = re.compile(r"://[^/\s:@]+:([^@\s/]{4,})@")
_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=([^\n]*)", re.MULTILINE)
_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|SECRET_?KEY|ENCRYPTION_?KEY|SIGNING_?KEY|AUTH_?KEY)(?:$|_)|(?:PASSWORD|SECRET|TOKEN|APIKEY)$"
)
_LAST = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SECRET_?KEY"
    r"|SECRET_?KEY_?BASE|ENCRYPTION_?KEY|SIGNING_?KEY|AUTH_?KEY)(?:_?[0-9])?$|[A-Z](?:PASSWORD|APIKEY)$"
)
_HARMLESS = re.compile(
    r"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TTL|_EXPIRY|_HASH|_VERSION|_LENGTH"
    r"|_SHA\d*|_SHA\d*SUM|_CHECKSUM|_MD5|_DIGEST|_FINGERPRINT|_COMMIT|_REF"
    r"|_ADDRESS|_CLASS|_PROVIDER|_HANDLER|_HELPER|_ISSUER|_AUDIENCE|_ALGORITHM|_TYPE)$|PUBLIC|PUBLISHABLE|USERNAME"
)
_SWITCH = re.compile(
    r"(?:^|_)(?:ALLOW|ENABLE|DISABLE|USE|REQUIRE|RANDOM|EMPTY|NO|HAS|IS|MIN|MAX|OLD_?PWD)_|^(?:OLD)?PWD$"
)
_PLACEHOLDER = re.compile(
    r"change|example|placeholder|dummy|replace|insert|your|sample|default|secret|password|test|<|\{\{|xxx|\*\*\*",
    re.IGNORECASE,
)
# What fingers make, not machines.
_MADE_UP = re.compile(r"12345678|87654321|abcdefgh|qwert|asdfgh|deadbeef|(.)\1{6}", re.IGNORECASE)
_NO_VALUE = re.compile(r"(?:true|false|yes|no|on|off|none|null|nil|undefined|[0-9]{1,3}|-)?$", re.IGNORECASE)
LEAST_LENGTH = 16
# Bits a character (Shannon): hexadecimal text lies near 3.5 to 4, words and file names below 3.3.
_LEAST_ENTROPY = 3.3
_LEAST_KNOWN_ENTROPY = 2.5


def known_tokens(text: str) -> list[re.Match[str]]:
    """The places of tokens whose form a service gives them, and of private keys; examples of such are left out."""
    found = [match for match in _KNOWN.finditer(text) if _is_real(match.group())] if _may_hold(text) else []
    return found + (list(PRIVATE_KEY.finditer(text)) if "PRIVATE KEY-----" in text else [])


_PREFIXES = ("gh", "glpat-", "AKIA", "ASIA", "xox", "sk_live_", "npm_", "AIza", "pypi-")


def _may_hold(text: str) -> bool:
    return any(prefix in text for prefix in _PREFIXES)


def _is_real(token: str) -> bool:
    return not re.search(r"example|xxxx|1234567890abcdef", token, re.IGNORECASE) and (
        entropy(token) >= _LEAST_KNOWN_ENTROPY
    )


def passwords_of_addresses(text: str) -> list[str]:
    """The passwords in addresses such as https://name:password@host, without those that are variables."""
    return [word for word in _LOGIN.findall(text) if "$" not in word] if "://" in text and "@" in text else []


def assignments(text: str) -> list[tuple[str, str]]:
    """The names and values of a .env, quotes and blanks around a value taken off."""
    return [(name, value.strip().strip("\"'")) for name, value in _ASSIGNMENT.findall(text)]


def known_token(value: str) -> bool:
    """Whether a value holds a token of a known form, or a private key."""
    return bool(known_tokens(value))


def looks_secret(name: str, value: str) -> bool:
    """Whether what is called `name` holds a real secret."""
    return known_token(value) or (names_secret(name) and looks_random(value))


def names_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret, or something of one."""
    upper = name.upper()
    return bool(_SECRET.search(upper)) and not _HARMLESS.search(upper)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name is itself a secret: what the name ends with decides."""
    upper = name.upper()
    return bool(_LAST.search(upper)) and not _HARMLESS.search(upper) and not _SWITCH.search(upper)


def is_literal(value: str) -> bool:
    """Whether a value could be a secret that somebody chose: not empty, no switch, variable, path or address."""
    return not _NO_VALUE.match(value) and not re.search(r"\$|://|^[./~]|^<.*>$|\{\{", value)


def is_placeholder(value: str) -> bool:
    """Whether a value says itself that it is to be replaced."""
    return bool(_PLACEHOLDER.search(value))


def looks_random(value: str) -> bool:
    """Whether a value looks as though a machine had made it."""
    if len(value) < LEAST_LENGTH or is_placeholder(value) or re.search(r"[\s$]|://|^[./~]", value):
        return False
    if _MADE_UP.search(value):
        return False
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return bool(mixed) and entropy(value) >= _LEAST_ENTROPY


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    counts = [text.count(char) for char in set(text)]
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
