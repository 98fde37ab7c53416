"""Following output: nothing of it is lost where the engine is asked too early."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from runtime import Selection, load_manifests
from runtime.attempt import Attempt
from runtime.container import Identity
from runtime.engine import Engine, Output
from runtime.errors import NotFound
from runtime.job_pod import new_pod
from runtime.logs import SECOND, LogReader
from runtime.manifest.model import Job
from runtime.roster import Replica
from runtime.selection import Source, of_replica
from runtime.standing import ContainerRecord
from tests.runtime.stack import manifest

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: task}
spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: main, image: "i:1"}]}}}
"""
LINE = b"2026-01-01T00:00:00.5Z begun\n"


class EarlyEngine:
    """Gives nothing of a container that is not started yet, as Docker does, and then what it wrote."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, bool]] = Counter()

    def output(
        self, container_id: str, stream: str, *, follow: bool, tail: int | None = None, since: int = 0
    ) -> Output:
        del container_id, tail, since
        self.asked[stream, follow] += 1
        started = follow and self.asked[stream, True] > 1
        return Output(iter_closable(LINE) if started and stream == "stdout" else None)


def iter_closable(*frames: bytes) -> object:
    yield from frames


def source(container_id: str, *, running: bool = True, ended_at: float | None = None) -> Source:
    return Source(
        name="task-a",
        container="main",
        container_id=container_id,
        running=running,
        ready=running,
        ended_at=ended_at,
        previous="task-a__previous",
    )


def test_a_container_that_was_asked_before_its_start_is_asked_again() -> None:
    engine = EarlyEngine()
    pod = source("c1")

    def over() -> bool:
        return engine.asked["stdout", True] > 1

    # There is none yet when the reader begins.
    seen = iter([()])
    reader = LogReader(cast(Engine, engine), lambda: next(seen, (pod,)), over=over)
    assert [line.text for line in reader.follow(None) if line is not None] == ["begun"]


class Recorded:
    """Gives what containers wrote: stdout alone, as (nanoseconds, text); what is followed has a line more."""

    def __init__(self, **written: list[tuple[int, str]]) -> None:
        self.written = written
        self.since: list[int] = []

    def inspect(self, container_id: str) -> object:
        return self.written.get(container_id)

    def output(
        self, container_id: str, stream: str, *, follow: bool, tail: int | None = None, since: int = 0
    ) -> Output:
        self.since.append(since)
        lines = [(at, text) for at, text in self.written.get(container_id, []) if at >= since * SECOND]
        chosen = lines if tail is None else lines[-tail:]
        if stream == "stderr":
            return Output(None)
        more = [(lines[-1][0], "late")] if follow and lines else []
        return Output(iter_closable(*(f"{stamp(at)} {text}\n".encode() for at, text in [*chosen, *more])))


def stamp(at: int) -> str:
    return f"1970-01-01T00:00:{at // SECOND:02}.{at % SECOND:09}Z"


def test_lines_of_one_moment_are_neither_lost_nor_doubled() -> None:
    at = 5 * SECOND + 123_456_789
    engine = Recorded(c1=[(at - 1, "first"), (at, "second"), (at, "third")])
    over = iter([False, True])
    reader = LogReader(cast(Engine, engine), lambda: [source("c1")], over=lambda: next(over))
    told = [(line.text, line.replica, line.container) for line in reader.follow(None) if line is not None]
    assert told == [(text, "task-a", "main") for text in ("first", "second", "third", "late")]
    assert {0, 5} <= set(engine.since), "whole seconds, and never a later one than the last line's"


def test_nothing_from_before_the_moment_that_is_asked_for() -> None:
    engine = Recorded(c1=[(SECOND, "old"), (2 * SECOND + 400, "early"), (2 * SECOND + 600_000_000, "new")])
    reader = LogReader(cast(Engine, engine), lambda: [source("c1")], since=2.5)
    assert [(line.text, line.at) for line in reader.past(None)] == [("new", 2.6)]


def test_the_container_before_is_read_where_there_is_one() -> None:
    engine = Recorded(**{"c2": [(9 * SECOND, "now")], "task-a__previous": [(SECOND, "last"), (2 * SECOND, "words")]})
    reader = LogReader(cast(Engine, engine), lambda: [source("c2")])
    assert [line.text for line in reader.previous(None, "Pod a")] == ["last", "words"]
    assert [line.text for line in reader.previous(1, "Pod a")] == ["words"]
    del engine.written["task-a__previous"]
    with pytest.raises(NotFound, match="previous terminated container not found"):
        reader.previous(None, "Pod a")


def test_of_one_that_waits_to_be_started_again_the_one_before_is_the_one_that_ended() -> None:
    """As the kubelet has it: in CrashLoopBackOff it is waiting, and its last state is the container that crashed."""
    template = load_manifests(manifest("web:1", service=False))[0].object.template  # type: ignore[union-attr]
    wanted = Selection(namespace="default", kind="Deployment", names=("hello",))
    who = Identity(
        instance="x", namespace="default", deployment="hello", replica="hello-1", template_hash="h", revision=1
    )

    def before(**said: object) -> str:
        record = ContainerRecord(name="hello", container_id="c2", **said)  # type: ignore[arg-type]
        held = Replica(
            name="hello-1", namespace="default", deployment="hello", template_hash="h", template=template,
            created_at=1.0, containers=(record,),
        )  # fmt: skip
        (found,) = of_replica(wanted, held, who)
        return found.previous

    assert before(running=False, ended_at=5.0) == "c2"
    assert before(running=True, ended_at=5.0) == "imageforge-x-hello-1__previous"
    assert before(running=False, ended_at=5.0, done=True) == "imageforge-x-hello-1__previous"
    assert before(running=False) == "imageforge-x-hello-1__previous", "it was never started"
    job = load_manifests(JOB)[0].object
    assert isinstance(job, Job)
    pod = new_pod(job, Attempt(name="task-a"), 1.0)
    for running, name in ((False, "c3"), (True, "imageforge-x-task-a__previous")):
        stands = pod.with_record("main", 2.0, container_id="c3", running=running, ended_at=1.0, exit_code=1)
        (found,) = of_replica(replace(wanted, kind="Job"), stands, replace(who, replica="task-a"))
        assert (found.name, found.previous) == ("task-a", name)
