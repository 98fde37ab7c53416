"""Let's Encrypt's ACME server for tests, Pebble, and its DNS server, which leads every name to one address."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.authority import TestAuthority
from tests.ports import unused_port


@contextmanager
def pebble(folder: Path, authority: TestAuthority, *, address: str, http_port: int) -> Iterator[str]:
    """Its directory's address, for as long as the block lasts. It checks names by HTTP on `http_port` of `address`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, management, dns = unused_port(), unused_port(), unused_port()
    certificate, key = authority.issue("localhost")
    (folder / "pebble.crt").write_bytes(certificate)
    (folder / "pebble.key").write_bytes(key)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "pebble.crt"),
        "privateKey": str(folder / "pebble.key"),
        "httpPort": http_port,
        "tlsPort": unused_port(),
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    names = ["pebble-challtestsrv", "-defaultIPv4", address, "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}"]
    names += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{unused_port()}"]
    server = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
    # Real servers wait a while before they look. Every fifth nonce is refused, as one may be at any time.
    environ = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"}
    with (folder / "pebble.log").open("wb") as log:
        started = [subprocess.Popen(command, env=environ, stdout=log, stderr=log) for command in (names, server)]
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            alive = time.monotonic() < deadline and started[1].poll() is None
            assert alive, (folder / "pebble.log").read_text()
            time.sleep(0.02)
        yield f"https://localhost:{port}/dir"
    finally:
        for child in started:
            child.terminate()
            child.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
