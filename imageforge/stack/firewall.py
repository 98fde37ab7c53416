"""What a Docker Engine changes in the host's packet filter, remembered before and put back after.

dockerd adds chains, turns forwarding on and, where it was off, sets the policy of FORWARD to DROP; it takes none of
this back when it ends. Only what a private engine of ours brought is removed: where chains of Docker's were there
before, or another dockerd runs, everything is left as it is.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
from pathlib import Path

from imageforge.stack.process import name_of

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
TABLES = ("filter", "nat")
USER_CHAIN = "DOCKER-USER"
ENGINE_BRIDGE = re.compile(r"br-[0-9a-f]{12}")
"""What an engine calls the bridges of the networks that it makes."""


def remember(file: Path) -> None:
    """Write down how things are, unless that was done before and not yet put back."""
    if file.exists():
        return
    rules = {table: _rules(table) for table in TABLES}
    file.write_text(json.dumps({"rules": rules, "forwarding": FORWARDING.read_text().strip()}))


def restore(file: Path, bridge: str) -> None:
    """Put back what `remember` wrote down; `bridge` is the engine's own. Best effort: without iptables there is nothing
    to put back."""
    try:
        before = json.loads(file.read_text())
    except (OSError, ValueError):
        return
    if _another_engine():
        return  # it uses the chains; what was written down stays, for when it has ended
    file.unlink(missing_ok=True)
    if any(_is_docker_chain(rule) for rules in before["rules"].values() for rule in rules):
        return
    for table in TABLES:
        for command in undo(before["rules"][table], _rules(table), bridge):
            _iptables(table, *command)
    policy = next((rule.split()[2] for rule in before["rules"]["filter"] if rule.startswith("-P FORWARD ")), "ACCEPT")
    _iptables("filter", "-P", "FORWARD", policy)
    if before["forwarding"] == "0":
        FORWARDING.write_text("0")


def undo(before: list[str], now: list[str], bridge: str) -> list[list[str]]:
    """The commands that take back what an engine added to a table (as `iptables -S` lists it): pure.

    Only rules that were not there before, and that lead to a chain of Docker's or name a bridge of this engine. Chains
    come last; DOCKER-USER is for the administrator's own rules, and goes only where it is empty.
    """
    added = [rule for rule in now if rule not in before]
    chains = [rule.split()[1] for rule in added if _is_docker_chain(rule)]
    own = [chain for chain in chains if chain != USER_CHAIN]
    rules = [
        ["-D", *shlex.split(rule)[1:]]
        for rule in added
        if rule.startswith("-A ") and rule.split()[1] not in own and _is_engine_s(rule, chains, bridge)
    ]
    return [*rules, *(["-F", chain] for chain in own), *(["-X", chain] for chain in chains)]


def _is_engine_s(rule: str, chains: list[str], bridge: str) -> bool:
    if rule == f"-A {USER_CHAIN} -j RETURN":
        return True
    words = rule.split()[2:]
    devices = [word for option, word in itertools.pairwise(words) if option in ("-i", "-o")]
    return any(chain in words for chain in chains) or any(
        device == bridge or ENGINE_BRIDGE.fullmatch(device) for device in devices
    )


def _is_docker_chain(rule: str) -> bool:
    return rule.startswith("-N DOCKER")


def _another_engine() -> bool:
    """Whether a dockerd runs that has this packet filter: one in another network namespace has its own."""
    mine = _network_of("self")
    return any(
        name_of(int(entry.name)) == "dockerd" and _network_of(entry.name) == mine
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
    )


def _network_of(process: str) -> int | None:
    try:
        return Path(f"/proc/{process}/ns/net").stat().st_ino
    except OSError:
        return None  # it has just ended


def _rules(table: str) -> list[str]:
    return _iptables(table, "-S").splitlines()


def _iptables(table: str, *arguments: str) -> str:
    command = ["iptables", "-w", "-t", table, *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
