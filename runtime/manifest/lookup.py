"""How the containers of a pod look names up: dnsPolicy, dnsConfig and hostAliases."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import SUBDOMAIN, Many, Object, Shape, Text

CLUSTER = "ClusterFirst"
MOST_NAMESERVERS, MOST_SEARCHES = 3, 32
"""As in a cluster (kubernetes/pkg/apis/core/validation); the C library reads no more nameservers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alias:
    """A line of /etc/hosts."""

    address: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """What a pod says of it. `policy` is ``ClusterFirst`` (Services first), ``Default`` (as the machine does) or
    ``None`` (what is said here alone); `options` are those of resolv.conf, such as ``ndots:2``."""

    policy: str = CLUSTER
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()


_HOST = Text(pattern=SUBDOMAIN, says="a host name")
LOOKUP: dict[str, Shape] = {
    "dnsPolicy": Text(choices=(CLUSTER, "Default", "None", "ClusterFirstWithHostNet")),
    "dnsConfig": Object(
        fields={
            "nameservers": Many(item=Text()),
            "searches": Many(item=Text()),
            "options": Many(item=Object(fields={"name": Text(), "value": Text()}, required=("name",))),
        }
    ),
    "hostAliases": Many(
        item=Object(fields={"ip": Text(), "hostnames": Many(item=_HOST)}, required=("ip",)),
    ),
}
"""The fields of a pod."""


def lookup(pod: Cursor) -> Lookup:
    """From a tree that the schema has passed."""
    config, policy = pod.get("dnsConfig"), pod.get("dnsPolicy").plain(CLUSTER)
    servers = tuple(map(_address, config.get("nameservers").items()))
    searches = tuple(map(_domain, config.get("searches").items()))
    for name, said, most in (("nameservers", servers, MOST_NAMESERVERS), ("searches", searches, MOST_SEARCHES)):
        if len(said) > most:
            raise config.get(name).fail("invalid-value", f" has {len(said)} items, expected at most {most}")
    if policy == "None" and not servers:
        raise pod.get("dnsPolicy").fail(
            "missing-field", " is None, which needs a nameserver", hint="name one under `dnsConfig.nameservers`"
        )
    return Lookup(
        # Of a pod with a network of its own both say the same.
        policy=CLUSTER if policy == "ClusterFirstWithHostNet" else policy,
        nameservers=servers,
        searches=searches,
        options=tuple(map(_option, config.get("options").items())),
        aliases=tuple(
            Alias(address=_address(item.get("ip")), names=tuple(item.get("hostnames").plain([])))
            for item in pod.get("hostAliases").items()
        ),
    )


def _address(cursor: Cursor) -> str:
    try:
        return str(ip_address(cursor.plain()))
    except ValueError:
        raise cursor.fail("invalid-value", f' is "{cursor.plain()}", expected an IP address') from None


def _domain(cursor: Cursor) -> str:
    said: str = cursor.plain()
    if said != "." and not SUBDOMAIN.fullmatch(said.removesuffix(".")):
        raise cursor.fail("invalid-value", f' is "{said}", expected a domain')
    return said


def _option(cursor: Cursor) -> str:
    name, value = cursor.get("name").plain(), cursor.get("value").plain("")
    for item in (name, value):
        if set(item) & set(" \t\r\n:;#"):
            raise cursor.fail("invalid-value", f': "{item}" is no word of an option such as ndots:2')
    if not name:
        raise cursor.get("name").fail("invalid-value", " is empty")
    return f"{name}:{value}" if value else str(name)
