"""A real HAProxy before a server that breaks off: what its clients saw is what is counted."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from runtime.balancer.config import HOSTS_MAP, Backend, Server, render, render_hosts
from runtime.balancer.counters import Counters
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_stat
from runtime.errors import BalancerError
from tests.runtime.stack import make_settings, wait_for

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUESTS = 24


class BreaksOff:
    """Answers the first request of a connection, and closes at the second one without a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

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
        with connection:
            connection.recv(65536)
            # Who asked may be gone: that a connection drops is what these tests are about.
            with contextlib.suppress(OSError):
                connection.sendall(ANSWER)
            connection.recv(65536)


def test_requests_without_an_answer_are_counted(short_path: Path, free_port: int) -> None:
    server = BreaksOff()
    settings = make_settings(short_path, "abc", "", free_port)
    backend = Backend(
        name="n_web", hosts=("web.localhost",), servers=(Server(name="a", address="127.0.0.1", port=server.port),)
    )
    settings.balancer_config.write_text(render(settings, [backend]))
    (short_path / HOSTS_MAP).write_text(render_hosts([backend]))
    command = ["/usr/sbin/haproxy", "-db", "-f", str(settings.balancer_config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as balancer:
        try:
            ask = CommandSocket(settings.balancer_socket).ask
            wait_for(lambda: _answers(ask))
            failed = _post(free_port)
            counters = Counters()
            counters.fold(1, parse_stat(ask("show stat")))
        finally:
            balancer.terminate()
            server.close()
    total = counters.of("n_web")
    assert failed > 0
    assert (total.requests, total.failed, total.in_flight) == (REQUESTS, failed, 0)


def _answers(ask: Callable[[str], str]) -> bool:
    try:
        return bool(ask("show info"))
    except BalancerError:
        return False


def _post(port: int) -> int:
    """POST again and again over connections that are kept; how often nothing came back."""
    connection, failed = http.client.HTTPConnection("127.0.0.1", port), 0
    for _ in range(REQUESTS):
        try:
            # Without a body: HAProxy in the middle of sending one answers 502 for itself, and not always in time.
            connection.request("POST", "/", None, {"Host": "web.localhost", "Content-Length": "0"})
            connection.getresponse().read()
        except ConnectionError:
            failed += 1
            connection.close()
    connection.close()
    return failed
