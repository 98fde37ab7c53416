"""From what was seen to a verdict: every measurement's words, and when it is refused, passed, or not made."""

from __future__ import annotations

import datetime
import json
import signal
from dataclasses import asdict, replace

import pytest

from linters import Basis, Policy, Severity, TrialReport, Verdict, Waiver, by_policy
from linters.trial.engine import only_own
from linters.trial.judge import Judgement, capabilities, judge, signal_name, signal_number
from linters.trial.model import Change, Listener, Observation, Result, Run, Stop, TrialImage
from linters.trial.watch import was_killed

from .test_families import process

IMAGE = TrialImage(
    image_id="sha256:1",
    os="linux",
    architecture="amd64",
    user="10001",
    entrypoint=(),
    cmd=("/app/server",),
    exposed=(8080,),
    volumes=(),
    stop_signal="",
)
LISTENS = Listener(port=8080, address="0.0.0.0", loopback=False)
UP = Run(
    read_only=False,
    capable=False,
    lived=3.1,
    seen=True,
    processes=(process(7, 0, "/app/server"),),
    listeners=(LISTENS,),
    changes=(),
    stop=Stop(signal=15, seconds=0.2, killed=False, exit_code=0),
)
LOCKED = replace(UP, read_only=True, changes=None, stop=None)


def judged(
    *, writable: Run = UP, read_only: Run = LOCKED, image: TrialImage = IMAGE, bare: Run | None = None
) -> Judgement:
    return judge(Observation(image=image, writable=writable, read_only=read_only, bare=bare), "shop:1", 8080)


def told(found: Judgement) -> list[tuple[str, str]]:
    assert all(one.basis is Basis.MEASURED and one.line == 0 and one.fix for one in found.findings)
    return [(one.rule, one.severity.value) for one in found.findings]


def result(found: Judgement, name: str) -> tuple[Result, str]:
    return next((one.result, one.detail) for one in found.measures if one.name == name)


def test_an_image_that_does_all_right_passes() -> None:
    found = judged()
    assert (found.verdict, found.findings, found.reason) == (Verdict.PASSED, (), "")
    assert {one.result for one in found.measures} == {Result.OK}
    assert len(found.measures) == 7
    assert result(found, "non-root")[1] == "uid 10001, groups 0, capabilities none"


def test_dying_read_only_is_an_error_with_the_programs_words() -> None:
    words = ("starting", "OSError: Read-only file system: '/srv/x'", "bye")
    dead = replace(LOCKED, exit_code=1, lived=0.3, last_words=words)
    found = judged(read_only=dead)
    assert (found.verdict, told(found)) == (Verdict.REFUSED, [("IF501", "error")])
    assert "Read-only file system: '/srv/x'" in found.findings[0].message
    silent = judged(read_only=replace(LOCKED, listeners=()))
    assert "does not listen on 8080" in silent.findings[0].message
    refused = judged(read_only=replace(LOCKED, refused="read-only mount"))
    assert told(refused) == [("IF501", "error")]


def test_what_it_writes_is_a_warning_where_it_could_do_without() -> None:
    changes = tuple(Change(path=f"/srv/{number}", how="added") for number in range(8))
    found = judged(writable=replace(UP, changes=changes))
    assert (found.verdict, told(found)) == (Verdict.PASSED, [("IF502", "warning")])
    assert found.findings[0].message.endswith("/srv/5 (added) and 2 more")


def test_two_programs_are_an_error_that_names_both() -> None:
    processes = (process(7, 0, "/app/web"), process(8, 7, "/opt2/worker", "worker", "--all"))
    found = judged(writable=replace(UP, processes=processes))
    assert told(found) == [("IF503", "error")]
    assert "`/app/web`, `worker --all`" in found.findings[0].message


def test_a_kill_is_an_error_and_says_whose_fault_it_is() -> None:
    killed = Stop(signal=15, seconds=2.1, killed=True, exit_code=137)
    deaf = judged(writable=replace(UP, stop=killed))
    assert told(deaf) == [("IF504", "error")]
    assert "its first process does not handle it" in deaf.findings[0].message
    slow = (replace(process(7, 0, "/app/server"), caught=1 << 14),)
    late = judged(writable=replace(UP, stop=killed, processes=slow))
    assert "did not end in time" in late.findings[0].message


def test_root_is_an_error_though_its_workers_are_not() -> None:
    root = replace(process(7, 0, "/app/server"), uid=0, capabilities=1 << 10)
    worker = process(8, 7, "/app/server")
    found = judged(writable=replace(UP, processes=(root, worker)))
    assert told(found) == [("IF402", "error")]
    assert found.findings[0].message == "`/app/server` runs as root, 1 other as 10001"
    assert "NET_BIND_SERVICE" in result(found, "non-root")[1]


def test_ports_that_nobody_declared_and_such_that_nobody_reaches() -> None:
    debug = Listener(port=9090, address="0.0.0.0", loopback=False)
    inner = Listener(port=6060, address="127.0.0.1", loopback=True)
    found = judged(writable=replace(UP, listeners=(LISTENS, debug, inner)))
    assert told(found) == [("IF505", "error")]
    assert result(found, "declared ports")[1] == "listens on 8080, 9090; 6060 on loopback only"
    hidden = replace(UP, listeners=(Listener(port=8080, address="127.0.0.1", loopback=True),))
    found = judged(writable=hidden, read_only=replace(hidden, read_only=True, stop=None))
    assert (found.verdict, told(found)) == (Verdict.PASSED, [("IF505", "warning")])
    # Without EXPOSE, PORT says where.
    bare = replace(IMAGE, exposed=())
    assert judged(image=bare).findings == ()
    other = replace(UP, listeners=(replace(LISTENS, port=3000),))
    assert "PORT says 8080" in judged(writable=other, read_only=other, image=bare).findings[0].message
    # One that is declared and closed is told, and no fault: it may need what a trial does not give.
    silent = judged(writable=replace(UP, listeners=()), read_only=replace(LOCKED, listeners=()))
    assert (silent.findings, "nobody listens on 8080" in result(silent, "declared ports")[1]) == ((), True)


def test_a_program_that_needs_rights_to_start_is_measured_with_them() -> None:
    bare = replace(UP, exit_code=1, lived=0.2, last_words=("chown: Operation not permitted",), changes=None, stop=None)
    found = judged(bare=bare)
    assert (found.verdict, told(found)) == (Verdict.REFUSED, [("IF506", "error")])
    assert "chown: Operation not permitted" in found.findings[0].message


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (replace(UP, exit_code=1, lived=0.4), "it ended after 0.4 s with exit code 1; it may need"),
        (replace(UP, exit_code=0, lived=0.4), "by itself, as a job does"),
        (replace(UP, exit_code=137, out_of_memory=True), "for want of memory"),
        (replace(UP, refused='exec: "server": not found'), 'the engine cannot start it: exec: "server": not found'),
    ],
)
def test_what_is_not_up_was_not_measured_and_is_no_pass(run: Run, reason: str) -> None:
    found = judged(writable=replace(run, last_words=("no database",)))
    assert (found.verdict, found.findings, found.measures) == (Verdict.UNMADE, (), ())
    assert reason in found.reason
    assert found.last_words == ("no database",)


def test_of_a_job_it_is_said_how_to_judge_it() -> None:
    ended = judged(writable=replace(UP, exit_code=0, lived=0.4))
    assert ended.hint == (
        "a job is judged by its files: imageforge lint --image shop:1; a command of it that stays up can be tried: "
        "imageforge trial shop:1 -- CMD"
    )
    assert judged(writable=replace(UP, exit_code=1, lived=0.4)).hint == ""
    assert judged().hint == ""


def test_an_engine_elsewhere_hides_the_processes_and_that_is_no_pass() -> None:
    blind = replace(UP, seen=False, processes=(), listeners=())
    found = judged(writable=blind, read_only=replace(blind, read_only=True, stop=None))
    assert found.verdict is Verdict.UNMADE
    assert found.reason == "not all could be measured: one process, non-root, declared ports"
    assert result(found, "ends when told to")[0] is Result.OK
    dead = judged(writable=blind, read_only=replace(LOCKED, exit_code=1))
    assert dead.verdict is Verdict.REFUSED


def test_signals_and_capabilities_by_their_names() -> None:
    assert [signal_number(text) for text in ("", "SIGQUIT", "quit", "3", "99", "x")] == [15, 3, 3, 3, 15, 15]
    assert (signal_name(15), signal_name(40)) == (signal.SIGTERM.name, "signal 40")
    assert (capabilities(0), capabilities(0b11), capabilities(1 << 60)) == ("none", "CHOWN, DAC_OVERRIDE", hex(1 << 60))


def test_what_an_engine_makes_is_not_the_containers_doing() -> None:
    found = [
        ("/data", 1), ("/var/lib/app", 0), ("/var/lib/app/db", 1), ("/var/lib/app/db/x", 1), ("/etc", 0),
        ("/etc/hosts", 0), ("/etc/passwd", 0), ("/dev/console", 1), ("/device", 1), ("/run", 0), ("/gone", 2),
        ("/mnt", 1), ("/mnt/volume", 1), ("/tmp/x", 1), ("/a\x1bb", 1),
    ]  # fmt: skip
    mounts = {"/data", "/mnt/volume", "/tmp", "/run"}
    assert only_own(found, mounts) == (
        Change(path="/a\\x1bb", how="added"),
        Change(path="/device", how="added"),
        Change(path="/etc/passwd", how="changed"),
        Change(path="/gone", how="deleted"),
        Change(path="/var/lib/app/db/x", how="added"),
    )
    assert only_own([], set()) == ()


def test_a_report_comes_back_from_json_as_it_was() -> None:
    found = judged(read_only=replace(LOCKED, exit_code=1))
    report = TrialReport(
        name="shop:1",
        image_id="sha256:1",
        command=("/app/server",),
        verdict=found.verdict,
        seconds=3.2,
        measures=found.measures,
        findings=found.findings,
        last_words=("a",),
    )
    assert TrialReport.from_json(json.loads(json.dumps(asdict(report)))) == report
    for broken in ({}, {**asdict(report), "verdict": "maybe"}, {**asdict(report), "more": 1}):
        with pytest.raises((KeyError, ValueError, TypeError)):
            TrialReport.from_json(broken)


def test_an_end_of_its_own_is_no_kill_whatever_its_exit_code() -> None:
    assert not was_killed(137, 0.4, 8.0)
    assert not was_killed(0, 8.0, 8.0)
    assert was_killed(137, 8.1, 8.0)
    assert was_killed(137, 2.3, 2.4)


def test_a_signal_that_nobody_can_handle_is_an_error() -> None:
    found = judged(writable=replace(UP, stop=Stop(signal=9, seconds=0.2, killed=False, exit_code=137)))
    assert told(found) == [("IF504", "error")]
    assert "STOPSIGNAL is SIGKILL" in found.findings[0].message


def test_what_a_project_waives_or_turns_down_makes_no_refusal() -> None:
    slow = replace(UP, stop=Stop(signal=15, seconds=10.0, killed=True, exit_code=137))
    found = judged(writable=slow)
    assert (found.verdict, told(found)) == (Verdict.REFUSED, [("IF504", "error")])
    report = TrialReport(
        name="shop:1",
        image_id="sha256:1",
        command=(),
        verdict=found.verdict,
        seconds=5.0,
        measures=found.measures,
        findings=found.findings,
    )
    day = datetime.date(2026, 1, 31)
    waiver = Waiver(rule="IF504", reason="nothing is lost", until=day)

    def by(policy: Policy, today: datetime.date = day, fail_on: Severity = Severity.ERROR) -> tuple[Verdict, int, int]:
        after, settled = by_policy(report, policy, fail_on=fail_on, today=today)
        return after.verdict, len(after.findings), len(settled.suppressed)

    assert by(Policy()) == (Verdict.REFUSED, 1, 0)
    assert by(Policy(waivers=(waiver,))) == (Verdict.PASSED, 0, 1)
    assert by(Policy(waivers=(waiver,)), today=day + datetime.timedelta(days=1)) == (Verdict.REFUSED, 1, 0)
    turned_down = Policy(severities={"IF504": Severity.WARNING})
    assert by(turned_down) == (Verdict.PASSED, 1, 0)
    assert by(turned_down, fail_on=Severity.WARNING) == (Verdict.REFUSED, 1, 0)
    assert by(Policy(severities={"IF504": None})) == (Verdict.PASSED, 0, 0)
    # What nobody could measure is not passed by a waiver of something else.
    blind = (replace(found.measures[-1], name="ports", result=Result.UNMEASURED), *found.measures[:-1])
    after, _ = by_policy(replace(report, measures=blind), Policy(waivers=(waiver,)), fail_on=Severity.ERROR, today=day)
    assert (after.verdict, after.reason) == (Verdict.UNMADE, "not all could be measured: ports")
    unmade = replace(report, verdict=Verdict.UNMADE, reason="no database", measures=(), findings=())
    assert by_policy(unmade, Policy(waivers=(waiver,)), fail_on=Severity.ERROR, today=day)[0] == unmade
