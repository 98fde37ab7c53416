"""What a Docker Engine changes in the host's packet filter, remembered before and put back after.

dockerd adds chains, turns forwarding on and, where it was off, sets the policy of FORWARD to DROP; it takes none of
this back when it ends. Only what private engines of ours brought is removed: where chains of Docker's were there
before, or another dockerd runs, everything is left as it is.

What was there before is written down once a machine, by the first engine, and not in its home: several homes may have
engines at a time, and the one that came first, with its home, may be the first to go. The last one puts it back.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

from imageforge.stack.process import name_of

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
TABLES = ("filter", "nat")
BOOT_FOLDER = Path("/run/imageforge")
"""Gone after a reboot, as the packet filter is."""
OUR_BRIDGE = re.compile(r"ifg[0-9a-f]{8}")
"""What private engines of ours call theirs."""
USER_CHAIN = "DOCKER-USER"
ENGINE_BRIDGE = re.compile(r"br-[0-9a-f]{12}")
"""What an engine calls the bridges of the networks that it makes."""


def written_down(folder: Path = BOOT_FOLDER) -> Path:
    """Where it stands how things were before; each network namespace has a packet filter of its own."""
    return folder / f"firewall-before-{_network_of('self')}.json"


def remember(file: Path, *, earlier: Path | None = None) -> None:
    """Write down how things are, unless that was done before and not yet put back. `earlier` is where an older edition
    wrote it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if earlier is not None and earlier.exists():
        text = earlier.read_text()
    else:
        rules = {table: _rules(table) for table in TABLES}
        text = json.dumps({"rules": rules, "forwarding": FORWARDING.read_text().strip()})
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(text)
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(draft)  # of two at once, the first
    draft.unlink()
    if earlier is not None:
        earlier.unlink(missing_ok=True)


def restore(file: Path) -> None:
    """Put back what `remember` wrote down. Best effort: without iptables there is nothing to put back."""
    try:
        before = json.loads(file.read_text())
    except (OSError, ValueError):
        return
    if _another_engine():
        return  # it uses the chains; what was written down stays, for when it has ended
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        file.parent.rmdir()  # unless that of another network namespace is there
    if any(_is_docker_chain(rule) for rules in before["rules"].values() for rule in rules):
        return
    for table in TABLES:
        for command in undo(before["rules"][table], _rules(table)):
            _iptables(table, *command)
    policy = next((rule.split()[2] for rule in before["rules"]["filter"] if rule.startswith("-P FORWARD ")), "ACCEPT")
    _iptables("filter", "-P", "FORWARD", policy)
    if before["forwarding"] == "0":
        FORWARDING.write_text("0")


def undo(before: list[str], now: list[str]) -> list[list[str]]:
    """The commands that take back what an engine added to a table (as `iptables -S` lists it): pure.

    Only rules that were not there before, and that lead to a chain of Docker's or name a bridge of an engine. Chains
    come last; DOCKER-USER is for the administrator's own rules, and goes only where it is empty.
    """
    added = [rule for rule in now if rule not in before]
    chains = [rule.split()[1] for rule in added if _is_docker_chain(rule)]
    own = [chain for chain in chains if chain != USER_CHAIN]
    rules = [
        ["-D", *shlex.split(rule)[1:]]
        for rule in added
        if rule.startswith("-A ") and rule.split()[1] not in own and _is_engine_s(rule, chains)
    ]
    return [*rules, *(["-F", chain] for chain in own), *(["-X", chain] for chain in chains)]


def _is_engine_s(rule: str, chains: list[str]) -> bool:
    if rule == f"-A {USER_CHAIN} -j RETURN":
        return True
    words = rule.split()[2:]
    devices = [word for option, word in itertools.pairwise(words) if option in ("-i", "-o")]
    return any(chain in words for chain in chains) or any(
        OUR_BRIDGE.fullmatch(device) or ENGINE_BRIDGE.fullmatch(device) for device in devices
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
