"""One probe at a time against real servers on loopback, and the row of them that a container is asked."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from runtime.container import Execution
from runtime.errors import EngineError
from runtime.hooks import run_hook, signal_grace
from runtime.manifest.model import ContainerSpec
from runtime.manifest.probe import Hook, HttpCall, Probe
from runtime.prober import Prober
from runtime.probes import ProbeResult, Target, run_probe
from runtime.verdict import Kind, Verdict
from tests.runtime.stack import ROOT, wait_for

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def status(code: int, location: str = "") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        if location:
            request.send_header("Location", location)
        request.end_headers()

    return answer


def nothing(command: tuple[str, ...], timeout: float) -> Execution:
    raise AssertionError


def ask(probe: Probe, port: int | None = None, kind: Kind = Kind.READINESS) -> ProbeResult:
    number = port if port is not None else int(probe.port)
    return run_probe(probe, Target(address="127.0.0.1", port=number, execute=nothing), kind)


@pytest.mark.parametrize(
    ("code", "ok"), [(200, True), (204, True), (302, True), (399, True), (400, False), (503, False)]
)
def test_http_counts_200_to_399(code: int, ok: bool) -> None:
    with answering(status(code)) as port:
        result = ask(Probe(port=port, path="/x"), kind=Kind.LIVENESS)
    assert result.ok is ok
    assert ok or result.message == f"liveness probe of port {port}: GET /x answered {code}, expected 200 to 399"


def test_a_redirect_is_followed_on_the_same_host_and_not_to_another() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        status(*((500, "") if request.path == "/sick" else (301, "/sick")))(request)

    with answering(answer) as port:
        assert ask(Probe(port=port, path="/")).message.endswith("GET / answered 500, expected 200 to 399")
    with answering(status(302, "http://nowhere.invalid/")) as port:
        assert ask(Probe(port=port, path="/")).ok
    with answering(status(302, "/again")) as port:
        assert "stopped after 10 redirects" in ask(Probe(port=port, path="/")).message


def test_headers_are_sent_and_ours_can_be_changed_or_taken_away() -> None:
    seen: list[dict[str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(dict(request.headers))
        status(200)(request)

    with answering(answer) as port:
        assert ask(Probe(port=port, path="/")).ok
        headers = (("Host", "shop.example"), ("X-Probe", "1"), ("accept", ""), ("User-Agent", "mine"))
        assert ask(Probe(port=port, path="/", headers=headers)).ok
    assert seen[0] == {
        "Host": f"127.0.0.1:{port}", "User-Agent": "imageforge-probe/1", "Accept": "*/*", "Connection": "close"
    }  # fmt: skip
    assert seen[1] == {"Host": "shop.example", "X-Probe": "1", "User-Agent": "mine", "Connection": "close"}


def test_https_is_asked_without_a_look_at_the_name(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("shop.example").configure_cert(context)
    with answering(status(200), context) as port:
        assert ask(Probe(port=port, path="/", scheme="HTTPS")).ok
        assert not ask(Probe(port=port, path="/", scheme="HTTP")).ok


def test_another_host_than_the_replica_can_be_asked(free_port: int) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        assert ask(Probe(port=port, host="127.0.0.2")).ok
        refused = ask(Probe(port=port))
        assert (refused.ok, refused.refused) == (False, True)


@pytest.mark.parametrize("path", [None, "/"])
def test_nobody_is_refused(path: str | None, free_port: int) -> None:
    result = ask(Probe(port=free_port, path=path))
    assert (result.ok, result.refused) == (False, True)
    assert str(free_port) in result.message


def test_the_silent_and_the_babbling() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert ask(Probe(port=port)).ok
        assert "no answer within 1 s" in ask(Probe(port=port, path="/")).message

        def babble() -> None:
            # The two before were never accepted: theirs come first.
            for _ in range(3):
                connection, _ = silent.accept()
                connection.sendall(b"hello\r\n\r\n")
                connection.close()

        thread = threading.Thread(target=babble)
        thread.start()
        assert not ask(Probe(port=port, path="/")).ok
        thread.join()


def test_a_replica_without_an_address_is_not_ready() -> None:
    result = run_probe(Probe(port=1), Target(address="", port=1, execute=nothing))
    assert (result.ok, result.message) == (False, "the engine gave the container no address")


@pytest.mark.parametrize(
    ("done", "ok", "message"),
    [
        (Execution(code=0, output="fine"), True, ""),
        (Execution(code=1, output="no\n such\tfile"), False, "startup probe by `cat`: exit code 1: no such file"),
        (Execution(code=2), False, "startup probe by `cat`: exit code 2"),
        (Execution(code=None), False, "startup probe by `cat`: not done within 3 s"),
    ],
)
def test_a_command_says_by_its_exit_code(done: Execution, ok: bool, message: str) -> None:
    asked: list[tuple[tuple[str, ...], float]] = []

    def execute(command: tuple[str, ...], timeout: float) -> Execution:
        asked.append((command, timeout))
        return done

    probe = Probe(command=("cat", "/tmp/healthy"), timeout=3)
    result = run_probe(probe, Target(address="", port=0, execute=execute), Kind.STARTUP)
    assert (result.ok, result.message) == (ok, message)
    assert asked == [(("cat", "/tmp/healthy"), 3)]


@contextmanager
def grpc_server(*, with_health: bool = True) -> Iterator[tuple[int, health.HealthServicer]]:
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    servicer = health.HealthServicer()
    if with_health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, servicer
    finally:
        server.stop(None).wait()


def test_grpc_asks_the_health_service(free_port: int) -> None:
    with grpc_server() as (port, servicer):
        servicer.set("shop", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert ask(Probe(port=port, grpc=True)).ok
        sick = ask(Probe(port=port, grpc=True, service="shop"))
        assert sick.message == f"readiness probe of port {port}: service is NOT_SERVING, expected SERVING"
        servicer.set("shop", health_pb2.HealthCheckResponse.SERVING)
        assert ask(Probe(port=port, grpc=True, service="shop")).ok
        assert "NOT_FOUND" in ask(Probe(port=port, grpc=True, service="nobody")).message
    with grpc_server(with_health=False) as (port, _):
        assert "does not implement the grpc health protocol" in ask(Probe(port=port, grpc=True)).message
    assert not ask(Probe(port=free_port, grpc=True)).ok


def test_grpc_is_loaded_by_nobody_who_has_no_such_probe() -> None:
    script = "import runtime.__main__, sys; sys.exit(any(name.startswith('grpc') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


class Container:
    """What a container answers, by kind of probe, and what was heard of the verdicts."""

    def __init__(self, **answers: bool | None) -> None:
        self.answers = answers
        self.asked: list[Kind] = []
        self.heard: list[Verdict] = []
        self.prober: Prober | None = None

    def ask(self, kind: Kind, probe: Probe) -> ProbeResult:
        self.asked.append(kind)
        if self.answers[kind] is None:
            raise EngineError("engine-unreachable", "x", "gone")
        return ProbeResult(ok=self.answers[kind])

    def told(self, verdict: Verdict, message: str) -> None:
        self.heard.append(verdict)

    def last(self, kind: Kind) -> bool | None:
        return next((verdict.passes for verdict in reversed(self.heard) if verdict.kind is kind), None)

    def begin(self, spec: ContainerSpec, **known: bool) -> None:
        self.prober = Prober(spec, self.ask, self.told, started_at=time.time(), **known)
        self.prober.begin()


@pytest.fixture
def container() -> Iterator[Container]:
    made = Container(startup=False, liveness=True, readiness=True)
    yield made
    if made.prober:
        made.prober.end()


ALL = ContainerSpec(
    name="a",
    image="a",
    startup=Probe(port=1, failure_threshold=30),
    liveness=Probe(port=1),
    readiness=Probe(port=1),
)


def test_nothing_else_is_asked_before_it_has_started(container: Container) -> None:
    container.begin(ALL)
    wait_for(lambda: len(container.asked) >= 3)
    assert set(container.asked) == {Kind.STARTUP}
    # Of those it was asked in its first seconds one counts: the others came before their period was over.
    assert max(verdict.row for verdict in container.heard) == 1
    container.answers["startup"] = True
    wait_for(lambda: container.last(Kind.READINESS) is True and container.last(Kind.LIVENESS) is True)
    assert container.prober is not None
    assert container.prober.started


def test_one_whose_start_is_known_is_not_asked_for_it_again(container: Container) -> None:
    container.begin(ALL, started=True, ready=True)
    wait_for(lambda: container.last(Kind.LIVENESS) is True and container.last(Kind.READINESS) is True)
    assert Kind.STARTUP not in container.asked


def test_an_adopted_one_stays_ready_until_its_probe_has_failed_often_enough(container: Container) -> None:
    container.answers["readiness"] = False
    container.begin(replace(ALL, readiness=Probe(port=1, failure_threshold=2, period=1)), started=True, ready=True)
    wait_for(lambda: container.last(Kind.READINESS) is False)
    verdicts = [verdict.passes for verdict in container.heard if verdict.kind is Kind.READINESS]
    assert verdicts[:2] == [True, False]


def test_a_failed_liveness_probe_is_told_once_and_not_asked_again(container: Container) -> None:
    container.answers["liveness"] = False
    container.begin(ContainerSpec(name="a", image="a", liveness=Probe(port=1, failure_threshold=1, period=1)))
    wait_for(lambda: any(verdict.held for verdict in container.heard))
    wait_for(lambda: not any(thread.name == "liveness probe" for thread in threading.enumerate()))
    assert len(container.asked) == 1


def test_what_cannot_be_asked_says_nothing(container: Container) -> None:
    container.answers["liveness"] = None
    container.begin(ContainerSpec(name="a", image="a", liveness=Probe(command=("a",), failure_threshold=1, period=1)))
    wait_for(lambda: len(container.heard) >= 2)
    assert {verdict.passes for verdict in container.heard} == {True}


def test_of_one_that_is_being_ended_readiness_alone_is_asked(container: Container) -> None:
    spec = ContainerSpec(name="a", image="a", liveness=Probe(port=1, period=1), readiness=Probe(port=1, period=1))
    container.begin(spec)
    wait_for(lambda: set(container.asked) == {Kind.LIVENESS, Kind.READINESS})
    assert container.prober is not None
    container.prober.ending()
    wait_for(lambda: not any(thread.name == "liveness probe" for thread in threading.enumerate()))
    lived = container.asked.count(Kind.LIVENESS)
    before = len(container.asked)
    wait_for(lambda: len(container.asked) >= before + 2)
    assert container.asked.count(Kind.LIVENESS) == lived


def test_the_time_that_a_hook_took_is_taken_from_the_grace_but_for_two_seconds() -> None:
    assert [signal_grace(30, spent) for spent in (0, 10, 29, 30, 45)] == [30, 20, 2, 2, 2]
    assert signal_grace(0, 0) == 2


def run(hook: Hook, execution: Execution | None = None, *, port: int = 1, longest: float | None = 5.0) -> str:
    def execute(command: tuple[str, ...], timeout: float | None) -> Execution:
        if execution is None:
            raise EngineError("engine-refused", "c", "container c is not running")
        return execution

    return run_hook(hook, execute, lambda call: ("127.0.0.1", port), threading.Event(), longest)


def test_a_hook_says_what_went_wrong() -> None:
    command = Hook(command=("touch", "/x"))
    assert run(command, Execution(code=0)) == ""
    assert run(command, Execution(code=1, output="read-only\n")) == "`touch` ended with exit code 1: read-only"
    assert run(command, Execution(code=None)) == "`touch` was not done within 5 s"
    assert "not running" in run(command)


def test_a_hook_that_asks_minds_no_status_but_that_somebody_answers(free_port: int) -> None:
    hook = Hook(call=HttpCall(port=80, path="/quit"))
    with answering(status(500)) as port:
        assert run(hook, port=port) == ""
    assert "refused" in run(hook, port=free_port)


def test_a_hook_that_sleeps_ends_with_the_grace_or_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    assert run(Hook(sleep=3600), longest=0.01) == ""
    assert run_hook(Hook(sleep=3600), lambda *_: Execution(code=0), lambda _: ("", 0), stop, None) == ""
