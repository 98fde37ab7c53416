"""A Docker Engine of our own, for hosts where none answers: everything it has lies below the home.

It shares the machine with whatever Docker comes later, so it has its own bridge, address pool, sockets, pid file and
folders, and reads no configuration of the host's.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack import firewall
from imageforge.stack.process import identify, name_of

DEFAULT_MTU = 1500
OTHER_POOL = "choose another: IMAGEFORGE_ENGINE_POOL=10.220.0.0/16, or engine_pool in settings.toml"
GET_MTU = 0x8921
"""SIOCGIFMTU of netdevice(7)."""
SHIM = "containerd-shim"
"""As the kernel has its name, of which it keeps fifteen characters: one a container, and it outlives the engine."""


def bridge_name(home: Home) -> str:
    """The engine's default bridge; interface names have at most 15 characters."""
    return f"ifg{home.instance}"


def argv(home: Home) -> tuple[str, ...]:
    """The command line; options that only the configuration file takes are written by `prepare`."""
    return ("dockerd", "--config-file", str(_config_file(home)))


def prepare(home: Home, settings: Settings) -> None:
    """Write the configuration, make the bridge, and clear what a crash or a reboot left behind."""
    pool = ipaddress.IPv4Network(settings.engine_pool)
    upper = list(pool.subnets(prefixlen_diff=1))[1]
    _config_file(home).write_text(
        json.dumps(
            {
                "hosts": [f"unix://{home.engine_socket}"],
                "data-root": str(home.state / "docker"),
                "exec-root": str(home.run / "docker"),
                "pidfile": str(_pid_file(home)),
                "bridge": bridge_name(home),
                # Half of a namespace's addresses are for containers, the other for Services.
                "default-address-pools": [{"base": str(upper), "size": 23}],
                "mtu": mtu(),
                # Applications live on while the daemon is restarted.
                "live-restore": True,
                "log-level": "warn",
            },
            indent=2,
        )
    )
    _clear_stale(_pid_file(home), "dockerd")
    _clear_stale(home.run / "docker" / "containerd" / "containerd.pid", "containerd")
    firewall.remember(firewall.written_down(), earlier=home.run / "firewall-before.json")
    gateway = next(iter(pool.subnets(new_prefix=24)))
    _ensure_bridge(home, settings, f"{gateway.network_address + 1}/24")


def clean(home: Home) -> None:
    """After the engine has ended: its bridge, its mounts and its socket."""
    if home.exists and _config_file(home).exists():  # one was started here
        # A home that was restored from this one's backup has its instance, and so its bridge.
        if not _another_uses_the_bridge(home):
            subprocess.run(["ip", "link", "delete", bridge_name(home)], capture_output=True, check=False)
        if (home.run / "firewall-before.json").exists():
            firewall.remember(firewall.written_down(), earlier=home.run / "firewall-before.json")
        firewall.restore(firewall.written_down())
    unmount_below(home.run)
    unmount_below(home.state)
    home.engine_socket.unlink(missing_ok=True)


def end_containers(home: Home) -> None:
    """After the engine has ended, and for good: containers of which it lost sight, as one that was killed in the middle
    of a start may."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or name_of(int(entry.name)) != SHIM:
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_text().split("\0")
            if any(word.startswith(f"{home.path}/") for word in words):
                _end_with_children(int(entry.name))


def _end_with_children(shim: int) -> None:
    """The shim first: it would tell of its container's end, and nobody is there to hear it."""
    children = [int(word) for word in Path(f"/proc/{shim}/task/{shim}/children").read_text().split()]
    for pid in (shim, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def unmount_below(folder: Path) -> None:
    """Unmount whatever an engine left mounted under a folder, innermost first."""
    prefix = f"{folder}/"
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(prefix)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def unavailable() -> str | None:
    """Why no engine can be started here, or None when one can."""
    if os.uname().sysname != "Linux":
        return "this is not Linux"
    if os.geteuid() != 0:
        return "only root can start one"
    if shutil.which("dockerd") is None:
        return "dockerd is not installed"
    return None


def _another_uses_the_bridge(home: Home) -> bool:
    """Whether the dockerd of another home runs on a bridge of this name."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or name_of(int(process.name)) != "dockerd":
            continue
        try:
            words = (process / "cmdline").read_text().split("\0")
            config = Path(words[words.index("--config-file") + 1])
            bridge = json.loads(config.read_text()).get("bridge")
        except (OSError, ValueError, IndexError, AttributeError):
            continue
        if bridge == bridge_name(home) and config != _config_file(home):
            return True
    return False


def _config_file(home: Home) -> Path:
    return home.state / "dockerd.json"


def _pid_file(home: Home) -> Path:
    return home.run / "dockerd.own.pid"


def _clear_stale(file: Path, program: str) -> None:
    """dockerd refuses to start when its pid file names any living process, which after a reboot may be a stranger."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        file.unlink(missing_ok=True)
        return
    # A zombie has the name still, and dockerd takes it for a living one; where process 1 reaps nobody it stays.
    if name_of(pid) != program or identify(pid) is None:
        file.unlink(missing_ok=True)


def _ensure_bridge(home: Home, settings: Settings, address: str) -> None:
    name = bridge_name(home)
    # Asked of the kernel: in a network namespace /sys may still show the host's interfaces.
    with contextlib.suppress(OSError):
        socket.if_nametoindex(name)
        return
    _refuse_overlap(home, settings)
    for command in (
        ["ip", "link", "add", name, "type", "bridge"],
        ["ip", "address", "add", address, "dev", name],
        ["ip", "link", "set", name, "up"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
            raise StackError(
                "bridge-failed",
                name,
                f"`{' '.join(command)}` said: {done.stderr.strip()}",
                hint="the private engine needs a network bridge of its own; set engine_pool if its addresses are taken",
            )


def pool_clash(home: Home, settings: Settings) -> str | None:
    """What else the addresses of the pool lead to, if anything: two routes to the same ones lose packets of both;
    another home's private engine is the likely one. The networks of this home's own engine do not count."""
    pool = ipaddress.IPv4Network(settings.engine_pool)
    own = bridge_name(home) if home.exists else ""
    return overlap(Path("/proc/net/route").read_text(), pool, own)


def overlap(routes: str, pool: ipaddress.IPv4Network, own: str) -> str | None:
    """The first route to addresses of the pool, in words. `routes` is as /proc/net/route has them, `own` the engine's
    bridge: where it is there, so are the bridges of that engine's networks."""
    rows = [row.split() for row in routes.splitlines()[1:]]
    runs = any(row[0] == own for row in rows)
    for device, destination, *more in rows:
        network = route_network(destination, more[5])
        mine = device == own or (runs and firewall.ENGINE_BRIDGE.fullmatch(device))
        if network.prefixlen and network.overlaps(pool) and not mine:
            return f"{network} is routed to {device} already"
    return None


def _refuse_overlap(home: Home, settings: Settings) -> None:
    clash = pool_clash(home, settings)
    if clash:
        raise StackError("pool-taken", settings.engine_pool, clash, hint=OTHER_POOL)


def route_network(destination: str, mask: str) -> ipaddress.IPv4Network:
    """A network as /proc/net/route spells it: hexadecimal, the host's byte order."""
    address, netmask = (ipaddress.IPv4Address(bytes.fromhex(word)[::-1]) for word in (destination, mask))
    return ipaddress.IPv4Network(f"{address}/{netmask}")


def mtu() -> int:
    """The MTU of the default route: a bridge with a larger one loses packets where ICMP is filtered."""
    try:
        rows = [row.split() for row in Path("/proc/net/route").read_text().splitlines()[1:]]
        device = next(row[0] for row in rows if row[1] == "00000000")
        with socket.socket() as any_socket:
            request = struct.pack("16sI12x", device.encode(), 0)
            answer = fcntl.ioctl(any_socket, GET_MTU, request)
        return int(struct.unpack("16sI12x", answer)[1])
    except (OSError, StopIteration, IndexError):
        return DEFAULT_MTU
