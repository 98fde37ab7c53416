"""The ports that a home needs, and the addresses of its private engine: whoever is in the way is named."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack.doctor import Level, examine
from imageforge.stack.listeners import listeners, refuse_taken
from imageforge.stack.ports import holder
from imageforge.stack.private_engine import overlap
from imageforge.stack.process import identify, write_pid_file
from tests.ports import unused_port


@pytest.fixture
def taken() -> Iterator[Settings]:
    """Settings of which the ports of API and registry are taken, and that of the balancer is not."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(3):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", unused_port()))
            listener.listen()
            ports.append(listener)
        settings = Settings(
            **dict(zip(("api_port", "registry_port", "http_port"), (p.getsockname()[1] for p in ports), strict=True))
        )
        ports[2].close()
        yield settings


def test_all_taken_ports_are_told_in_one_error(taken: Settings) -> None:
    with pytest.raises(StackError) as caught:
        refuse_taken(listeners(taken), taken)
    error = caught.value
    assert error.code == "port-taken"
    assert error.subject == f"127.0.0.1:{taken.api_port}, 127.0.0.1:{taken.registry_port}"
    assert f"the api needs {taken.api_port}" in error.message
    assert f"the registry needs {taken.registry_port}" in error.message
    assert error.message.count(f"(pid {os.getpid()})") == 2
    assert "IMAGEFORGE_API_PORT=… IMAGEFORGE_REGISTRY_PORT=…" in (error.hint or "")
    assert "http_port" not in (error.hint or "")


def test_one_taken_port_is_the_subject(taken: Settings) -> None:
    only = [one for one in listeners(taken) if one.service == "api"]
    with pytest.raises(StackError) as caught:
        refuse_taken(only, taken)
    assert caught.value.subject == f"127.0.0.1:{taken.api_port}"
    assert f"the api needs it, but {holder('127.0.0.1', taken.api_port)}" in caught.value.message
    refuse_taken((one for one in listeners(taken) if one.service == "balancer"), taken)


def test_doctor_tells_free_ports_ours_and_those_of_others(taken: Settings, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    me = identify(os.getpid())
    assert me is not None
    write_pid_file(home.run / "registry.pid", me)
    checks = {check.name: check for check in examine(home, taken)}
    assert checks["entry port"].found == f"127.0.0.1:{taken.http_port}, free"
    assert checks["registry port"].found == f"127.0.0.1:{taken.registry_port}, held by our registry"
    assert checks["registry port"].level is checks["entry port"].level is Level.OK
    assert checks["api port"].level is Level.MISSING
    assert f"taken: {holder('127.0.0.1', taken.api_port)}" in checks["api port"].found
    assert "IMAGEFORGE_API_PORT" in checks["api port"].fix


def test_a_connection_of_others_on_a_port_is_no_listener_and_doctor_warns_of_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        port = client.getsockname()[1]
        settings = Settings(http_port=unused_port(), registry_port=unused_port(), api_port=port)
        with pytest.raises(StackError) as caught:
            refuse_taken(listeners(settings), settings)
        assert caught.value.subject == f"127.0.0.1:{port}"
        assert f"(pid {os.getpid()}) has it for an outgoing connection" in caught.value.message
        server.accept()[0].close()
    checks = {check.name: check for check in examine(home, settings)}
    assert checks["entry port"].level is Level.OK
    assert checks["api port"].level is Level.WARNING
    assert f"sysctl net.ipv4.ip_local_reserved_ports={port}" in checks["api port"].fix


def test_a_listener_of_one_address_is_in_the_way_of_who_wants_them_all() -> None:
    port = unused_port()
    with socket.create_server(("127.0.0.1", port)):
        found = holder("0.0.0.0", port)
        assert found is not None
        assert (found.pid, found.connected) == (os.getpid(), False)
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", port))
        found = holder("127.0.0.1", port)
        assert found is not None
        assert not found.connected


def test_a_living_daemon_of_ours_does_not_excuse_a_stranger_on_its_port(taken: Settings, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        identity = identify(other.pid)
        assert identity is not None
        write_pid_file(home.run / "api.pid", identity)
        (check,) = [check for check in examine(home, taken) if check.name == "api port"]
        other.kill()
    assert check.level is Level.MISSING


HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def route(device: str, destination: str, mask: str) -> str:
    return f"{device}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


DEFAULT = route("eth0", "00000000", "00000000")
OURS = route("ifg0000aaaa", "0000D30A", "00FFFFFF")
A_NETWORK = route("br-0123456789ab", "0080D30A", "00FFFFFF")
VPN = route("wg0", "0000000A", "000000FF")


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        (DEFAULT, None),
        (DEFAULT + route("eth0", "0000D40A", "0000FFFF"), None),
        (DEFAULT + VPN, "10.0.0.0/8 is routed to wg0 already"),
        (DEFAULT + OURS + A_NETWORK, None),
        (OURS + VPN, "10.0.0.0/8 is routed to wg0 already"),
        (route("ifg0000bbbb", "0000D30A", "00FFFFFF"), "10.211.0.0/24 is routed to ifg0000bbbb already"),
        (A_NETWORK, "10.211.128.0/24 is routed to br-0123456789ab already"),
    ],
    ids=["free", "beside", "vpn", "ours", "vpn over ours", "another home", "another engine"],
)
def test_what_leads_to_the_addresses_of_the_pool_is_named(routes: str, found: str | None) -> None:
    assert overlap(HEAD + routes, ipaddress.IPv4Network("10.211.0.0/16"), "ifg0000aaaa") == found
