"""IF211: a file of the context that holds a secret is copied into the image."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from linters.context import File
from linters.model import Basis, Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.secret_text import PRIVATE_KEY, is_literal, is_placeholder, is_secret_name, known_tokens, looks_random

_MOST_FILES = 400
"""Files that are read for one Dockerfile, likely ones first."""
_LARGEST = 64 * 1024
_SAMPLE = re.compile(
    r"\.(?:example|sample|template|tmpl|dist|tpl)$|^\.env\.(?:example|sample|template|dist)|example|sample"
)
_PUBLIC = re.compile(r"^ca(?:[-_.].*)?\.(?:pem|crt)$|public|\.pub$|truststore|cacert|^ca-bundle")
_TRIAL = re.compile(r"(?:^|/)(?:tests?|testdata|fixtures?|examples?|spec|specs|mocks?|__tests__|docs?)/")
_LIKELY = re.compile(
    r"\.(?:pem|key|ppk|p8|crt|cer|env|pgpass)$|^\.env|^id_(?:rsa|dsa|ecdsa|ed25519)$|^\.netrc$|^_netrc$|^\.npmrc$|^\.pypirc$"
    r"|^\.git-credentials$|^\.pgpass$|^(?:credentials|config)(?:\.json)?$|^\.yarnrc(?:\.yml)?$|\.json$"
)
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_FIX = (
    "add it to .dockerignore; RUN --mount=type=secret lends it to the build, and a secret of the app to the container"
)


def _check(subject: Subject) -> Iterator[Hit]:
    if subject.context is None:
        return
    seen: set[str] = set()
    for copy in subject.copies:
        for source, place in zip(copy.sources, copy.step.instruction.words, strict=False):
            if source is None or source not in copy.local_sources:
                continue
            files = subject.context.taken(source, copy.excluded)
            for file in [one for one in files if _is_candidate(one)][:_MOST_FILES]:
                if file.path in seen or len(seen) >= _MOST_FILES:
                    continue
                seen.add(file.path)
                found = _found(subject, file)
                if found is not None:
                    what, severity = found
                    yield Hit(
                        span=copy.step.instruction.span(place.start, place.end),
                        message=f"{file.path} goes into the image and holds {what}",
                        fix=_FIX,
                        severity=severity,
                        basis=Basis.CONTEXT,
                    )


def _is_candidate(file: File) -> bool:
    name = posixpath.basename(file.path)
    if file.folder or not 0 < file.size <= _LARGEST:
        return False
    return bool(_LIKELY.search(name)) and not _SAMPLE.search(name) and not _PUBLIC.search(name)


def _found(subject: Subject, file: File) -> tuple[str, Severity] | None:
    """What a file holds, and how sure that is."""
    text = subject.context.read(file.path, _LARGEST) if subject.context else None
    if not text:
        return None
    what = _key(text) or _by_name(file.path, text)
    if what is None:
        return None
    said, severity = what
    return said, Severity.WARNING if _TRIAL.search(file.path) else severity


def _key(text: str) -> tuple[str, Severity] | None:
    match = PRIVATE_KEY.search(text)
    if match is None:
        tokens = known_tokens(text)
        return ("what looks like a real token", Severity.ERROR) if tokens else None
    if "ENCRYPTED" in match.group("kind") or "ENCRYPTED" in match.group("head"):
        return "a private key behind a passphrase", Severity.WARNING
    return "a private key", Severity.ERROR


def _by_name(path: str, text: str) -> tuple[str, Severity] | None:
    name = posixpath.basename(path)
    if name.startswith(".env") or name.endswith(".env"):
        return _environment(text)
    if path.endswith((".docker/config.json", ".dockerconfigjson")):
        return ("a registry's password", Severity.ERROR) if _docker_auth(text) else None
    for names, pattern, what in _FORMS:
        if name in names or path.endswith(tuple(f"/{one}" for one in names if "/" in one)) or path in names:
            match = pattern.search(text)
            if match and is_literal(match.group(1)) and not is_placeholder(match.group(1)):
                return what, Severity.ERROR
    return None


_FORMS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    ((".netrc", "_netrc"), re.compile(r"\bpassword\s+(\S+)"), "a password"),
    ((".git-credentials",), re.compile(r"https?://[^:\s/]+:([^@\s]+)@"), "a password"),
    ((".aws/credentials",), re.compile(r"aws_secret_access_key\s*=\s*(\S+)"), "a key of AWS"),
    (
        (".npmrc", ".yarnrc", ".yarnrc.yml"),
        re.compile(r"(?:_authToken|_password|npmAuthToken)\s*[=:]\s*(\S+)"),
        "a token",
    ),
    ((".pypirc",), re.compile(r"^\s*password\s*[=:]\s*(\S+)", re.MULTILINE), "a password"),
    ((".pgpass",), re.compile(r"^[^#:\n]*:[^:\n]*:[^:\n]*:[^:\n]*:(\S+)", re.MULTILINE), "a password"),
)


def _environment(text: str) -> tuple[str, Severity] | None:
    """A .env whose secret looks real is an error, one with a password that a person chose a warning."""
    weak: str | None = None
    for match in _ASSIGNMENT.finditer(text):
        name, value = match.group(1), match.group(2).strip("\"'")
        if not is_secret_name(name) or not is_literal(value):
            continue
        if looks_random(value):
            return f"what looks like a real secret, {name}", Severity.ERROR
        weak = weak or name
    return (f"a secret, {weak}", Severity.WARNING) if weak else None


def _docker_auth(text: str) -> bool:
    try:
        config = json.loads(text)
        return any(entry.get("auth") or entry.get("password") for entry in config.get("auths", {}).values())
    except (ValueError, AttributeError, RecursionError):
        return False


RULE = Rule(
    id="IF211",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="No file with a secret is copied into an image",
    check=_check,
)
