"""HAProxy's configuration is valid by its own word, and its statistics become sums that never go back."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.balancer.config import HOSTS_MAP, Backend, Server, initial_config, render, render_hosts, stamp
from runtime.balancer.counters import GONE, Counters
from runtime.balancer.files import BalancerFiles
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import (
    BACKEND,
    Row,
    parse_clients,
    parse_failed_reloads,
    parse_info,
    parse_leaving,
    parse_stat,
)
from runtime.errors import BalancerError
from tests.runtime.stack import make_settings

SERVERS = (Server(name="b", address="10.0.0.2", port=80), Server(name="a", address="10.0.0.1", port=80))
BACKENDS = (Backend(name="n_web", hosts=("web.localhost", "w.example.org"), servers=SERVERS),)


@pytest.mark.parametrize("backends", [(), BACKENDS], ids=["initial", "routed"])
@pytest.mark.parametrize("folder", ["plain", "with space (and) 'quote'"])
def test_haproxy_finds_it_valid(short_path: Path, backends: tuple[Backend, ...], folder: str) -> None:
    home = short_path / folder
    home.mkdir()
    settings = make_settings(home, "abc", "", 8700)
    (home / "haproxy.cfg").write_text(render(settings, backends))
    (home / HOSTS_MAP).write_text(render_hosts(backends))
    result = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", home / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_stamp_is_of_the_structure_not_of_servers_and_hosts(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "abc", "", 8700)
    bare = (replace(BACKENDS[0], servers=()),)
    assert stamp(settings, BACKENDS) == stamp(settings, bare)
    assert stamp(settings, BACKENDS) in render(settings, BACKENDS)
    assert stamp(settings, BACKENDS) == stamp(settings, (replace(bare[0], hosts=("x.localhost",)),))
    assert stamp(settings, BACKENDS) != stamp(settings, (replace(bare[0], name="n_api"),))
    assert stamp(settings, ()) != stamp(replace(settings, http_port=1), ())
    assert render(settings, ()) == initial_config(settings)


def test_files_are_checked_before_they_replace_the_old(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "abc", "", 8700)
    files = BalancerFiles(settings)
    files.write(BACKENDS, files.ring())
    before = settings.balancer_config.read_text()
    assert (tmp_path / HOSTS_MAP).read_text() == "web.localhost n_web\nw.example.org n_web\n"
    assert settings.balancer_config.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BalancerError) as caught:
        files.write([Backend(name="not a name", hosts=("x",))], files.ring())
    assert caught.value.code == "balancer-config-invalid"
    assert settings.balancer_config.read_text() == before


def test_nobody_on_the_socket(tmp_path: Path) -> None:
    with pytest.raises(BalancerError) as caught:
        CommandSocket(tmp_path / "none.sock").ask("show info")
    assert (caught.value.code, caught.value.kind) == ("balancer-unreachable", "environment")


def test_what_haproxy_says_is_parsed() -> None:
    info = parse_info("Name: HAProxy\nPid: 42\ndescription: imageforge-1\n")
    assert (info.pid, info.description) == (42, "imageforge-1")
    header = "# pxname,svname,qcur,scur,status,addr,wretr,wredis,req_tot,hrsp_5xx,srv_abrt,"
    rows = parse_stat(f"{header}\nentry,FRONTEND,,1,OPEN,,,,5,0,,\nb,a,1,2,no check,1.2.3.4:80,3,4,5,6,7,\n")
    assert parse_clients("# pxname,svname,scur,\nentry,FRONTEND,3,\nb,BACKEND,9,\n") == 3
    (row,) = rows
    assert (row.backend, row.server, row.queued, row.current, row.up, row.address) == (
        "b",
        "a",
        1,
        2,
        True,
        "1.2.3.4:80",
    )
    assert (row.retries, row.redispatches, row.requests, row.errors_5xx, row.aborted) == (3, 4, 5, 6, 7)
    proc = "#<PID> <type>\n10 master 1\n# workers\n12 worker 0\n# old workers\n11 worker 1\n9 worker 2\n# programs\n"
    assert parse_leaving(proc) == (11, 9)
    assert parse_failed_reloads(proc) == 0
    assert parse_failed_reloads("10 master 3 [failed: 2]  0d00h00m02s") == 2
    assert parse_leaving("10 master\n# workers\n12 worker\n# programs\n") == ()


def row(server: str, requests: int, errors: int = 0, **more: int) -> Row:
    counts = {"current": 0, "queued": 0, "retries": 0, "redispatches": 0, "aborted": 0, **more}
    return Row(backend="b", server=server, status="UP", address="", requests=requests, errors_5xx=errors, **counts)  # type: ignore[arg-type]


def test_counters_go_on_over_reload_restart_and_a_new_server_of_the_same_name() -> None:
    counters = Counters()
    counters.fold(1, [row("a", 3), row(BACKEND, 4, 1)])
    counters.fold(1, [row("a", 5, 1), row(BACKEND, 7, 2)])
    assert counters.of("b").requests == 7
    counters.fold(2, [row("a", 1), row(BACKEND, 1)])
    counters.fold(1, [row("a", 6, 1), row(BACKEND, 8, 2)])
    counters.forget_server(2, "b", "a")
    counters.fold(2, [row("a", 2), row(BACKEND, 3)])
    total = counters.of("b")
    assert (total.requests, total.per_replica) == (11, {"a": 9})
    assert (total.errors_5xx, total.failed) == (1, 1)


def test_a_count_that_fell_has_begun_anew() -> None:
    counters = Counters()
    counters.fold(1, [row(BACKEND, 10)])
    counters.fold(1, [row(BACKEND, 2)])
    assert counters.of("b").requests == 12


def test_aborted_answers_are_failed_and_in_flight_is_summed() -> None:
    counters = Counters()
    counters.fold(1, [row(BACKEND, 10, aborted=2, current=1)])
    counters.fold(2, [row(BACKEND, 0, current=3)])
    assert (counters.of("b").failed, counters.of("b").in_flight) == (2, 4)
    counters.keep_processes([2])
    assert counters.of("b").in_flight == 3


def test_requests_that_got_no_answer_are_requests_and_failed() -> None:
    head = "# pxname,svname,scur,stot,req_tot,srv_abrt,hrsp_5xx"
    text = f"{head}\nb,a,0,13,8,1,0\nb,BACKEND,2,12,7,1,0\n"
    (server, backend) = parse_stat(text)
    assert (server.requests, server.dropped) == (8, 0)
    assert (backend.requests, backend.dropped, backend.aborted) == (10, 3, 1)
    counters = Counters()
    counters.fold(1, [server, backend])
    total = counters.of("b")
    assert (total.requests, total.failed, total.in_flight) == (10, 3, 2)


def test_sums_of_a_version_that_counted_less_go_on() -> None:
    before = {"requests": 5, "retries": 0, "redispatches": 0, "errors_5xx": 0, "aborted": 1}
    old = {"totals": {"b": {BACKEND: before}}, "seen": {f"1/b/{BACKEND}": [5, 0, 0, 0, 1]}}
    counters = Counters.from_json(json.dumps(old))
    # What it dropped before, while nobody counted that, is no loss of now.
    counters.fold(1, [row(BACKEND, 8, aborted=1, dropped=3)])
    assert (counters.of("b").requests, counters.of("b").failed) == (5, 1)
    counters.fold(1, [row(BACKEND, 10, aborted=1, dropped=5)])
    assert (counters.of("b").requests, counters.of("b").failed) == (7, 2)


def test_sums_of_a_version_that_counted_no_classes_go_on() -> None:
    before = {"requests": 5, "retries": 0, "redispatches": 0, "errors_5xx": 1, "aborted": 0, "dropped": 0}
    old = {"totals": {"b": {BACKEND: before}}, "seen": {f"1/b/{BACKEND}": [5, 0, 0, 1, 0, 0]}}
    counters = Counters.from_json(json.dumps(old))
    counters.fold(1, [row(BACKEND, 8, 2, answers_2xx=6)])
    total = counters.of("b")
    # Whatever came between the two controllers is a request of that time.
    classes = {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 2}
    assert (total.requests, total.by_class) == (8, {**classes, "unknown": 6})
    counters.fold(1, [row(BACKEND, 10, 2, answers_2xx=7, answers_4xx=1, queued=4, queue_ms=7, total_ms=20)])
    total = counters.of("b")
    assert (total.by_class["2xx"], total.by_class["4xx"], total.by_class["unknown"]) == (1, 1, 6)
    assert (total.queued, total.queue_ms, total.total_ms) == (4, 7, 20)


def test_what_was_counted_without_classes_was_answered_all_the_same() -> None:
    """But for what was dropped: else an upgrade would show every request of before as one without an answer."""
    before = {"requests": 50, "retries": 0, "redispatches": 0, "errors_5xx": 0, "aborted": 3, "dropped": 2}
    seen = [50, 0, 0, 0, 3, 2]
    counters = Counters.from_json(json.dumps({"totals": {"b": {BACKEND: before}}, "seen": {f"1/b/{BACKEND}": seen}}))
    assert counters.of("b").by_class == {}, "nobody has said yet whether it is served by the connection"
    counters.fold(1, [row(BACKEND, 50, aborted=3, dropped=2, http=True)])
    total = counters.of("b")
    assert (total.requests, {code: count for code, count in total.by_class.items() if count}) == (50, {"unknown": 48})
    counters.fold(1, [row(BACKEND, 52, aborted=3, dropped=3, http=True, answers_2xx=1)])
    total = counters.of("b")
    assert (total.by_class["2xx"], total.by_class["unknown"], sum(total.by_class.values())) == (1, 48, 52 - 3)


def test_a_version_that_counts_less_can_go_on() -> None:
    counters = Counters()
    counters.fold(1, [row(BACKEND, 5, answers_2xx=5)])
    said = json.loads(counters.to_json())
    assert said["seen"] == {f"1/b/{BACKEND}": [5, 0, 0, 0, 0, 0]}
    later = Counters.from_json(json.dumps(said))
    later.fold(1, [row(BACKEND, 6, answers_2xx=6)])
    assert (later.of("b").requests, later.of("b").by_class["2xx"]) == (6, 6)
    # It kept what it knew, and not what was seen of the rest: whose count begins where it is found.
    del said["more"]
    later = Counters.from_json(json.dumps(said))
    later.fold(1, [row(BACKEND, 7, answers_2xx=7)])
    assert (later.of("b").requests, later.of("b").by_class["2xx"]) == (7, 5)


def test_of_servers_long_gone_the_sums_are_kept() -> None:
    counters = Counters()
    for number in range(300):
        name, sofar = f"s{number}", number + 1
        counters.fold(1, [row("lives", number, 1), row(name, 1, 1), row(BACKEND, 2 * sofar, sofar + 3)])
        counters.forget_server(1, "b", name)
    total = counters.of("b")
    assert (total.requests, total.errors_5xx, total.failed) == (600, 301, 2)
    assert (len(total.per_replica), total.per_replica["lives"]) == (101, 299)
    assert len(counters.to_json()) < 30_000
    assert GONE not in total.per_replica
    # Of a version that kept all of them, and of processes that ended with what they had.
    said = json.loads(counters.to_json())
    said["totals"]["b"] |= {f"old{number}": {"requests": 1, "errors_5xx": 0} for number in range(200)}
    assert len(Counters.from_json(json.dumps(said)).of("b").per_replica) == 101
    counters.fold(2, [row(f"t{number}", 1) for number in range(200)])
    assert len(counters.of("b").per_replica) == 301
    counters.keep_processes([1])
    assert len(counters.of("b").per_replica) == 101
    again = Counters.from_json(counters.to_json())
    assert (again.of("b").errors_5xx, again.of("b").failed) == (301, 2)


def test_what_each_server_was_given() -> None:
    counters = Counters()
    counters.fold(1, [row("a", 5), row(BACKEND, 5)])
    assert counters.by_server({"a": ["b", "unknown"], "new": ["b"]}) == {"a": 5, "new": 0}
    assert counters.of("b").by_class == {}


def test_times_are_those_of_the_slowest_and_of_the_process_that_serves() -> None:
    counters = Counters()
    counters.fold(1, [row(BACKEND, 1, queued=2, queue_ms=5, connect_ms=1, response_ms=9, total_ms=40)])
    counters.fold(1, [replace(row(BACKEND, 1, queued=1, response_ms=90, total_ms=30), backend="c")])
    counters.fold(2, [row(BACKEND, 1, queued=9, total_ms=999)], leaving=True)
    total = counters.of("b", "c")
    assert (total.queued, total.queue_ms, total.connect_ms, total.response_ms, total.total_ms) == (3, 5, 1, 90, 40)
    counters.drop_backend("b")
    assert (counters.of("b").queued, counters.of("b").total_ms) == (0, 0)


def test_a_later_controller_counts_on() -> None:
    counters = Counters()
    counters.fold(1, [row("a", 5), row(BACKEND, 5)])
    later = Counters.from_json(counters.to_json())
    later.fold(1, [row("a", 7), row(BACKEND, 7)])
    assert later.of("b").requests == 7
    later.drop_backend("b")
    assert later.of("b").requests == 0
