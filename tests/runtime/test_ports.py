"""A real HAProxy that serves ports of Services by their own addresses, here some of loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.balancer.balancer import Balancer
from runtime.balancer.config import Backend, Bind, Server, render, stamp
from runtime.balancer.counters import Counters
from runtime.balancer.program import check
from runtime.manifest.model import Protocol
from tests.runtime.stack import ROOT, Stack, make_settings, wait_for


class Echo:
    """A TCP server that says its name when a client comes, and then each line again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.server = Server(name=name, address="127.0.0.1", port=self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        # The listener is closed while somebody waits at it, which some kernels tell as a descriptor that is none.
        with contextlib.suppress(OSError, ValueError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.sendall(f"{self.name}\n".encode())
            while data := client.recv(100):
                client.sendall(data)

    def close(self) -> None:
        self._listener.close()


class Client:
    """A connection to an `Echo`, by way of HAProxy."""

    def __init__(self, bind: Bind, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((bind.address, bind.port), timeout=10, source_address=(source, 0))
        self._file = self._socket.makefile("rb")
        self.name = self._file.readline().decode().strip()

    def echoes(self, word: str) -> bool:
        self._socket.sendall(f"{word}\n".encode())
        return self._file.readline() == f"{word}\n".encode()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def stack(short_path: Path, free_port: int) -> Iterator[Stack]:
    made = Stack(settings=make_settings(short_path, "abc", "", free_port), home=short_path)
    made.start_haproxy()
    yield made
    made.stop_haproxy()


@pytest.fixture
def balancer(stack: Stack) -> Balancer:
    return Balancer(stack.settings, Counters())


@pytest.fixture
def echoes() -> Iterator[tuple[Echo, Echo]]:
    pair = Echo("a"), Echo("b")
    yield pair
    for echo in pair:
        echo.close()


def bind_of(port: int) -> Bind:
    return Bind(address="127.0.0.61", port=port)


def redis(port: int, *servers: Server, **more: object) -> Backend:
    made = Backend(name="n_redis", hosts=(), servers=servers, binds=(bind_of(port),), protocol=Protocol.TCP)
    return replace(made, **more)  # type: ignore[arg-type]


def sync(balancer: Balancer, *backends: Backend) -> None:
    balancer.sync(lambda: backends)
    assert balancer.error is None


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("affinity", [0, 60])
def test_haproxy_finds_it_valid(short_path: Path, protocol: Protocol, affinity: int) -> None:
    home = short_path / "with space (and) 'quote'"
    home.mkdir()
    settings = make_settings(home, "abc", "", 8700)
    server = Server(name="a", address="10.0.0.1", port=80)
    # The address is not there, as after a reboot.
    absent = Bind(address="192.0.2.9", port=80)
    backend = redis(80, server, binds=(absent,), protocol=protocol, affinity=affinity, least_connections=True)
    (home / "haproxy.cfg").write_text(render(settings, [backend]))
    (home / "hosts.map").write_text("")
    assert check(home / "haproxy.cfg") == ""
    assert stamp(settings, [backend]) == stamp(settings, [replace(backend, servers=())])
    others = [redis(80), redis(81), redis(80, protocol=Protocol.HTTP), redis(80, affinity=9)]
    assert len({stamp(settings, [backend]), *(stamp(settings, [other]) for other in others)}) == 5


def test_connections_take_turns_and_outlive_a_replica_that_goes(
    balancer: Balancer, echoes: tuple[Echo, Echo], free_port: int
) -> None:
    """By the connection: a server that goes gets no new one, and keeps those that it has until they end."""
    a, b = echoes
    sync(balancer, redis(free_port + 1, a.server, b.server))
    where = bind_of(free_port + 1)
    with Client(where) as one, Client(where) as two:
        assert {one.name, two.name} == {"a", "b"}
        old = one if one.name == "a" else two
        balancer.withdraw("a")
        with Client(where) as three, Client(where) as four:
            assert (three.name, four.name) == ("b", "b")
        assert old.echoes("still here")
        over = threading.Event()
        assert not balancer.wait_idle("a", 0, over)
    wait_for(lambda: balancer.wait_idle("a", 0, over))
    sync(balancer, redis(free_port + 1, b.server))
    wait_for(lambda: balancer.counters("n_redis").requests == 4)
    counted = balancer.counters("n_redis")
    assert (counted.failed, counted.errors_5xx, counted.per_replica) == (0, 0, {"a": 1, "b": 3})


def test_the_last_one_serves_on_until_another_does(
    balancer: Balancer, echoes: tuple[Echo, Echo], free_port: int
) -> None:
    a, b = echoes
    where = bind_of(free_port + 1)
    sync(balancer, redis(free_port + 1, a.server))
    assert not balancer.let_go("a", unless_last=True)
    sync(balancer, redis(free_port + 1, a.server))
    with Client(where) as client:
        assert client.name == "a"
    # Two that end stay for each other's sake, and no longer.
    sync(balancer, redis(free_port + 1, a.server, b.server))
    assert balancer.let_go("a", unless_last=True)
    assert not balancer.let_go("b", unless_last=True)
    # Who decides still wants both, for neither knows of the other.
    sync(balancer, redis(free_port + 1, a.server, b.server))
    with Client(where) as client:
        assert client.name == "b"
    assert balancer.let_go("b")
    sync(balancer, redis(free_port + 1, a.server, b.server))
    with socket.create_connection((where.address, where.port), timeout=10) as refused:
        assert refused.recv(1) == b""
    assert balancer.counters("n_redis").failed == 1


def test_a_client_keeps_its_replica_over_a_reload(
    balancer: Balancer, echoes: tuple[Echo, Echo], free_port: int
) -> None:
    a, b = echoes
    one = redis(free_port + 1, a.server, b.server, affinity=60)
    where = bind_of(free_port + 1)
    sync(balancer, one)
    sources = [f"127.0.0.{number}" for number in range(101, 107)]
    first: dict[str, str] = {}
    for source in sources:
        with Client(where, source) as client:
            first[source] = client.name
    assert set(first.values()) == {"a", "b"}
    for _ in range(2):
        for source in sources:
            with Client(where, source) as client:
                assert client.name == first[source]
        # Another Service comes: a reload.
        sync(balancer, one, replace(one, name="n_other", binds=(bind_of(free_port + 2),)))
    balancer.withdraw("a")
    for source in sources:
        with Client(where, source) as client:
            assert client.name == "b"


class Sockets(Echo):
    """Answers a request with 101, and then each line again, as a websocket's server does."""

    def _serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as lines:
            while lines.readline().strip():
                pass
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        client.sendall(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        super()._serve(client)


def test_a_websocket_is_waited_for(balancer: Balancer, free_port: int) -> None:
    """A replica that goes gets no new request, and is idle when its last websocket was closed."""
    server = Sockets("a")
    backend = redis(free_port + 1, server.server, protocol=Protocol.HTTP)
    sync(balancer, backend)
    over = threading.Event()
    with socket.create_connection(("127.0.0.61", free_port + 1), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        client.sendall(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        lines = client.makefile("rb")
        assert lines.readline().startswith(b"HTTP/1.1 101")
        while lines.readline().strip():
            pass
        assert lines.readline() == b"a\n"
        assert balancer.let_go("a")
        client.sendall(b"still here\n")
        assert lines.readline() == b"still here\n"
        assert not balancer.wait_idle("a", 0, over)
        lines.close()
    wait_for(lambda: balancer.wait_idle("a", 0, over))
    assert balancer.counters("n_redis").failed == 0
    server.close()


def test_a_websocket_outlives_a_reload_and_holds_up_no_other_replica(balancer: Balancer, free_port: int) -> None:
    """The old process is asked what it has where: a replica at which it has nothing, and where none of its clients can
    ask once more, may be stopped while a websocket goes on at another."""
    servers = Sockets("a"), Sockets("b")
    backend = redis(free_port + 1, *(each.server for each in servers), protocol=Protocol.HTTP)
    sync(balancer, backend)
    over = threading.Event()
    with socket.create_connection(("127.0.0.61", free_port + 1), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        client.sendall(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        lines = client.makefile("rb")
        while lines.readline().strip():
            pass
        mine = lines.readline().decode().strip()
        other = "b" if mine == "a" else "a"
        # Somebody rests between two requests, and may have the next answered by whichever the old process knows.
        with socket.create_connection(("127.0.0.61", free_port + 1), timeout=10) as rests:
            sync(balancer, backend, Backend(name="n_new", hosts=("new.localhost",), servers=()))
            assert balancer.let_go(other)
            assert not balancer.wait_idle(other, 0, over)
            rests.close()
        wait_for(lambda: balancer.wait_idle(other, 0, over))
        assert balancer.let_go(mine)
        assert not balancer.wait_idle(mine, 0, over)
        assert (balancer.in_flight(mine), balancer.in_flight(other)) == (1, 0), "else nobody tells that it was cut"
        # An earlier controller's balancer knows the old process by its master alone.
        later = Balancer(balancer._settings, Counters())
        later.sync(lambda: (backend,))
        assert later.let_go(mine)
        assert not later.wait_idle(mine, 0, over)
        client.sendall(b"still here\n")
        assert lines.readline() == b"still here\n"
        lines.close()
    wait_for(lambda: balancer.wait_idle(mine, 0, over))
    wait_for(lambda: later.wait_idle(mine, 0, over))
    for each in servers:
        each.close()


class Downloads(Echo):
    """Answers a request with its name, and with what is long for the path ``/long``: all but its last byte, until more
    comes by `go_on`."""

    def __init__(self, name: str) -> None:
        self.go_on = threading.Event()
        super().__init__(name)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as lines:
            while first := lines.readline():
                while lines.readline().strip():
                    pass
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + self.name.encode())
                if b"/long" in first:
                    self.go_on.wait(30)
                client.sendall(b".")


def test_who_was_in_the_middle_of_an_answer_at_a_reload_may_ask_once_more(balancer: Balancer, free_port: int) -> None:
    """It was not told that the connection ends, and the old process would send it to a replica that is stopped, at
    whose address another program may be by then."""
    servers = Downloads("a"), Downloads("b")
    backend = redis(free_port + 1, *(each.server for each in servers), protocol=Protocol.HTTP)
    sync(balancer, backend)
    over = threading.Event()
    client = http.client.HTTPConnection("127.0.0.61", free_port + 1, timeout=10)
    with contextlib.closing(client):
        client.request("GET", "/long")
        answer = client.getresponse()
        mine = answer.read(1).decode()
        other = "b" if mine == "a" else "a"
        sync(balancer, backend, Backend(name="n_new", hosts=("new.localhost",), servers=()))
        assert balancer.let_go(other)
        assert not balancer.wait_idle(other, 0, over)
        for each in servers:
            each.go_on.set()
        assert answer.read() == b"."
        client.request("GET", "/")
        assert client.getresponse().read()[:1].decode() in ("a", "b")
    wait_for(lambda: balancer.wait_idle(other, 0, over))
    for each in servers:
        each.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has networks of its own to give")
def test_an_address_that_comes_later_is_served_when_it_does() -> None:
    """After a reboot the file names addresses that no bridge has yet."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.runtime.late_address"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "as it should be\n"), done.stderr


def test_requests_by_an_address_of_its_own(balancer: Balancer, echoes: tuple[Echo, Echo], free_port: int) -> None:
    nobody = redis(free_port + 1, protocol=Protocol.HTTP)
    sync(balancer, nobody)
    connection = http.client.HTTPConnection("127.0.0.61", free_port + 1, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (503, b"No replica of this application is ready.\n")
    connection.close()
    assert balancer.counters("n_redis").failed == 1
