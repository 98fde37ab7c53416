"""The pods of Jobs: what the Job remembers of them, what it does to them over any number of controllers, and those that
the version before has made."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import JobPhase, JobStatus, load_manifests
from runtime.attempt import Attempt, JobRun
from runtime.clock import steady
from runtime.events import Recorder
from runtime.job_pod import known_pods, new_pod, seen
from runtime.jobs import Jobs
from runtime.keeper import Keeper
from runtime.manifest.model import Job, Service
from runtime.objects import Objects
from runtime.restart import Backoff
from runtime.roster import Replica, Roster, from_stored, to_stored
from runtime.routes import endpoints
from runtime.seal import Seal
from runtime.store import Store


def text(spec: str = "", *, policy: str = "Never", more: str = "") -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: task}}
spec:
  {spec}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      restartPolicy: {policy}
      {more}
      containers: [{{name: main, image: a, ports: [{{containerPort: 80}}]}}, {{name: other, image: b}}]
      initContainers: [{{name: first, image: a}}, {{name: side, image: a, restartPolicy: Always}}]
"""


def job(spec: str = "", *, policy: str = "Never") -> Job:
    found = load_manifests(text(spec, policy=policy))[0].object
    assert isinstance(found, Job)
    return found


ATTEMPT = Attempt(name="task-a")
RUNS: dict[str, object] = {"container_id": "c", "running": True, "started_at": 11.0}
OK: dict[str, object] = {
    "container_id": "c", "settled": "c", "started_at": 11.0, "ended_at": 20.0, "exit_code": 0, "done": True,
    "message": "ended with exit code 0",
}  # fmt: skip
BAD: dict[str, object] = {**OK, "exit_code": 3, "message": "ended with exit code 3", "last_log": ("no good",)}
LOST: dict[str, object] = {**BAD, "exit_code": 137, "lost": True, "message": "its container was lost", "last_log": ()}
NEVER_BEGUN: dict[str, object] = {"done": True}


def pod(changes: dict[str, object] | None = None, **records: dict[str, object]) -> Replica:
    made = new_pod(job(), ATTEMPT, 10.0)
    for name, said in records.items():
        made = made.with_record(name, 11.0, **said)
    return replace(made, **(changes or {}))  # type: ignore[arg-type]


DONE: dict[str, object] = {"done": True}
HALTED: dict[str, object] = {"done": True, "halted": True}


@pytest.mark.parametrize(
    ("stands", "code", "message", "verdict"),
    [
        (pod(), None, "", "active"),
        (pod(first=OK, side=RUNS, main=RUNS, other=RUNS), None, "", "active"),
        # Ended, and its sidecar is still being stopped.
        (pod(first=OK, side=RUNS, main=OK, other=OK), 0, "", "active"),
        (pod(DONE, first=OK, side=OK, main=OK, other=OK), 0, "ended with exit code 0", "succeeded"),
        (pod(DONE, first=OK, side=BAD, main=OK, other=OK), 0, "ended with exit code 0", "succeeded"),
        (pod(DONE, first=OK, side=OK, main=OK, other=BAD), 3, "other: ended with exit code 3", "failed"),
        (pod(DONE, first=OK, side=OK, main=BAD, other=OK), 3, "ended with exit code 3", "failed"),
        (pod(DONE, first=BAD), 3, "first: ended with exit code 3", "failed"),
        (pod(DONE, first=OK, side=OK, main=LOST, other=OK), None, "its container was lost", "failed"),
        (pod(HALTED), None, "it was never started", "failed"),
        (pod(HALTED, first=OK, main=OK, other=NEVER_BEGUN), 128, "other: it was never started", "failed"),
        # Where the network was lost before the first of them had begun.
        (pod(DONE, first=BAD, main=NEVER_BEGUN), 3, "first: ended with exit code 3", "failed"),
    ],
)
def test_what_a_job_remembers_of_its_pod(stands: Replica, code: int | None, message: str, verdict: str) -> None:
    found = seen(ATTEMPT, stands, 100.0)
    assert (found.exit_code, found.succeeded, found.failed) == (code, verdict == "succeeded", verdict == "failed")
    assert message in found.message
    assert (found.ended_at is None) == (verdict == "active")
    assert verdict == "active" or seen(found, pod(first=RUNS), 200.0) == found, "what has ended stays as it was"
    assert found.lost == stands.record("main").lost


def test_what_was_stopped_and_what_had_ended_before() -> None:
    told = replace(ATTEMPT, given_up=True)
    ended = {"first": OK, "side": OK, "main": OK, "other": OK}
    stopped = seen(told, pod(HALTED, **ended), 100.0)
    assert (stopped.succeeded, stopped.failed, stopped.given_up) == (False, False, True)
    by_itself = seen(told, pod(DONE, **ended), 100.0)
    assert (by_itself.succeeded, by_itself.given_up) == (True, False)


def test_starts_in_a_pod_are_counted_over_all_its_containers() -> None:
    again = {
        "container_id": "c",
        "settled": "c",
        "ended_at": 50.0,
        "exit_code": 1,
        "backoff": Backoff(restarts=2, delay=10.0),
    }
    found = seen(ATTEMPT, pod(first={**OK, "backoff": Backoff(restarts=1)}, main=again), 55.0)
    assert (found.restarts, found.retry_at, found.delay, found.running) == (3, 60.0, 10.0, False)


def test_a_pod_is_the_same_after_a_way_through_the_store() -> None:
    stands = pod({"done": True, "halted": True, "placed": True, "index": 4}, first=OK, main=LOST)
    assert from_stored(to_stored(stands), stands.template) == replace(stands, address="", pid=0)


def test_a_service_leads_to_it_only_where_it_says_so() -> None:
    stands = pod(first=OK, side={**RUNS, "ready": True}, main={**RUNS, "ready": True}, other={**RUNS, "ready": True})
    stands = replace(stands, address="10.0.0.9")
    assert stands.serves

    def service(selector: dict[str, str]) -> Service:
        (found,) = (Service(namespace="default", name="web", selector=selector, ports=()),)
        return found

    assert endpoints(service({"app": "web"}), [stands]) == ()
    assert endpoints(service({"app": "web"}), [replace(stands, job="")]) != ()
    assert endpoints(service({"job-name": "task"}), [stands]) == (stands,)
    assert endpoints(service({"app": "web", "batch.kubernetes.io/job-name": "task"}), [stands]) == (stands,)
    assert endpoints(service({"job-name": "another"}), [stands]) == ()


@dataclass
class Played:
    """The pods as an engine would have them, which outlive a controller: each container that began and how it ended.
    `live` is what the keepers do next to one of them."""

    codes: list[int]
    order: random.Random
    begun: list[str] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)


class Players:
    """Keepers without an engine: what happens to a pod happens when `step` is called, in the order in which a keeper
    does it."""

    def __init__(self, roster: Roster, played: Played) -> None:
        self.roster = roster
        self.played = played
        self.halting: set[str] = set()
        self.ending: set[str] = set()

    def begin(self, replica: Replica) -> None:
        assert self.roster.get(replica.name) is None
        self.roster.add(replica)

    def halt(self, name: str) -> None:
        self.halting.add(name)

    def end(self, name: str) -> None:
        found = self.roster.get(name)
        assert found is not None
        assert found.done, "what is removed has ended"
        self.roster.update(name, terminating=True)
        self.ending.add(name)

    def step(self) -> bool:
        """Whether anything happened."""
        waiting = [item for item in self.roster.all() if not item.done or item.name in self.ending]
        if not waiting:
            return False
        chosen = self.played.order.choice(waiting)
        name, main = chosen.name, chosen.record("main")
        if name in self.ending:
            self.roster.remove(name)
        elif name in self.halting and not main.done:
            self._stop(chosen)
        elif main.done:
            self.roster.update(name, done=True)
        elif not main.container_id:
            # Known before it is started.
            self.roster.tell(name, "main", container_id=f"c-{name}", running=True)
        elif name not in self.played.begun:
            self.played.begun.append(name)
        elif name not in self.played.ended:
            # It ends, and nobody has told yet.
            self.played.ended[name] = self.played.codes.pop() if self.played.codes else 0
        else:
            self._record(chosen)
        return True

    def _stop(self, chosen: Replica) -> None:
        name = chosen.name
        if name not in self.played.ended or name in self.played.stopped:
            self.roster.update(name, halted=True)
            self.played.stopped.add(name)
            if name in self.played.begun:
                # In peace, on its signal.
                self.played.ended.setdefault(name, 0)
        self._record(chosen)

    def _record(self, chosen: Replica) -> None:
        name, main = chosen.name, chosen.record("main")
        code = self.played.ended.get(name)
        self.roster.tell(
            name,
            "main",
            running=False,
            done=True,
            settled=main.container_id,
            exit_code=code,
            ended_at=None if code is None else steady(),
        )


ONE = """
apiVersion: batch/v1
kind: Job
metadata: {name: task}
spec:
  %s
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: a}]}}
"""


class Home:
    """A controller's part for Jobs, on a store that outlives it."""

    def __init__(self, folder: Path, played: Played) -> None:
        self.store = Store(folder / "x.db")
        self.roster = Roster(self.store)
        self.objects = Objects(self.store, lambda: None, Seal(folder / "key"))
        self.players = Players(self.roster, played)
        self.gone: list[str] = []
        self.jobs = Jobs(
            self.objects, self.store, self.roster, self.players, events=Recorder(self.store), emptied=self.gone.append
        )
        templates = self.jobs.templates()
        known = [from_stored(item, templates[item.name]) for item in self.store.replicas()]
        for replica in [*known, *self.jobs.known_pods([item.name for item in known])]:
            self.roster.add(replica)
            if replica.halted:
                self.players.halt(replica.name)
            if replica.terminating:
                self.players.ending.add(replica.name)

    @property
    def status(self) -> JobStatus:
        return self.jobs.status("default", "task")


class Killed(Exception):
    """The controller was killed in the middle of a write."""


class Machine:
    """One controller after the other; each write of a run or of a replica may be the one before which it is killed."""

    def __init__(self, folder: Path, played: Played, kills: set[int]) -> None:
        self.folder = folder
        self.played = played
        self.kills = kills
        self.writes = itertools.count(1)
        self.home = self.boot()

    def boot(self) -> Home:
        home = Home(self.folder, self.played)
        for method in ("put_job_run", "put_replica"):
            setattr(home.store, method, partial(self.write, getattr(home.store, method)))
        return home

    def write(self, real: Callable[..., None], *args: object) -> None:
        if next(self.writes) in self.kills:
            raise Killed
        real(*args)

    def until(self, reached: Callable[[Home], bool], most: int) -> None:
        for _ in range(600):
            try:
                self.home.jobs.sync()
                assert len([item for item in self.home.roster.all() if not item.done]) <= most
                if reached(self.home):
                    return
                self.home.players.step()
            except Killed:
                self.home.store.close()
                self.home = self.boot()
        raise AssertionError("it comes to no end")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    codes=st.lists(st.sampled_from([0, 0, 1]), max_size=12),
    order=st.randoms(use_true_random=False),
    completions=st.integers(1, 4),
    parallelism=st.integers(1, 3),
    mode=st.sampled_from(["Indexed", "NonIndexed"]),
    kills=st.sets(st.integers(1, 80), max_size=6),
    suspended=st.booleans(),
)
def test_any_history_over_killed_controllers(
    codes: list[int],
    order: random.Random,
    completions: int,
    parallelism: int,
    mode: str,
    kills: set[int],
    suspended: bool,
) -> None:
    """Killed before any of its writes, any number of times: each pod runs at most once, what has succeeded is counted
    once, and the Job comes to its verdict and goes."""
    played = Played(codes=list(codes), order=order)
    spec = f"completions: {completions}\n  parallelism: {parallelism}\n  backoffLimit: 0\n  completionMode: {mode}"
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), played, kills)
        machine.home.objects.apply(ONE % spec, "a.yaml")
        if suspended:
            machine.until(lambda _: bool(played.begun), parallelism)
            machine.home.objects.apply(ONE % f"suspend: true\n  {spec}", "a.yaml")
            machine.until(_is_suspended_or_done, parallelism)
            machine.home.objects.apply(ONE % spec, "a.yaml")
        machine.until(lambda home: home.status.phase is not JobPhase.ACTIVE, parallelism)
        status = machine.home.status
        assert len(played.begun) == len(set(played.begun))
        well = [name for name, code in played.ended.items() if code == 0 and name not in played.stopped]
        assert status.succeeded == len(well)
        assert status.succeeded <= completions
        assert (status.phase is JobPhase.SUCCEEDED) == (status.succeeded == completions)
        assert (status.phase is JobPhase.FAILED) == (status.reason == "BackoffLimitExceeded")
        machine.home.objects.delete("default", "Job", "task")
        machine.until(lambda home: bool(home.gone), parallelism)
        assert machine.home.roster.all() == ()
        assert machine.home.store.job_runs() == {}
        machine.home.store.close()


def _is_suspended_or_done(home: Home) -> bool:
    return home.status.suspended or home.status.phase is not JobPhase.ACTIVE


def test_a_container_is_not_started_again_where_the_job_has_failed_with_that(tmp_path: Path) -> None:
    home = Home(tmp_path, Played(codes=[], order=random.Random(0)))
    home.objects.apply((ONE % "backoffLimit: 2").replace("Never", "OnFailure"), "a.yaml")
    home.jobs.sync()
    (replica,) = home.roster.all()
    for restarts, again in ((1, True), (2, False)):
        home.roster.tell(replica.name, "main", exit_code=1, backoff=Backoff(restarts=restarts))
        (replica,) = home.roster.all()
        assert home.jobs.may_start_again(replica) is again
    home.jobs.sync()
    assert home.players.halting == {replica.name}
    assert not home.jobs.may_start_again(replace(replica, job="another"))
    home.store.close()


BEFORE = json.dumps(
    {
        "started_at": 1000.0,
        "stopping": "",
        "finished_at": None,
        "reason": "",
        "attempts": [
            {"name": "task-a", "container_id": "ca", "started_at": 1001.0, "ended_at": 1002.0, "exit_code": 1,
             "message": "ended with exit code 1", "last_log": ["no"], "index": 0},
            {"name": "task-b", "container_id": "cb", "started_at": 1003.0, "ended_at": None, "exit_code": None,
             "message": "", "last_log": [], "index": 1},
            {"name": "task-c", "container_id": "cc", "started_at": 1004.0, "ended_at": None, "exit_code": 2,
             "message": "ended with exit code 2; starts again", "last_log": [], "index": 2, "restarts": 2,
             "delay": 10.0, "retry_at": 1030.0},
            {"name": "task-d", "container_id": "", "started_at": None, "ended_at": None, "exit_code": None,
             "message": "", "last_log": [], "index": 3},
            {"name": "task-e", "container_id": "ce", "started_at": 1004.0, "ended_at": None, "exit_code": None,
             "message": "", "last_log": [], "index": 4, "given_up": True},
            {"name": "task-f", "container_id": "cf", "started_at": None, "ended_at": 1004.0, "exit_code": None,
             "message": "its container was lost", "last_log": []},
        ],
    }
)  # fmt: skip
"""What the version before this one has stored of a Job that runs."""


def test_the_pods_of_the_version_before_are_taken_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    Objects(store, lambda: None, Seal(tmp_path / "key")).apply(
        (ONE % "completions: 6\n  parallelism: 4\n  completionMode: Indexed").replace("Never", "OnFailure"), "a.yaml"
    )
    store.close()
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("INSERT INTO job_run VALUES ('default', 'task', ?)", (BEFORE,))
    database.close()
    home = Home(tmp_path, Played(codes=[], order=random.Random(0)))
    found = {replica.name: replica for replica in home.roster.all()}
    assert list(found) == ["task-a", "task-b", "task-c", "task-e", "task-f"]
    assert [name for name, replica in found.items() if replica.done] == ["task-a", "task-f"]
    assert [name for name, replica in found.items() if replica.halted] == ["task-e"]
    assert all(replica.placed for replica in found.values()), "what runs is not asked to go"
    runs, waits = found["task-b"].record("main"), found["task-c"].record("main")
    assert (runs.container_id, runs.running, runs.unsettled) == ("cb", True, True)
    assert (waits.unsettled, waits.ended_at, waits.backoff) == (False, 1020.0, Backoff(restarts=2, delay=10.0))
    assert found["task-c"].template.hostname == "task-2"
    # What they remember is what the Job remembered of them, and only the one without a container is begun.
    before = home.jobs.run(home.objects.job("default", "task").job)
    assert JobRun.from_json(json.loads(BEFORE)) == before
    for attempt in before.attempts:
        if attempt.name in found:
            assert seen(attempt, found[attempt.name], 2000.0) == attempt
    home.jobs.sync()
    assert {replica.name for replica in home.roster.all()} - set(found) == {"task-d"}
    assert known_pods(home.objects.job("default", "task").job, before, [*found]) == []
    home.store.close()


def test_a_keeper_takes_no_name_of_a_thread() -> None:
    """A method of the same name would be called by the thread itself, as it ends."""
    assert set(vars(Keeper)) & set(vars(threading.Thread)) <= {"__init__", "__doc__", "__module__", "run"}
