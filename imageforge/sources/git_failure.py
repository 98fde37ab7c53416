"""What git's words on stderr mean, told without the secrets that may be among them."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import quote

from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.git_environment import TRACE, GitCredentials

_SHOWN = 600
_LOCATION = re.compile(rb"<= Recv header: location: ([^\r\n]{1,2000})", re.IGNORECASE)
_NOT_FOUND = "no such repository, or no access to it"
_REDIRECT = re.compile(r"returned error: 30[1-8]|unable to update url base from redirection", re.IGNORECASE)

# The first that matches decides. (expression, code, what to say; None is git's own words, hint)
_MEANINGS: tuple[tuple[re.Pattern[str], str, str | None, str], ...] = tuple(
    (re.compile(expression, re.IGNORECASE), code, message, hint)
    for expression, code, message, hint in (
        (
            r"host key verification failed|host key for .* has changed",
            "git-auth-failed",
            "the host's key is not the one in known_hosts",
            "compare the key with what the host publishes, and set known_hosts",
        ),
        (
            r"permission denied \(|error in libcrypto|invalid format",
            "git-auth-failed",
            "the host accepts no key of ours",
            "add the deploy key's public half to the repository",
        ),
        (
            r"authentication failed|could not read (username|password)|terminal prompts disabled|error: 401",
            "git-auth-failed",
            "the host does not accept the token",
            "set a new deploy token that may read the repository",
        ),
        (
            r"couldn't find remote ref|remote ref does not exist",
            "git-ref-missing",
            "has no such branch or tag",
            "check the name",
        ),
        (
            r"not our ref|unadvertised object|does not allow request for|no such remote ref",
            "git-commit-missing",
            "has no such commit",
            "push the commit first",
        ),
        (
            r"error: 40[34]|repository .* not found|repository not found|does not appear to be a git repository|"
            r"project you were looking for could not be found|not valid: is this a git repository|does not exist",
            "git-not-found",
            _NOT_FOUND,
            "check the address; a private repository needs a deploy token or key",
        ),
        (
            r"could not resolve|failed to connect|connection (refused|reset|timed out|closed)|couldn't connect|"
            r"network is unreachable|no route to host|timed out|ssl|tls|certificate|returned error: 5\d\d|empty reply|"
            r"early eof|remote end hung up|transfer closed|unexpected disconnect",
            "git-unreachable",
            None,
            "try again; check that the host answers from this machine",
        ),
    )
)


def failure(
    subject: str, errors: str, home: Path, credentials: GitCredentials, *, codes: frozenset[str] = frozenset()
) -> SourceFailed | SourceRefused:
    """The error for what git wrote. `codes` are those that the caller knows to be meant otherwise: not looked for."""
    said = shown(errors, credentials)
    if _REDIRECT.search(errors):
        place = _redirected_to(home, credentials)
        return SourceRefused(
            "git-redirected",
            subject,
            f"the host redirects to {place}, and redirects are not followed",
            hint="use the new address, if you trust it",
        )
    for expression, code, message, hint in _MEANINGS:
        if code not in codes and expression.search(errors):
            if code == "git-auth-failed" and "401" not in hint and not (credentials.token or credentials.deploy_key):
                # Hosts ask for a password for what does not exist as well, so as not to tell the two apart.
                return SourceFailed("git-not-found", subject, _NOT_FOUND, hint=_MEANINGS[5][3])
            return SourceFailed(code, subject, message or f"git says: {said}", hint=hint)
    return SourceFailed("git-failed", subject, f"git says: {said}", hint="try `git clone` by hand")


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
