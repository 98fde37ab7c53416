"""What git's words on stderr mean, told without the secrets that may be among them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.git_environment import TRACE, GitCredentials

_SHOWN = 600
_LOCATION = re.compile(rb"<= Recv header: location: ([^\r\n]{1,2000})", re.IGNORECASE)
_REDIRECT = re.compile(r"returned error: 30[1-8]|unable to update url base from redirection", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """`message` None stands for git's own words. `of_secret`: says that a secret is wrong, if one was given."""

    expression: str
    code: str
    message: str | None
    hint: str
    of_secret: bool = False

    def fits(self, errors: str) -> bool:
        return re.search(self.expression, errors, re.IGNORECASE) is not None


_NOT_FOUND = _Meaning(
    r"error: 40[34]|repository .*not found|does not appear to be a git repository|project you were looking for "
    r"could not|not valid: is this a git repository|does not exist",
    "git-not-found",
    "no such repository, or no access to it",
    "check the address; a private repository needs a deploy token or key",
)
_MEANINGS = (
    _Meaning(
        r"host key verification failed|host key for .* has changed",
        "git-auth-failed",
        "the host's key is not the one in known_hosts",
        "compare the key with what the host publishes, and set known_hosts",
    ),
    _Meaning(
        r"permission denied \(|error in libcrypto|invalid format",
        "git-auth-failed",
        "the host does not accept the deploy key",
        "add the key's public half to the repository",
        of_secret=True,
    ),
    _Meaning(
        r"authentication failed|could not read (username|password)|terminal prompts disabled|error: 401",
        "git-auth-failed",
        "the host does not accept the token",
        "set a new deploy token that may read the repository",
        of_secret=True,
    ),
    _Meaning(
        r"couldn't find remote ref|remote ref does not exist",
        "git-ref-missing",
        "has no such branch or tag",
        "check the name, and its case",
    ),
    _Meaning(
        r"not our ref|unadvertised object|does not allow request for|no such remote ref",
        "git-commit-missing",
        "has no such commit",
        "push the commit first",
    ),
    _NOT_FOUND,
    _Meaning(
        r"could not resolve|failed to connect|connection (refused|reset|timed out|closed)|couldn't connect|timed out|"
        r"network is unreachable|no route to host|\bssl\b|\btls\b|certificate|returned error: 5\d\d|empty reply|"
        r"early eof|hung up|transfer closed|unexpected disconnect",
        "git-unreachable",
        None,
        "try again; check that the host answers from this machine",
    ),
)
"""The first that fits decides, so what has been said at the end by every transport ("hung up") comes last."""


def failure(subject: str, errors: str, home: Path, credentials: GitCredentials) -> SourceFailed | SourceRefused:
    """The error for what git wrote. `home` has the headers that were received."""
    if _REDIRECT.search(errors):
        return SourceRefused(
            "git-redirected",
            subject,
            f"the host redirects to {_redirected_to(home, credentials)}, and redirects are not followed",
            hint="use the new address, if you trust it",
        )
    said = f"git says: {shown(errors, credentials)}"
    meaning = next((each for each in _MEANINGS if each.fits(errors)), None)
    if meaning is None:
        return SourceFailed("git-failed", subject, said, hint="try `git clone` by hand")
    if meaning.of_secret and not (credentials.token or credentials.deploy_key):
        # Hosts ask for a password for what does not exist as well, so as not to tell the two apart.
        meaning = _NOT_FOUND
    return SourceFailed(meaning.code, subject, meaning.message or said, hint=meaning.hint)


def shown(text: str, credentials: GitCredentials) -> str:
    """The last lines of a text from outside: no secrets, no control characters, not too long."""
    text = masked(text, credentials)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(each if each.isprintable() else "?" for each in " / ".join(lines))[-_SHOWN:]


def masked(text: str, credentials: GitCredentials) -> str:
    """The text without the token, in any spelling that HTTP has for it, and without passwords in addresses."""
    if credentials.token:
        pair = base64.b64encode(f"{credentials.token_user}:{credentials.token}".encode()).decode()
        for secret in (credentials.token, quote(credentials.token, safe=""), pair):
            text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^/\s@]+@", "***@", text)


def _redirected_to(home: Path, credentials: GitCredentials) -> str:
    try:
        with (home / TRACE).open("rb") as trace:
            found = _LOCATION.findall(trace.read(1 << 20))
    except OSError:
        found = []
    if not found:
        return "another address"
    place = found[-1].decode("utf-8", "replace").split("/info/refs")[0]
    return shown(place, credentials)[:200]
