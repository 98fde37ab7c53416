"""What the resolver answers by itself: everything below the cluster's domain, and nothing else. Pure.

The only module here that imports dnspython.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from runtime.discovery.zone import CLUSTER, Zone

TTL = 5
"""Seconds for which an answer may be kept; a cluster's name server says the same."""
LARGEST_DATAGRAM = 1232
"""Bytes that no network takes apart (DNS flag day 2020); an asker may say that it takes fewer, not more."""
SMALLEST_DATAGRAM = 512
_HEADER = struct.Struct("!HHHHHH")
_SERVER_FAILURE = 2
_OWN = dns.name.from_text(CLUSTER)
_ANSWER_BITS = 0x8080
"""This is an answer, and recursion is available."""


def answer(query: bytes, zone: Zone, *, datagram: bool) -> bytes | None:
    """The answer to a query; None for a name of others, whose query goes to the host's resolvers as it is. Raises
    ValueError for what is no query, of which nothing can be said."""
    try:
        asked = dns.message.from_wire(query)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"no query: {error}") from error
    if asked.flags & dns.flags.QR:
        raise ValueError("no query: it is an answer")
    if asked.opcode() != dns.opcode.QUERY or len(asked.question) != 1:
        return _refusal(asked, dns.rcode.NOTIMP)
    question = asked.question[0]
    if not question.name.is_subdomain(_OWN):
        return None
    said = _own_answer(asked, question, zone)
    largest = max(SMALLEST_DATAGRAM, min(asked.payload, LARGEST_DATAGRAM)) if datagram else 65535
    return said.to_wire(max_size=largest, prefer_truncation=True)


def failure(query: bytes) -> bytes:
    """What is answered where none of the host's resolvers said anything; empty for what is too short to be answered."""
    if len(query) < _HEADER.size:
        return b""
    number, flags, *counts = _HEADER.unpack_from(query)
    return _HEADER.pack(number, (flags | _ANSWER_BITS) & 0xFFF0 | _SERVER_FAILURE, *counts) + query[_HEADER.size :]


def belongs_to(answered: bytes, query: bytes) -> bool:
    """Whether it answers this query, by its number."""
    return len(answered) >= _HEADER.size and answered[:2] == query[:2] and bool(answered[2] & 0x80)


def _refusal(asked: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    said = dns.message.make_response(asked, recursion_available=True)
    said.set_rcode(code)
    return said.to_wire()


def _own_answer(asked: dns.message.Message, question: dns.rrset.RRset, zone: Zone) -> dns.message.Message:
    said = dns.message.make_response(asked, recursion_available=True)
    said.flags |= dns.flags.AA
    name = question.name.to_text(omit_final_dot=True).lower()
    addresses = zone.names.get(name, ())
    if addresses and question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY):
        # The library writes them in another order each time, so that who takes the first takes another.
        said.answer.append(dns.rrset.from_text_list(question.name, TTL, "IN", "A", addresses))
        return said
    if not _exists(name, zone):
        said.set_rcode(dns.rcode.NXDOMAIN)
    # By it the asker knows how long it may take the name for unknown.
    said.authority.append(
        dns.rrset.from_text(_OWN, TTL, "IN", "SOA", f"ns.dns.{CLUSTER}. hostmaster.{CLUSTER}. 1 7200 1800 86400 {TTL}")
    )
    return said


def _exists(name: str, zone: Zone) -> bool:
    """Whether the name is one, perhaps without an address of this kind, or one stands below it (RFC 8020)."""
    return name == CLUSTER or name in zone.names or any(known.endswith(f".{name}") for known in zone.names)


def listed(text: str, own: Sequence[str] = ()) -> tuple[str, ...]:
    """The resolvers in the text of resolv.conf(5), without those that are ours."""
    words = (line.split() for line in text.splitlines())
    found = (line[1] for line in words if len(line) > 1 and line[0] == "nameserver")
    return tuple(dict.fromkeys(address for address in found if address not in own))
