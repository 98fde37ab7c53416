"""What a Docker Engine changes in the host's packet filter, remembered before and put back after.

dockerd adds chains, turns forwarding on and, where it was off, sets the policy of FORWARD to DROP; it takes none of
this back when it ends. Only what a private engine of ours brought is removed: where chains of Docker's were there
before, or another dockerd runs, everything is left as it is.
"""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from pathlib import Path

from imageforge.stack.process import name_of

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
TABLES = ("filter", "nat")


def remember(file: Path) -> None:
    """Write down how things are, unless that was done before and not yet put back."""
    if file.exists():
        return
    rules = {table: _rules(table) for table in TABLES}
    policy = next((rule.split()[2] for rule in rules["filter"] if rule.startswith("-P FORWARD ")), "ACCEPT")
    docker = any(_is_docker_chain(rule) for table in TABLES for rule in rules[table])
    file.write_text(json.dumps({"docker": docker, "policy": policy, "forwarding": FORWARDING.read_text().strip()}))


def restore(file: Path) -> None:
    """Put back what `remember` wrote down. Best effort: without iptables there is nothing to put back."""
    try:
        before = json.loads(file.read_text())
    except (OSError, ValueError):
        return
    file.unlink(missing_ok=True)
    if before["docker"] or _another_engine():
        return
    for table in TABLES:
        _remove_docker(table)
    _iptables("filter", "-P", "FORWARD", before["policy"])
    if before["forwarding"] == "0":
        FORWARDING.write_text("0")


def docker_rules(rules: list[str]) -> list[list[str]]:
    """The commands that undo Docker's rules of a table (as `iptables -S` lists it): pure. Rules first, then the chains
    that they lead to, emptied before they are deleted."""
    chains = [rule.split()[1] for rule in rules if _is_docker_chain(rule)]
    mine = [
        ["-D", *shlex.split(rule)[1:]]
        for rule in rules
        if rule.startswith("-A ") and rule.split()[1] not in chains and _mentions(rule, chains)
    ]
    return [*mine, *(["-F", chain] for chain in chains), *(["-X", chain] for chain in chains)]


def _mentions(rule: str, chains: list[str]) -> bool:
    """A rule that leads to one of Docker's chains, or that speaks of a bridge of an engine's."""
    words = rule.split()
    bridges = ("br-", "ifg", "docker0")
    return any(chain in words for chain in chains) or any(
        word.startswith(bridges) for option, word in itertools.pairwise(words) if option in ("-i", "-o")
    )


def _is_docker_chain(rule: str) -> bool:
    return rule.startswith("-N DOCKER")


def _remove_docker(table: str) -> None:
    for command in docker_rules(_rules(table)):
        _iptables(table, *command)


def _another_engine() -> bool:
    return any(name_of(int(entry.name)) == "dockerd" for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _rules(table: str) -> list[str]:
    return _iptables(table, "-S").splitlines()


def _iptables(table: str, *arguments: str) -> str:
    command = ["iptables", "-w", "-t", table, *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
