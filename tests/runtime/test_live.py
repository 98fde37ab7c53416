"""A real HAProxy, whose hosts and certificates come and go while a stream that began before goes on."""

from __future__ import annotations

import contextlib
import http.client
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509

from runtime import BalancerError, PublicEntry, RuntimeSettings
from runtime.balancer.balancer import Balancer
from runtime.balancer.config import CERTIFICATES, HOSTS_MAP, Backend, Server, keys_folder
from runtime.balancer.counters import Counters
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_info
from tests.authority import TestAuthority
from tests.ports import unused_port
from tests.runtime.load import Session
from tests.runtime.stack import Stack, make_settings, wait_for

FIRST, SECOND = "first.example.org", "second.example.org"


class Lines(ThreadingHTTPServer):
    """Answers "ok", or under /stream the lines that it is given, until there are no more."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        # A connection that is gone again before it is accepted must not be waited for.
        self.socket.setblocking(False)
        self.said: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        # HAProxy, as it ends, resets what it kept open.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        assert isinstance(self.server, Lines)
        self.send_response(200)
        if self.path == "/stream":
            self.send_header("Connection", "close")
            self.end_headers()
            while line := self.server.said.get():
                self.wfile.write(line)
        else:
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Entry:
    """HAProxy with a balancer that tells it what to do, and one server behind it."""

    stack: Stack
    balancer: Balancer
    server: Lines
    authority: TestAuthority
    certificates: Path

    @property
    def settings(self) -> RuntimeSettings:
        return self.stack.settings

    @property
    def public(self) -> PublicEntry:
        assert self.settings.public
        return self.settings.public

    def lead(self, *hosts: str) -> None:
        """These hosts lead to the server."""
        there = Server(name="a", address="127.0.0.1", port=self.server.server_port)
        self.balancer.sync(lambda: [Backend(name="n_web", hosts=hosts, servers=(there,))])
        assert self.balancer.error is None

    def ask(self, command: str) -> str:
        return CommandSocket(self.settings.balancer_socket).ask(command)

    @property
    def worker(self) -> int:
        """The process that serves."""
        return parse_info(self.ask("show info")).pid

    def answers(self, host: str) -> bool:
        with Session(self.settings.http_port, host) as session:
            return session.status("/") == 200

    def connect(self, host: str) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.public.https_port), timeout=15)
        return self.authority.context().wrap_socket(plain, server_hostname=host)

    def serial(self, host: str) -> int | None:
        """Of the certificate that it shows; None for a host that has none."""
        try:
            with self.connect(host) as secured:
                shown = secured.getpeercert(binary_form=True)
        except (ssl.SSLError, ConnectionError):
            return None
        assert shown
        return x509.load_der_x509_certificate(shown).serial_number

    @contextlib.contextmanager
    def stream(self, *, tls: bool = False) -> Iterator[None]:
        """An answer that is under way for as long as the block lasts, and whole after it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.http_port, timeout=15)
        if tls:
            connection.sock = self.connect(FIRST)
        with contextlib.closing(connection):
            connection.request("GET", "/stream", headers={"Host": FIRST})
            response = connection.getresponse()
            self.server.said.put(b"one\n")
            assert response.readline() == b"one\n"
            yield
            self.server.said.put(b"two\n")
            self.server.said.put(b"")
            assert response.read() == b"two\n"


@pytest.fixture(params=["plain", "with space (and) 'quote'"])
def folder(request: pytest.FixtureRequest, short_path: Path) -> Path:
    made = short_path / str(request.param)
    made.mkdir()
    return made


@pytest.fixture
def entry(folder: Path, free_port: int) -> Iterator[Entry]:
    certificates = folder / "certificates"
    certificates.mkdir()
    public = PublicEntry(
        address="127.0.0.1",
        http_port=unused_port(),
        https_port=unused_port(),
        host="forge.example.org",
        api="127.0.0.1:1",
        registry="127.0.0.1:1",
        key="0123",
        certificates=(certificates,),
    )
    settings = replace(make_settings(folder, "abc", "", free_port), public=public)
    stack = Stack(settings=settings, home=folder)
    with Lines() as server:
        stack.start_haproxy()
        try:
            balancer = Balancer(settings, Counters())
            yield Entry(stack, balancer, server, TestAuthority(folder / "ca"), certificates)
        finally:
            stack.stop_haproxy()
            server.shutdown()


@contextlib.contextmanager
def same_process(entry: Entry) -> Iterator[None]:
    before = entry.worker
    yield
    assert entry.worker == before
    assert not entry.balancer.settling


def test_a_host_comes_and_goes_while_a_stream_goes_on(entry: Entry) -> None:
    entry.lead(FIRST)
    with same_process(entry), entry.stream():
        assert not entry.answers(SECOND)
        entry.lead(FIRST, SECOND)
        assert entry.answers(SECOND)
        assert SECOND in (entry.settings.balancer_config.with_name(HOSTS_MAP)).read_text()
        entry.lead(FIRST)
        assert not entry.answers(SECOND)
        assert entry.answers(FIRST)
    # A restart has what was said at run time.
    entry.lead(SECOND)
    entry.stack.stop_haproxy()
    entry.stack.start_haproxy()
    wait_for(lambda: _up(entry))
    assert (entry.answers(FIRST), entry.answers(SECOND)) == (False, True)


def test_each_request_is_counted_once_over_reloads(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever process answers while one takes over from the other; they are asked as fast as they answer."""
    monkeypatch.setattr("runtime.balancer.balancer.POLL", 0.0)
    there = (Server(name="a", address="127.0.0.1", port=entry.server.server_port),)
    backends = [Backend(name="n_web", hosts=(FIRST,), servers=there)]
    entry.balancer.sync(lambda: backends)
    for number in range(1, 31):
        with Session(entry.settings.http_port, FIRST) as session:
            assert session.status("/") == 200
        backends.append(Backend(name=f"n_other{number}", hosts=(f"{number}.example.org",), servers=there))
        entry.balancer.sync(lambda: backends)
        wait_for(lambda: not entry.balancer.counters("n_web").in_flight)
        counted = entry.balancer.counters("n_web")
        assert (counted.requests, counted.per_replica) == (number, {"a": number})


def test_who_waits_is_counted_and_how_long(entry: Entry) -> None:
    entry.lead(FIRST)
    entry.ask("set maxconn server n_web/a 1")
    asked: list[float] = []

    def ask() -> None:
        began = time.monotonic()
        with Session(entry.settings.http_port, FIRST) as session:
            assert session.status("/") == 200
        asked.append((time.monotonic() - began) * 1000)

    asking = threading.Thread(target=ask)
    with entry.stream():
        asking.start()
        wait_for(lambda: entry.balancer.counters("n_web").queued == 1)
        # What is measured is time, so some has to pass.
        threading.Event().wait(0.1)
    asking.join()
    wait_for(lambda: not entry.balancer.counters("n_web").in_flight)
    counted = entry.balancer.counters("n_web")
    assert (counted.queued, counted.failed, counted.by_class["2xx"]) == (0, 0, counted.requests)
    # Means of the two: one did not wait, and both took as long as the one in front.
    assert 100 / 2 <= counted.queue_ms <= asked[0]
    assert counted.queue_ms <= counted.total_ms <= 2 * asked[0]
    assert counted.response_ms <= counted.total_ms


def test_lists_that_are_not_as_wanted_are_put_right(entry: Entry) -> None:
    entry.lead(FIRST)
    hosts = entry.settings.balancer_config.with_name(HOSTS_MAP)
    old = hosts.read_text()
    entry.lead(FIRST, SECOND)
    entry.stack.stop_haproxy()
    hosts.write_text(old)
    entry.stack.start_haproxy()
    wait_for(lambda: _up(entry))
    with same_process(entry):
        assert not entry.answers(SECOND)
        entry.lead(FIRST, SECOND)
        assert entry.answers(SECOND)
        # As one that was cut off, or somebody else, may leave it.
        entry.ask(f"add map {HOSTS_MAP} {FIRST} nowhere")
        entry.ask(f"set map {HOSTS_MAP} {SECOND} nowhere")
        entry.ask(f"add map {HOSTS_MAP} third.example.org n_web")
        assert not entry.answers(SECOND)
        entry.lead(FIRST, SECOND)
        assert [entry.answers(host) for host in (FIRST, SECOND, "third.example.org")] == [True, True, False]


def test_a_certificate_is_replaced_and_one_comes_and_goes_while_a_stream_goes_on(entry: Entry) -> None:
    (entry.certificates / "first.pem").write_bytes(entry.authority.bundle(FIRST))
    entry.lead(FIRST)
    before = entry.serial(FIRST)
    assert before
    with same_process(entry), entry.stream(tls=True):
        (entry.certificates / "first.pem").write_bytes(entry.authority.bundle(FIRST))
        (entry.certificates / "second.pem").write_bytes(entry.authority.bundle(SECOND, "*.second.example.org"))
        entry.lead(FIRST, SECOND)
        assert entry.serial(FIRST) not in (before, None)
        assert entry.serial(SECOND) == entry.serial("a.second.example.org") != entry.serial(FIRST)
        assert _redirected(entry, SECOND)
        # By another file of the same name, which is valid longer, a certificate loses one of its names.
        (entry.certificates / "longer.pem").write_bytes(entry.authority.bundle(SECOND, end=20))
        shown = entry.serial(SECOND)
        entry.lead(FIRST, SECOND)
        assert entry.serial(SECOND) not in (shown, None)
        assert entry.serial("a.second.example.org") == shown
    listed = entry.settings.balancer_config.with_name(CERTIFICATES).read_text().splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted(f.name for f in keys_folder(entry.settings).iterdir())


def test_the_last_certificate_expires_and_the_first_one_comes(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry.certificates / "first.pem").write_bytes(entry.authority.bundle(FIRST))
    entry.lead(FIRST)
    with same_process(entry):
        (entry.certificates / "first.pem").unlink()
        monkeypatch.setattr("runtime.balancer.keyring.GONE_SECONDS", -1.0)
        entry.lead(FIRST)
        assert entry.serial(FIRST) is None
        assert not _redirected(entry, FIRST)
        assert re.findall(r"\S+\.pem", entry.ask("show ssl cert")) == []
        monkeypatch.undo()
        (entry.certificates / "first.pem").write_bytes(entry.authority.bundle(FIRST))
        entry.lead(FIRST)
        assert entry.serial(FIRST)
        assert _redirected(entry, FIRST)


def test_what_was_cut_off_in_the_middle_of_a_certificate_is_begun_anew(entry: Entry) -> None:
    entry.lead(FIRST)
    pem = entry.authority.bundle(FIRST)
    (entry.certificates / "first.pem").write_bytes(pem)
    made = Balancer(entry.settings, Counters())._files.ring().entries[0].file
    path = re.sub(r"([ ()'])", r"\\\1", str(keys_folder(entry.settings) / made))
    with same_process(entry):
        for steps in range(1, 4):
            for command in (
                f"new ssl cert {path}",
                f"set ssl cert {path} <<\n{pem.decode()}",
                f"commit ssl cert {path}",
            )[:steps]:
                entry.ask(command)
            assert entry.serial(FIRST) is None
            entry.lead(FIRST)
            assert entry.serial(FIRST)
            entry.ask(f"del ssl crt-list {CERTIFICATES} {path}")
            assert "deleted" in entry.ask(f"del ssl cert {path}")
        # It was in the middle of one, and another is wanted now.
        entry.ask(f"new ssl cert {path}")
        entry.ask(f"set ssl cert {path} <<\n{pem.decode()}")
        (entry.certificates / "first.pem").write_bytes(newer := entry.authority.bundle(FIRST))
        entry.lead(FIRST)
        assert entry.serial(FIRST) == x509.load_pem_x509_certificate(newer).serial_number


def test_what_the_running_process_does_not_take_it_gets_by_a_reload_once(
    entry: Entry, caplog: pytest.LogCaptureFixture
) -> None:
    """A chain that is longer than HAProxy's buffer for commands."""
    entry.lead(FIRST)
    before = entry.worker
    pem = entry.authority.bundle(FIRST)
    chain = b"".join(entry.authority.issue(f"{number}.example.org")[0] for number in range(40))
    (entry.certificates / "long.pem").write_bytes(pem + chain)
    entry.lead(FIRST)
    assert entry.worker != before
    assert entry.serial(FIRST)
    (warning,) = [record for record in caplog.records if record.message == "lists not changed in the running process"]
    assert "longer than" in warning.error  # type: ignore[attr-defined]
    assert "PRIVATE" not in str(vars(warning))
    with same_process(entry):
        entry.lead(FIRST, SECOND)
        assert entry.answers(SECOND)


def test_a_process_that_never_shows_what_is_wanted_is_not_reloaded_again_and_again(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry.lead(FIRST)

    def refuse(*_: object) -> None:
        raise BalancerError("balancer-refused", "add map", "HAProxy answered: no")

    monkeypatch.setattr(entry.balancer._live, "sync", refuse)
    before = entry.worker
    entry.lead(FIRST, SECOND)
    after = entry.worker
    assert after != before
    assert entry.answers(SECOND)
    with pytest.raises(AssertionError):
        entry.lead(FIRST, SECOND)
    assert entry.balancer.error is not None
    assert entry.balancer.error.code == "balancer-refused"
    assert entry.worker == after

    tried: list[object] = []

    def fail(*arguments: object) -> None:
        tried.append(arguments)
        raise BalancerError("balancer-reload-failed", "haproxy.cfg", "no new process")

    monkeypatch.setattr(entry.balancer, "_reload", fail)
    for _ in range(3):
        with pytest.raises(AssertionError):
            entry.lead(FIRST)
        assert entry.balancer.error.code == "balancer-reload-failed"
    assert len(tried) == 1, "what failed is not tried again at once"


def _redirected(entry: Entry, host: str) -> bool:
    with Session(entry.public.http_port, host) as session:
        return session.status("/") == 308


def _up(entry: Entry) -> bool:
    try:
        return bool(entry.worker)
    except BalancerError:
        return False
