"""Uploads to a registry that keeps what came of a chunk that broke off, as the specification has it and the real one
here does not: how far it is can be asked, and nothing is sent twice."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import random
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import RegistryClient, RegistryError, Sessions
from registry.sessions import Session
from registry.upload import Upload
from tests.registry.conftest import QUICK

CHUNK = 1000
SIZE = 4500
DATA = random.Random(3).randbytes(SIZE)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@dataclass
class Keeper:
    """The state of one upload. At each of `cuts`, a count of all bytes that ever came, the connection breaks; answers
    whose number is in `lost` do not arrive; `shy` chunks are answered as if less had come; `least` is asked for."""

    cuts: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    forgets: set[int] = field(default_factory=set)
    least: int = 0
    held: bytearray = field(default_factory=bytearray)
    came: int = 0
    answers: int = 0
    sessions: int = 0
    refused: int = 0
    done: bytes | None = None
    ranges: list[str] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def keeper(self) -> Keeper:
        return self.server.keeper  # type: ignore[attr-defined, no-any-return]

    def do_HEAD(self) -> None:
        self._say(200 if self.keeper.done is not None else 404)

    def do_POST(self) -> None:
        self.keeper.sessions += 1
        self.keeper.held.clear()
        headers = {"OCI-Chunk-Min-Length": str(self.keeper.least)} if self.keeper.least else {}
        self._say(202, Location=self._place(), **headers)

    def do_GET(self) -> None:
        if self._gone():
            self._say(404)
        else:
            self._say(204, Location=self._place(), Range=self._range())

    def do_PATCH(self) -> None:
        if self._gone():
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(404)
            return
        given_range = self.headers.get("Content-Range", "")
        self.keeper.ranges.append(given_range)
        first = int(given_range.partition("-")[0] or 0)
        if first != len(self.keeper.held):
            self.keeper.refused += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(416, Location=self._place(), Range=self._range())
            return
        if self._take():
            self._say(202, Location=self._place(), Range=self._range())

    def do_PUT(self) -> None:
        if self._gone():
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._say(404)
            return
        if not self._take():
            return
        data = bytes(self.keeper.held)
        if f"digest=sha256%3A{hashlib.sha256(data).hexdigest()}" not in self.path.replace(":", "%3A"):
            body = b'{"errors": [{"code": "DIGEST_INVALID", "message": "not these bytes"}]}'
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.keeper.done = data
        self._say(201)

    def do_DELETE(self) -> None:
        self._say(204)

    def _gone(self) -> bool:
        """Whether the upload of this address is forgotten."""
        number = int((re.search(r"uploads/(\d+)", self.path) or [0, 0])[1])
        return number != self.keeper.sessions or number in self.keeper.forgets

    def _take(self) -> bool:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            upto = min([left, *(cut - self.keeper.came for cut in self.keeper.cuts if cut > self.keeper.came)])
            piece = self.rfile.read(upto)
            self.keeper.held += piece
            self.keeper.came += len(piece)
            left -= len(piece)
            if self.keeper.came in self.keeper.cuts or len(piece) < upto:
                self._cut()
                return False
        return True

    def _place(self) -> str:
        return f"/v2/a/blobs/uploads/{self.keeper.sessions}?state={len(self.keeper.held)}"

    def _range(self) -> str:
        return f"0-{max(0, len(self.keeper.held) - 1)}"

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _say(self, status: int, **headers: str) -> None:
        self.keeper.answers += 1
        if self.keeper.answers in self.keeper.lost:
            self._cut()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    keeper: Keeper

    def handle_error(self, *_: object) -> None:
        """Connections that break are what this is for."""


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    running = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "blob"
    path.write_bytes(DATA)
    return path


def send(server: _Server, keeper: Keeper, file: Path, session: Session, chunk: int = CHUNK) -> None:
    server.keeper = keeper
    with RegistryClient(f"127.0.0.1:{server.server_port}", patience=QUICK) as client:
        Upload(client, "a", DIGEST, file, session=session, chunk=chunk).run()


def test_a_chunk_that_broke_off_is_gone_on_with_from_its_middle(server: _Server, file: Path) -> None:
    keeper = Keeper(cuts=[1500, 2999])
    send(server, keeper, file, Session(None))
    assert keeper.done == DATA
    assert keeper.came == SIZE, "nothing came twice"
    assert keeper.ranges == ["0-999", "1000-1999", "1500-2499", "2500-3499", "2999-3998", "3999-4499"]
    assert (keeper.sessions, keeper.refused) == (1, 0)


def test_an_answer_that_was_lost_is_asked_for(server: _Server, file: Path) -> None:
    # POST, and the answer to the first chunk.
    keeper = Keeper(lost={2})
    send(server, keeper, file, Session(None))
    assert keeper.done == DATA
    assert keeper.came == SIZE


def test_a_registry_may_ask_for_larger_chunks(server: _Server, file: Path) -> None:
    keeper = Keeper(least=2000)
    send(server, keeper, file, Session(None))
    assert keeper.ranges == ["0-1999", "2000-3999", "4000-4499"]


def test_what_another_process_left_is_gone_on_with_where_it_is_now(server: _Server, file: Path, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "uploads")
    keeper = Keeper(cuts=[1500])
    keeper.lost = set(range(4, 100))  # and then nothing comes any more
    with sessions.open("r", "a", DIGEST) as session, pytest.raises(RegistryError):
        send(server, keeper, file, session)
    keeper.cuts, keeper.lost, before = [], set(), keeper.came
    with sessions.open("r", "a", DIGEST) as session:
        assert session.location
        send(server, keeper, file, session)
    assert keeper.done == DATA
    assert keeper.came == SIZE
    assert before >= 1500
    assert list((tmp_path / "uploads").iterdir()) == []


def test_one_that_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "uploads")
    with sessions.open("r", "a", DIGEST) as first, sessions.open("r", "a", DIGEST) as second:
        first.save("/here")
        assert (second.location, second.kept) == (None, False)
        second.save("/there")
    with sessions.open("r", "a", DIGEST) as third:
        assert third.location == "/here"


def test_a_file_that_is_damaged_keeps_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "uploads")
    with sessions.open("r", "a", DIGEST) as session:
        session.save("/here")
    (kept,) = (tmp_path / "uploads").iterdir()
    kept.write_bytes(b'{"location": ')
    with sessions.open("r", "a", DIGEST) as session:
        assert session.location is None
    assert list((tmp_path / "uploads").iterdir()) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 2 * SIZE), max_size=4, unique=True),
    lost=st.sets(st.integers(1, 12), max_size=3),
    forgets=st.sets(st.integers(1, 3), max_size=2),
    chunk=st.integers(300, 6000),
)
def test_whatever_breaks_what_is_stored_is_right_or_nothing_is(
    server: _Server, file: Path, cuts: list[int], lost: set[int], forgets: set[int], chunk: int
) -> None:
    keeper = Keeper(cuts=cuts, lost=lost, forgets=forgets)
    with contextlib.suppress(RegistryError):
        send(server, keeper, file, Session(None), chunk)
        assert keeper.done == DATA
    assert keeper.done in (None, DATA)
    # Lost answers to a POST open sessions too, each within its own patience.
    assert keeper.sessions <= 3 * QUICK.tries
    assert keeper.came <= 3 * SIZE + len(cuts) * SIZE


def test_a_registry_that_wants_another_byte_for_ever_is_given_up(server: _Server, file: Path) -> None:
    # One byte came, and the registry says `0-0`, as of none.
    keeper = Keeper(cuts=[1])
    send(server, keeper, file, Session(None))
    assert keeper.done == DATA
    assert keeper.sessions == 2


def test_what_was_sent_of_a_file_that_was_damaged_then_is_sent_anew(
    server: _Server, file: Path, tmp_path: Path
) -> None:
    sessions = Sessions(tmp_path / "uploads")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    keeper = Keeper(cuts=[1500])
    keeper.lost = set(range(4, 100))
    with sessions.open("r", "a", DIGEST) as session, pytest.raises(RegistryError):
        send(server, keeper, damaged, session)
    keeper.cuts, keeper.lost = [], set()
    with sessions.open("r", "a", DIGEST) as session:
        send(server, keeper, file, session)
    assert keeper.done == DATA
