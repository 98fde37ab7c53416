"""The requests of our own during a change-over: few, recognisable, and none of them lost sight of."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imageforge import __version__
from imageforge.pipeline.cutover import INTERVAL, CutoverWatch, Entrance


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    statuses: Iterator[int]
    heard: list[tuple[float, str]]
    enough: threading.Event

    def do_GET(self) -> None:
        self.heard.append((time.monotonic(), self.headers["User-Agent"]))
        self.send_response(next(self.statuses))
        self.send_header("Content-Length", "0")
        self.end_headers()
        if len(self.heard) == 4:
            self.enough.set()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def application() -> Iterator[ThreadingHTTPServer]:
    Application.heard, Application.enough = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("second", "failed"), [(200, 0), (500, 0), (503, 1)])
def test_they_are_few_and_named_and_what_the_balancer_could_not_serve_is_seen(
    second: int, failed: int, application: ThreadingHTTPServer
) -> None:
    Application.statuses = itertools.chain([200, second], itertools.repeat(200))
    watch = CutoverWatch(Entrance(address="127.0.0.1", port=application.server_port, host="shop.localhost"))
    watch.start()
    assert Application.enough.wait(60)
    count = watch.stop()
    assert (count.sent, count.failed) == (len(Application.heard), failed)
    assert {agent for _, agent in Application.heard} == {f"imageforge-cutover/{__version__}"}
    times = [at for at, _ in Application.heard]
    # Less than it should be by what a clock may be off.
    assert min(b - a for a, b in itertools.pairwise(times)) > INTERVAL * 0.9 >= 0.09
