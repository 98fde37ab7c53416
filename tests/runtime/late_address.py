"""In a network of its own: HAProxy is started with an address that no bridge has yet, which then comes and goes.

Run by test_ports.py, by way of unshare(1).
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from runtime.balancer.balancer import Balancer
from runtime.balancer.config import Bind
from runtime.balancer.counters import Counters
from runtime.discovery import host
from tests.runtime.stack import Stack, make_settings
from tests.runtime.test_ports import Client, Echo, redis

ADDRESS = "192.0.2.9"


def main() -> None:
    """Raises AssertionError where something is not as it should be."""
    for words in ("link set lo up", "link add br-late type bridge", "link set br-late up"):
        subprocess.run(["ip", *words.split()], check=True)
    with tempfile.TemporaryDirectory(prefix="if-") as folder:
        stack = Stack(settings=make_settings(Path(folder), "abc", "", 8700), home=Path(folder))
        stack.start_haproxy()
        echo, where = Echo("a"), Bind(address=ADDRESS, port=80)
        balancer = Balancer(stack.settings, Counters())
        balancer.sync(lambda: [redis(80, echo.server, binds=(where,))])
        # As after a reboot, or where it died: it begins with the file.
        stack.stop_haproxy()
        stack.start_haproxy()
        assert balancer.sync(lambda: [redis(80, echo.server, binds=(where,))])
        assert not host.is_here(ADDRESS)
        assert not host.bridge_is_here("br-early")
        assert "br-early" in host.put(ADDRESS, "br-early")
        assert host.bridge_is_here("br-late")
        for _ in range(2):
            assert host.put(ADDRESS, "br-late") == ""
            assert host.put(ADDRESS, "br-late") == ""
            assert host.is_here(ADDRESS)
            with Client(where, ADDRESS) as client:
                assert client.name == "a"
            host.take(ADDRESS, "br-late")
            assert not host.is_here(ADDRESS)
        # Where the kernel lets anybody bind anything, the program is asked.
        host._NONLOCAL.write_text("1")
        assert not host.is_here(ADDRESS)
        host.put(ADDRESS, "br-late")
        assert host.is_here(ADDRESS)
        with socket.socket() as stranger:
            stranger.bind(("0.0.0.0", 81))
            stranger.listen()
            assert "is taken" in host.cannot_be_bound(Bind(address=ADDRESS, port=81))
        assert host.cannot_be_bound(where) == ""  # ours, which serves it
        echo.close()
        stack.stop_haproxy()


if __name__ == "__main__":
    main()
    sys.stdout.write("as it should be\n")
