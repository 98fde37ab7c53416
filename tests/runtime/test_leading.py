"""A real HAProxy before servers that say what they were asked: where a host leads, who is named as the client, and what
is tried again."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import PublicEntry, RuntimeSettings
from runtime.balancer.balancer import Balancer
from runtime.balancer.config import Backend, Bind, Server, render
from runtime.balancer.counters import Counters
from runtime.manifest.model import Protocol
from tests.ports import unused_port
from tests.runtime.stack import Stack, make_settings

OWN = Bind(address="127.0.0.61", port=8081)


class Heard:
    """Answers with the name of the server and each address that a request names as its client; or, as one that dies
    with a request in its hands, closes at each one."""

    def __init__(self, name: str, *, dies: bool = False) -> None:
        self._name, self._dies = name, dies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def server(self) -> Server:
        return Server(name=self._name, address="127.0.0.1", port=self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError), connection.makefile("rb") as lines:
            while line := lines.readline():
                self.requests.append(line.split()[0].decode())
                headers = http.client.parse_headers(lines)
                lines.read(int(headers.get("Content-Length", "0")))
                if self._dies:
                    return
                said = " ".join([self._name, *headers.get_all("X-Forwarded-For", [])]).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))


@pytest.fixture
def heard() -> Iterator[tuple[Heard, Heard]]:
    pair = Heard("a"), Heard("b")
    yield pair
    for one in pair:
        one.close()


@pytest.fixture
def settings(short_path: Path, free_port: int) -> RuntimeSettings:
    return make_settings(short_path, "abc", "", free_port)


@contextlib.contextmanager
def balancing(settings: RuntimeSettings, *backends: Backend) -> Iterator[Balancer]:
    stack = Stack(settings=settings, home=settings.balancer_config.parent)
    stack.start_haproxy()
    try:
        balancer = Balancer(settings, Counters())
        lead(balancer, *backends)
        yield balancer
    finally:
        stack.stop_haproxy()


def lead(balancer: Balancer, *backends: Backend) -> None:
    balancer.sync(lambda: backends)
    assert balancer.error is None


def of(one: Heard, *hosts: str, **more: object) -> Backend:
    made = Backend(name=f"n_{one.server.name}", hosts=hosts, servers=(one.server,))
    return replace(made, **more)  # type: ignore[arg-type]


def ask(
    port: int, host: str, *, to: str = "127.0.0.1", source: str = "127.0.0.1", times: int = 1, **headers: str
) -> list[str]:
    """The answers to requests over one connection."""
    with contextlib.closing(http.client.HTTPConnection(to, port, timeout=15, source_address=(source, 0))) as asked:
        said = []
        for _ in range(times):
            asked.request("GET", "/", headers={"Host": host, **headers})
            answer = asked.getresponse()
            said.append(answer.read().decode() if answer.status == 200 else str(answer.status))
    return said


@pytest.mark.parametrize("apps", [1, 2])
def test_hosts_lead_to_their_application_and_to_no_other(
    settings: RuntimeSettings, heard: tuple[Heard, Heard], apps: int
) -> None:
    """The only one is named in the configuration, one of several is put together: neither may answer for another."""
    port, (a, b) = settings.http_port, heard
    others = [of(b, "b.localhost")][: apps - 1]
    with balancing(settings, of(a, "a.localhost", "a.example.org"), *others) as balancer:
        hosts = (
            "a.localhost",
            f"A.LOCALHOST:{port}",
            "a.example.org",
            "b.localhost",
            "example.org",
            "n_a",
            # HAProxy before 3 passes it on as a name, and refuses it later.
            "b.localhost,a.localhost",
        )
        said = [ask(port, host)[0].split()[0] for host in hosts]
        assert said[:-1] == ["a", "a", "a", "b" if apps == 2 else "404", "404", "404"]
        assert said[-1] in ("404", "400")
        # Hosts come and go without a reload.
        lead(balancer, of(a, "new.localhost"), *others)
        assert [ask(port, host)[0].split()[0] for host in ("new.localhost", "a.localhost")] == ["a", "404"]


def test_a_list_that_is_ahead_of_the_configuration_leads_nobody_to_the_only_application(
    settings: RuntimeSettings, heard: tuple[Heard, Heard]
) -> None:
    a, b = heard
    with balancing(settings, of(a, "a.localhost")):
        pass
    config = settings.balancer_config.read_text()
    with balancing(settings, of(a, "a.localhost"), of(b, "b.localhost")):
        pass
    # Lists are written first, and somebody was killed then.
    settings.balancer_config.write_text(config)
    stack = Stack(settings=settings, home=settings.balancer_config.parent)
    stack.start_haproxy()
    try:
        said = [ask(settings.http_port, host)[0].split()[0] for host in ("a.localhost", "b.localhost")]
    finally:
        stack.stop_haproxy()
    assert said == ["a", "404"]


def test_beside_ports_that_are_served_by_the_connection_the_only_application_is_still_named() -> None:
    settings = make_settings(Path("/nowhere"), "abc", "", 8700)
    web = Backend(name="n_web", hosts=("web.localhost",))
    redis = Backend(name="n_redis", hosts=(), binds=(OWN,), protocol=Protocol.TCP)
    assert "use_backend n_web if" in render(settings, [web, redis])
    assert "use_backend %[" in render(settings, [web, replace(web, name="n_other")])
    assert "use_backend %[" in render(settings, [redis]), "HAProxy is asked for the list, so it has to know it"


def test_a_request_names_its_client_once_whatever_came_before_on_the_connection(
    settings: RuntimeSettings, heard: tuple[Heard, Heard]
) -> None:
    port, (a, _) = settings.http_port, heard
    with balancing(settings, of(a, "a.localhost", binds=(OWN,))):
        for to, where in (("127.0.0.1", port), (OWN.address, OWN.port)):
            assert ask(where, "a.localhost", to=to, times=3) == ["a 127.0.0.1"] * 3
            assert ask(where, "a.localhost", to=to, source="127.0.0.9") == ["a 127.0.0.9"]
            # On this machine who says something of himself is not contradicted, as `option forwardfor` has it.
            said = {"X-Forwarded-For": "198.51.100.7"}
            assert ask(where, "a.localhost", to=to, times=2, **said) == ["a 198.51.100.7 127.0.0.1"] * 2


def test_what_the_world_says_of_its_address_is_dropped(settings: RuntimeSettings, heard: tuple[Heard, Heard]) -> None:
    a, _ = heard
    plain, tls = unused_port(), unused_port()
    public = PublicEntry(
        address="127.0.0.1", http_port=plain, https_port=tls, host="forge.example.org",
        api=f"127.0.0.1:{a.server.port}", registry="127.0.0.1:1", key="0123", certificates=(),
    )  # fmt: skip
    with balancing(replace(settings, public=public), of(a, "a.example.org")):
        for host in ("a.example.org", "forge.example.org"):
            assert ask(plain, host, times=2, **{"X-Forwarded-For": "198.51.100.7"}) == ["a 127.0.0.1"] * 2


def test_what_dies_with_a_request_in_its_hands_is_asked_again_only_where_that_is_safe(
    settings: RuntimeSettings,
) -> None:
    good, dead = Heard("good"), Heard("dead", dies=True)
    backend = Backend(name="n_web", hosts=("web.localhost",), servers=(good.server, dead.server))
    times = 20
    try:
        with balancing(settings, backend):
            answers = [ask(settings.http_port, "web.localhost") for _ in range(times)]
            assert answers == [["good 127.0.0.1"]] * times
            assert dead.requests
            before = len(good.requests) + len(dead.requests)
            assert [_post(settings.http_port) for _ in range(times)].count(200) < times
            assert len(good.requests) + len(dead.requests) == before + times, "each POST came to one of them, once"
    finally:
        good.close()
        dead.close()


def _post(port: int) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=15)) as asked:
        asked.request("POST", "/", b"{}", {"Host": "web.localhost"})
        return asked.getresponse().status
