"""What git is told and what it may see: options, environment and the files that hold its secrets.

Nothing of the caller's environment, home or configuration reaches it, but PATH and the operator's certificates.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imageforge.sources.git_url import GitPolicy, GitUrl

_PASSED_ON = ("PATH", "SYSTEMROOT", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
_SETTINGS = (
    "advice.detachedHead=false",
    "core.askPass=",
    "core.attributesFile=/dev/null",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.symlinks=true",
    "credential.helper=",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # one pack file can be watched as it grows, thousands of loose objects cannot
    "gc.auto=0",
    "http.followRedirects=false",  # a redirect would lead past the check of the address
    "http.proxy=",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.file.allow=never",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
)
_ASKPASS = """#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$IMAGEFORGE_GIT_USER" ;;
*) printf '%s\\n' "$IMAGEFORGE_GIT_TOKEN" ;;
esac
"""
TRACE = "curl.trace"
"""Headers of what git received: its own message about a redirect does not say where to."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class GitCredentials:
    """What opens a repository: a token for http(s), a private key for ssh. Prints as `***`.

    `token_user` is what the host wants beside a token: GitHub takes anything, such as x-access-token, GitLab oauth2.
    `known_hosts` are lines of that file; without them the host's first key is believed.
    """

    token: str | None = None
    token_user: str = "git"  # noqa: S105 - a name
    deploy_key: str | None = None
    known_hosts: str | None = None

    def __repr__(self) -> str:
        token = "***" if self.token else None
        key = "***" if self.deploy_key else None
        return f"GitCredentials(token={token}, token_user={self.token_user!r}, deploy_key={key})"


@dataclass(frozen=True, kw_only=True, slots=True)
class GitEnvironment:
    """Options that go before git's verb, and the whole environment. `home` is private and removed by its owner."""

    home: Path
    options: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)


def git_environment(
    home: Path, *, url: GitUrl, addresses: tuple[str, ...], policy: GitPolicy, credentials: GitCredentials
) -> GitEnvironment:
    """Write the helper files to `home` and say how to call git, bound to the addresses that were checked."""
    protocols = ["https", "ssh", *(["http"] if policy.allow_http else [])]
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_TRACE_CURL": str(home / TRACE),
        "GIT_TRACE_CURL_NO_DATA": "1",
    }
    settings = list(_SETTINGS)
    if url.scheme == "ssh":
        variables |= {"GIT_SSH_COMMAND": _ssh_command(home, url, addresses[0], credentials), "GIT_SSH_VARIANT": "ssh"}
    else:
        # An address has no name to pin, and curl takes it as it is.
        if not _is_address(url.host):
            places = ",".join(f"[{each}]" if ":" in each else each for each in addresses)
            settings.append(f"http.curloptResolve={url.host}:{url.effective_port}:{places}")
        if credentials.token:
            script = home / "askpass"
            _write(script, _ASKPASS, 0o700)
            variables |= {
                "GIT_ASKPASS": str(script),
                "IMAGEFORGE_GIT_USER": credentials.token_user,
                "IMAGEFORGE_GIT_TOKEN": credentials.token,
            }
    options = tuple(part for setting in settings for part in ("-c", setting))
    return GitEnvironment(home=home, options=options, variables=variables)


def remote(url: GitUrl) -> str:
    """The address as git gets it: a user in an http address would take the place of the token's."""
    if url.scheme == "ssh":
        return str(url)
    return str(GitUrl(scheme=url.scheme, user=None, host=url.host, port=url.port, path=url.path))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ssh_command(home: Path, url: GitUrl, address: str, credentials: GitCredentials) -> str:
    known_hosts = home / "known_hosts"
    _write(known_hosts, _lines(credentials.known_hosts or ""), 0o600)
    # known_hosts names a host with another port as [host]:port, and an alias is taken to the letter.
    alias = url.host if url.effective_port == 22 else f"[{url.host}]:{url.effective_port}"
    options = {
        "BatchMode": "yes",
        "CheckHostIP": "no",
        "ClearAllForwardings": "yes",
        "HostKeyAlias": alias,
        "HostName": address,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes" if credentials.known_hosts else "accept-new",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": os.devnull,
    }
    command = ["ssh", "-F", os.devnull, "-i", os.devnull]
    if credentials.deploy_key:
        key = home / "deploy_key"
        _write(key, _lines(credentials.deploy_key), 0o600)
        command[-1] = str(key)
    command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return shlex.join(command)


def _lines(text: str) -> str:
    """With the line feed at the end without which ssh cannot read a key, and forms have lost it."""
    return text.replace("\r\n", "\n").strip() + "\n"


def _write(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", newline="\n") as file:
        file.write(text)
