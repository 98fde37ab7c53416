"""The resolv.conf that containers are given, and how the engine is kept from a resolver of its own in each. Pure.

In a network that it did not come with, the engine puts a resolver into every container, which passes on to ours what is
asked: twelve processes, one of itself and eleven of iptables, and of what a start takes of the processor a quarter, for
a hop that nobody needs. It has no setting for that. What it does have: it reads the options of resolv.conf before it
begins, and one that it cannot read has it leave the container with the nameservers that it was told, and say so in its
log (libnetwork's rebuildDNS; seen with 20.10). An engine that passes such an option over has its resolver there, and
nobody asks it. Since not every reader of resolv.conf is as patient as libc is, the containers see a file of ours, which
has none of this.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.discovery.links import Asked

PLACE = "/etc/resolv.conf"
_NDOTS = "ndots:"
_USUAL = "ndots:1"
"""What holds where no option says it (resolv.conf(5))."""


def names_file(said: Asked) -> str:
    """The text of the file (resolv.conf(5))."""
    lines = [f"nameserver {address}" for address in said.nameservers]
    lines += [" ".join(("search", *said.search))] if said.search else []
    lines += [" ".join(("options", *said.options))] if said.options else []
    return "".join(f"{line}\n" for line in lines)


def without_engines(said: Asked) -> Asked:
    """What the engine is told where the nameservers are to be asked by the container itself. The option that it cannot
    read comes first and says to libc, should it ever see it, what the one after it says."""
    known = next((option for option in said.options if option.startswith(_NDOTS)), _USUAL)
    return replace(said, options=(f"{known}:", *said.options))
