"""The address of a git repository, and whether this machine may go there."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from imageforge.sources.errors import SourceFailed, SourceRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[..., list[Any]]
"""As socket.getaddrinfo."""

_PORTS = {"https": 443, "http": 80, "ssh": 22}
_LENGTH = 2048
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_SCP = re.compile(r"(?P<user>[^@/:]+)@(?P<host>\[[^\]]*\]|[^:/@\[]+):(?P<path>.*)")
_TOKEN = re.compile(r"gh[a-z]_|github_pat_|gl[a-z]+-|ATBB|ATCTT|x-token-auth|[A-Za-z0-9]{32,}")
"""How the tokens of the large hosts begin; someone's name is rarely 32 letters and digits without a break."""
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_SPECIAL = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16 198.18.0.0/15
224.0.0.0/4 240.0.0.0/4 ::/127 64:ff9b:1::/48 100::/64 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""
_REFUSED = tuple(map(ipaddress.ip_network, _SPECIAL.split()))
"""RFC 6890's special registries, as far as something could answer there. Python's own flags are asked as well: they
know more, but their answers differ between patch releases."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, kw_only=True, slots=True)
class GitPolicy:
    """Where repositories may lie: plain HTTP, and private networks, only if somebody said so."""

    allow_http: bool = False
    allow_networks: tuple[Network, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GitUrl:
    """A checked address. `host` is in lower case and without brackets; a `path` without a leading slash (scp-like
    addresses only) is relative to the user's home there."""

    scheme: str
    user: str | None
    host: str
    port: int | None
    path: str

    @property
    def effective_port(self) -> int:
        """The port, said or not."""
        return self.port or _PORTS[self.scheme]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        if not self.path.startswith("/"):
            return f"{user}{host}:{self.path}"
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{host}{port}{self.path}"


def parse_git_url(text: str, policy: GitPolicy = GitPolicy()) -> GitUrl:
    """`https://host/path`, `ssh://user@host[:port]/path` or `user@host:path`, and nothing else.

    Raises SourceRefused (`git-url-refused`), whose text never repeats a password.
    """
    if not text or len(text) > _LENGTH or not text.isprintable() or " " in text or "\\" in text:
        raise _refused(text, "empty, too long, or with spaces, backslashes or control characters")
    if text.startswith("-"):
        raise _refused(text, "begins with -, which git takes for an option")
    if "://" not in text:
        return _scp(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refused(text, "the host or the port is malformed", "a port is 1 to 65535") from error
    scheme = text.split("://", 1)[0].lower()
    if scheme == "http" and not policy.allow_http:
        raise _refused(
            text,
            "plain http, which anybody on the way can change",
            "use https://; an administrator can allow it: git_http",
        )
    if scheme not in _PORTS:
        raise _refused(text, f"the scheme {ascii(scheme)[:40]} is not allowed", "use https:// or ssh://")
    return _url(text, parts, scheme, port)


def check_host(url: GitUrl, policy: GitPolicy, resolve: Resolve = socket.getaddrinfo) -> tuple[str, ...]:
    """The host's addresses, each of them outside of this machine and its networks (or in `allow_networks`).

    One answer that is inside refuses the host: git would be free to take it. Raises SourceRefused
    (`git-host-refused`) and SourceFailed (`git-unreachable`).
    """
    return check_place(url.host, url.effective_port, policy.allow_networks, resolve)


def check_place(
    host: str, port: int, allow_networks: tuple[Network, ...], resolve: Resolve = socket.getaddrinfo
) -> tuple[str, ...]:
    """The same for any host and port."""
    try:
        answers = resolve(host, port, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
        parsed = [ipaddress.ip_address(address) for address in addresses]
    except (OSError, UnicodeError, ValueError) as error:
        raise SourceFailed(
            "git-unreachable", host, f"the name does not resolve: {error}", hint="check the host's spelling"
        ) from error
    if not parsed:
        raise SourceFailed("git-unreachable", host, "has no address", hint="check the host's spelling")
    for address in parsed:
        if not _allowed(address, allow_networks):
            raise SourceRefused(
                "git-host-refused",
                host,
                f"resolves to {address}, which is not on the public internet",
                hint="an administrator can allow the network",
            )
    return addresses


def _scp(text: str) -> GitUrl:
    if re.match(r"[A-Za-z0-9+.-]+::", text):
        raise _refused(text, "a remote helper (transport::address) is not allowed", "use https:// or ssh://")
    match = _SCP.fullmatch(text)
    if not match:
        raise _refused(text, "not an address of a repository elsewhere", "use https://host/path or git@host:path")
    user, host, path = match["user"], match["host"], match["path"]
    return GitUrl(
        scheme="ssh", user=_user(text, user), host=_host(text, host.strip("[]")), port=None, path=_path(text, path)
    )


def _url(text: str, parts: SplitResult, scheme: str, port: int | None) -> GitUrl:
    # A password may hold anything: once there is one, nothing of the text is said again.
    if parts.password is not None or (scheme != "ssh" and parts.username and _TOKEN.match(parts.username)):
        raise SourceRefused(
            "git-url-refused",
            _masked(text),
            "a password or token is in the address, where logs and pages show it",
            hint="leave it out and set a deploy token",
        )
    if port == 0 or parts.netloc.endswith(":"):
        raise _refused(text, "the port is malformed", "a port is 1 to 65535")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise _refused(text, "has a query or a fragment", "give the branch or tag separately")
    user = _user(text, parts.username) if parts.username is not None else None
    return GitUrl(
        scheme=scheme,
        user=user,
        host=_host(text, parts.hostname or ""),
        port=None if port == _PORTS[scheme] else port,
        path=_path(text, parts.path),
    )


def _user(text: str, user: str) -> str:
    if not _USER.fullmatch(user):
        raise _refused(text, "the user's name is malformed", "most hosts want git@")
    return user


def _host(text: str, host: str) -> str:
    host = host.lower()
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else _fail()
        except ValueError as error:
            raise _refused(text, "the host is malformed") from error
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise _refused(text, "the host is empty or malformed", "write an international name as xn--…")
    if _NUMERIC.fullmatch(host.rsplit(".", 1)[-1]):
        # What resolvers read as an IPv4 address: 2130706433, 0x7f.1 and 0177.0.0.1 are all this machine.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise _refused(text, "an odd spelling of an IPv4 address", "write four decimal numbers") from error
    return host


def _fail() -> str:
    raise ValueError("an address with a zone")


def _path(text: str, path: str) -> str:
    parts = path.split("/")
    if not path.strip("/") or path.startswith("-") or ".." in parts or "." in parts:
        raise _refused(text, "the path is empty, begins with -, or has . or .. in it", "name the repository")
    return path


def _allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    if _within(address, networks):
        return True
    inner = _embedded(address)
    if inner:
        return all(_within(each, networks) or _public(each) for each in inner)
    return _public(address)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _public(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local)
        and not _within(address, _REFUSED)
    )


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to an IPv6 address would go to in the end."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


def _masked(text: str) -> str:
    scheme, _, rest = text.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}"[:200]


def _refused(text: str, problem: str, hint: str = "use https://host/path or git@host:path") -> SourceRefused:
    shown = _masked(text) if "://" in text and "@" in text else text
    return SourceRefused("git-url-refused", ascii(shown[:200]), problem, hint=hint)
