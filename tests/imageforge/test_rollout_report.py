"""The report of a rollout: its forms, its percentiles, and what makes a proof fail."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from imageforge.cli.applying import show_following
from imageforge.cli.output import Format
from imageforge.errors import DeployFailed
from imageforge.pipeline.applying import lost
from imageforge.pipeline.cutover import CutoverCount, latency, percentile
from imageforge.pipeline.rolled import report_of, stalled_record
from imageforge.report import apply, deploy, rollout
from imageforge.report.apply import ApplyReport, ObjectRow
from imageforge.report.deploy import DeployReport, StageRow
from imageforge.report.rollout import Latency, OwnRequests, ReplicaRow, RolloutReport, ServiceRow, Verdict
from runtime import ControllerClient, FieldChange, Outcome, RolledReplica, RolloutRecord, Traffic

OLD = "sha256:" + "1f" * 32
NEW = "sha256:" + "77" * 32
RECORD = RolloutRecord(
    namespace="shop",
    name="web",
    revision=2,
    generation=3,
    hash="x",
    change="configured",
    stored_at=1000.0,
    replicas=2,
    changes=(
        FieldChange(field="image", before="shop/web:1.0", after="shop/web:1.1"),
        FieldChange(field="replicas", before="1", after="2"),
        FieldChange(field="env VERSION", before="", after="changed"),
    ),
    outcome=Outcome.COMPLETE,
    started_at=1000.4,
    ready_at=1000.9,
    switched_at=1001.9,
    drained_at=1002.0,
    done_at=1002.1,
    ended_at=1003.1,
    images={"web": NEW},
    images_before={"web": OLD},
    traffic=(Traffic(service="web", protocol="http", requests=1204, retried=2, errors_5xx=3),),
    drained=12,
    replica_list=(
        RolledReplica(name="web-x-1", phase="Ready", ready=True, restarts=0, address="10.0.0.2"),
        RolledReplica(name="web-x-2", phase="Ready", ready=True, restarts=1, address="10.0.0.3"),
    ),
)
COUNT = CutoverCount(
    sent=31,
    failed=0,
    slowest=0.008,
    before=Latency(count=20, p50_ms=1.9, p99_ms=3.0),
    during=Latency(count=11, p50_ms=2.2, p99_ms=8.1),
    after=Latency(count=20, p50_ms=1.8, p99_ms=2.6),
)
REPORT = report_of(RECORD, COUNT, "/ready")
STALLED = report_of(
    replace(
        RECORD,
        outcome=Outcome.STALLED,
        message="no progress for 20 s; web-x-1: ended with exit code 1",
        switched_at=None,
        drained_at=None,
        done_at=None,
        ended_at=None,
        drained=0,
        traffic=(),
        last_log=("Traceback | <b>", "```", "KeyError: 'DB'"),
    )
)

TEXT = """\
deployment/web in shop: revision 2, complete in 2.1 s
cutover  passed: 0 of 1,204 requests lost, 2 retried, 12 in flight drained
changed  image shop/web:1.0 (1f1f1f1f1f1f) -> shop/web:1.1 (777777777777)
         replicas 1 -> 2
         env VERSION changed
steps    started 0.4 s, ready 0.9 s, switched 1.9 s, drained 2.0 s, done 2.1 s
counted  by the balancer for service/web: 1204 requests, 0 lost, 3 answered 5xx by the app
own      31 requests of our own to /ready, 0 lost
latency  of our own, p50/p99: before 1.9/3.0 ms of 20, during 2.2/8.1 ms of 11, after 1.8/2.6 ms of 20

REPLICA    STATE    READY      RESTARTS  ADDRESS
---------  -------  -------  ----------  ---------
web-x-1    Ready    yes               0  10.0.0.2
web-x-2    Ready    yes               1  10.0.0.3"""

MARKDOWN = """\
### deployment/web in shop: revision 2, complete in 2.1 s

Cut-over passed: 0 of 1,204 requests lost, 2 retried, 12 in flight drained.

| Of           | What                                  | Number   | Lost   | Retried   | 5xx of the app   |
|--------------|---------------------------------------|----------|--------|-----------|------------------|
| service/web  | all requests, counted by the balancer | 1204     | 0      | 2         | 3                |
| `GET /ready` | requests of our own                   | 31       | 0      |           |                  |

<details><summary>What changed, steps, latencies and replicas</summary>

| Changed     | Before                        | After                         |
|-------------|-------------------------------|-------------------------------|
| image       | `shop/web:1.0 (1f1f1f1f1f1f)` | `shop/web:1.1 (777777777777)` |
| replicas    | `1`                           | `2`                           |
| env VERSION |                               | `changed`                     |

| Step     | After   |
|----------|---------|
| stored   | 0.0 s   |
| started  | 0.4 s   |
| ready    | 0.9 s   |
| switched | 1.9 s   |
| drained  | 2.0 s   |
| done     | 2.1 s   |

| Requests of our own   | Count   | p50 ms   | p99 ms   |
|-----------------------|---------|----------|----------|
| before                | 20      | 1.9      | 3.0      |
| during                | 11      | 2.2      | 8.1      |
| after                 | 20      | 1.8      | 2.6      |

| Replica   | State   | Ready   | Restarts   | Address   |
|-----------|---------|---------|------------|-----------|
| web-x-1   | Ready   | yes     | 0          | 10.0.0.2  |
| web-x-2   | Ready   | yes     | 1          | 10.0.0.3  |

</details>"""

STALLED_TEXT = """\
deployment/web in shop: revision 2, stalled
cutover  no proof: no Service leads to it through the balancer
changed  image shop/web:1.0 (1f1f1f1f1f1f) -> shop/web:1.1 (777777777777)
         replicas 1 -> 2
         env VERSION changed
steps    started 0.4 s, ready 0.9 s
reason   no progress for 20 s; web-x-1: ended with exit code 1
log      Traceback | <b>
         ```
         KeyError: 'DB'
"""


def test_for_a_terminal() -> None:
    assert rollout.as_text(REPORT) == TEXT
    assert rollout.as_text(STALLED).startswith(STALLED_TEXT)


def test_for_a_pull_request() -> None:
    assert rollout.as_markdown(REPORT) == MARKDOWN
    told = rollout.as_markdown(STALLED)
    # A fence longer than any in the log, so that nothing of an application's output is Markdown.
    assert "````\nTraceback | <b>\n```\nKeyError: 'DB'\n````" in told
    hostile = replace(
        REPORT,
        message="a|b <img src=x> @everyone `x`",
        replicas=(ReplicaRow(name="w", phase="a|b", ready=False, restarts=0, address="", revision=2),),
    )
    shown = rollout.as_markdown(hostile)
    assert "<img" not in shown
    assert "@everyone" not in shown
    assert r"a\|b" in shown


def test_as_json_and_back() -> None:
    for report in (REPORT, STALLED):
        raw = json.loads(json.dumps(report.as_json()))
        assert RolloutReport.from_json(raw) == report
        assert RolloutReport.from_json({**raw, "later": 1}) == report
    assert REPORT.as_json()["proof"] == {
        "verdict": "passed",
        "text": "0 of 1,204 requests lost, 2 retried, 12 in flight drained",
    }
    whole = ApplyReport(
        objects=(ObjectRow(kind="Deployment", namespace="shop", name="web", change="configured"),), rollouts=(REPORT,)
    )
    assert ApplyReport.from_json(json.loads(json.dumps(whole.as_json()))) == whole
    assert apply.as_markdown(whole).startswith(MARKDOWN)
    assert "<details><summary>1 of 1 objects changed</summary>" in apply.as_markdown(whole)


def test_what_was_noted_with_the_record_is_told_later() -> None:
    own = COUNT.as_own("/ready")
    assert own is not None
    noted = replace(RECORD, own=json.loads(json.dumps(REPORT.as_json()["own"])))
    assert report_of(noted) == REPORT
    assert report_of(RECORD).own is None


def served(requests: int, failed: int = 0, protocol: str = "http") -> tuple[ServiceRow, ...]:
    return (ServiceRow(service="web", protocol=protocol, requests=requests, failed=failed, retried=0, errors_5xx=9),)


def asked(sent: int, failed: int = 0) -> OwnRequests:
    return OwnRequests(path="/", sent=sent, failed=failed, first_failure="the balancer answered 503" if failed else "")


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({"traffic": (), "own": None}, Verdict.NONE, "no proof: no Service leads to it through the balancer"),
        ({"traffic": served(0), "own": None}, Verdict.NONE, "no proof: no request came meanwhile"),
        ({"traffic": served(9, 9), "desired": 0}, Verdict.NONE, "no proof: no replica is to answer"),
        ({"traffic": served(9), "own": None}, Verdict.PASSED, "0 of 9 requests lost"),
        ({"traffic": served(9, 1), "own": None}, Verdict.FAILED, "1 of 9 requests lost"),
        ({"traffic": served(9), "own": asked(3, 1)}, Verdict.FAILED,
         "1 of 9 requests lost; of our own the first: the balancer answered 503"),
        ({"traffic": served(0, protocol="tcp"), "own": None}, Verdict.NONE, "no proof: no connection came meanwhile"),
        ({"traffic": served(4, 2, "tcp"), "own": None}, Verdict.FAILED, "2 of 4 connections lost"),
        ({"traffic": served(0), "own": asked(3)}, Verdict.PASSED, "0 of 3 requests lost"),
        ({"traffic": served(9), "own": None, "undrained": 2}, Verdict.PASSED,
         "0 of 9 requests lost, 2 open beyond the grace period"),
    ],
)  # fmt: skip
def test_what_proves_a_cut_over(changes: dict[str, object], verdict: Verdict, text: str) -> None:
    report = replace(REPORT, drained=0, **changes)  # type: ignore[arg-type]
    assert (report.proof.verdict, report.proof.text) == (verdict, text)
    assert report.ok is (verdict is not Verdict.FAILED)
    error = lost(report)
    assert (error is not None) == (verdict is Verdict.FAILED)
    if error is not None:
        assert error.code == "cutover-lost-requests"
        assert error.hint is not None
        assert "SIGTERM" in error.hint
        gap = replace(report, recreate=True)
        assert (gap.proof.verdict, gap.ok, lost(gap)) == (Verdict.NONE, True, None)
        assert "no proof: " in gap.proof.text
        assert "Recreate" in gap.proof.text


def test_a_stalled_one_is_not_well_whatever_was_served() -> None:
    assert not STALLED.ok
    assert lost(STALLED) is None, "that it stalled is said by another error"


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1.0), (50, 5.0), (51, 6.0), (90, 9.0), (91, 10.0), (99, 10.0), (100, 10.0)]
)
def test_percentiles_are_nearest_ranks(percent: float, value: float) -> None:
    times = [float(number) for number in (3, 1, 2, 10, 5, 4, 9, 8, 7, 6)]
    assert percentile(times, percent) == value


def test_latencies_are_of_what_was_answered() -> None:
    assert latency([]) == Latency(count=0)
    assert latency([0.001]) == Latency(count=1, p50_ms=1.0, p99_ms=1.0)
    assert CutoverCount(sent=0, failed=0, slowest=0.0).as_own("/") is None


DEPLOYED = DeployReport(
    app="web",
    release=4,
    reference="127.0.0.1:5000/web@sha256:abc",
    url="http://web.localhost",
    desired=2,
    ready=2,
    requests=1204,
    failed=0,
    retried=2,
    slowest_ms=8.1,
    rollout_seconds=2.1,
    stages=(StageRow(name="build", summary="a|b", seconds=1.0),),
    replicas=REPORT.replicas,
    rollouts=(REPORT,),
)


def test_a_release_is_told_by_the_same_lines() -> None:
    text = deploy.as_text(DEPLOYED)
    assert text.splitlines()[:4] == [
        "web release 4  http://web.localhost",
        "image    127.0.0.1:5000/web@sha256:abc",
        "cutover  0 of 1204 requests failed, 2 retried, slowest 8 ms",
        "changed  image shop/web:1.0 (1f1f1f1f1f1f) -> shop/web:1.1 (777777777777)",
    ]
    assert text.endswith(TEXT.partition("\n\n")[2])
    assert "\n".join(TEXT.splitlines()[2:9]) in text
    several = deploy.as_text(replace(DEPLOYED, rollouts=(REPORT, replace(REPORT, deployment="web-worker", own=None))))
    assert "\ndeployment/web-worker in shop: revision 2, complete in 2.1 s\n  changed  image" in several
    markdown = deploy.as_markdown(DEPLOYED)
    assert "<details>" in markdown
    assert r"a\|b" in markdown
    raw = json.loads(json.dumps(DEPLOYED.as_json()))
    assert DeployReport.from_json(raw) == DEPLOYED
    # Reports of earlier versions are shown as they were.
    del raw["rollouts"]
    old = DeployReport.from_json(raw)
    assert old == replace(DEPLOYED, rollouts=())
    assert "| web-x-1" in deploy.as_markdown(old)


def test_an_apply_that_is_not_followed_to_its_end_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"kind": "applied", "objects": []}, {"kind": "progress", "text": "web: 0 of 2"}]
    with pytest.raises(DeployFailed) as failed:
        show_following(rows, Format.JSON)
    assert failed.value.code == "follow-cut-off"
    assert json.loads(capsys.readouterr().out)["objects"] == []
    show_following([*rows, {"kind": "end", "error": None}], Format.JSON)


def test_the_record_of_what_stalled_is_awaited_until_it_says_so() -> None:
    """Who watches sees by the clock that it has stalled, a moment before the controller has looked and written why."""
    running = replace(RECORD, outcome=Outcome.RUNNING, ended_at=None)
    stalled = replace(running, outcome=Outcome.STALLED, message="why", last_log=("last words",))

    def told(*records: RolloutRecord) -> ControllerClient:
        return cast(ControllerClient, SimpleNamespace(watch_rollout=lambda *_, **__: iter(records)))

    assert stalled_record(told(running, running, stalled, running), "shop", "web") == stalled
    assert stalled_record(told(running), "shop", "web") == running, "the controller is busy: as it stands then"
    assert stalled_record(told(), "shop", "web") is None
