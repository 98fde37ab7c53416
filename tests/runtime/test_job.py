"""What a Job does next, in every situation; then its status and its memory."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError, load_manifests
from runtime.attempt import Attempt, JobRun
from runtime.job import (
    Begin,
    Finish,
    Halt,
    JobAction,
    Remove,
    Rest,
    Resume,
    Suspend,
    decide_job,
    job_status,
    shown_indexes,
)
from runtime.job_pod import pod_template
from runtime.manifest.model import ContainerSpec, Job, PodTemplate
from runtime.model import JobPhase
from runtime.outcome import failures
from runtime.restart import RestartPolicy
from runtime.wire import pack, unpack

JOB = Job(
    namespace="default",
    name="migrate",
    template=PodTemplate(container=ContainerSpec(name="m", image="m"), labels={}),
    backoff_limit=1,
    active_deadline=100,
)
FRESH = JobRun(started_at=1000.0)
RUNNING = FRESH.with_attempt(Attempt(name="migrate-a", container_id="c1", started_at=1001.0))


def ended(run: JobRun, code: int | None, at: float = 1010.0, name: str = "migrate-a") -> JobRun:
    return run.with_attempt(Attempt(name=name, container_id=f"c-{name}", ended_at=at, exit_code=code))


FAILED_ONCE = ended(FRESH, 1)


@pytest.mark.parametrize(
    ("run", "now", "deleting", "action"),
    [
        (FRESH, 1000.0, False, Begin()),
        (FRESH, 999.0, False, Begin()),
        (RUNNING, 1050.0, False, Rest(until=1100.0)),
        (RUNNING, 1100.0, False, Halt(names=("migrate-a",), reason="DeadlineExceeded")),
        (RUNNING, 1050.0, True, Halt(names=("migrate-a",))),
        (ended(FRESH, 0), 1010.0, False, Finish()),
        (ended(FRESH, 0), 2000.0, False, Finish()),
        (FAILED_ONCE, 1011.0, False, Rest(until=1020.0)),
        (FAILED_ONCE, 1020.0, False, Begin()),
        (ended(FRESH, 1, at=1095.0), 1099.0, False, Rest(until=1100.0)),
        (ended(FAILED_ONCE, 1, 1030.0, "migrate-b"), 1030.0, False, Finish(reason="BackoffLimitExceeded")),
        (ended(FRESH, None), 1020.0, False, Begin()),
        (FAILED_ONCE, 1100.0, False, Finish(reason="DeadlineExceeded")),
        (replace(ended(FRESH, 0), stopping="DeadlineExceeded"), 1100.0, False, Finish(reason="DeadlineExceeded")),
        (replace(ended(FRESH, 0), finished_at=1010.0), 9999.0, False, Rest()),
        (replace(ended(FRESH, 0), finished_at=1010.0), 1010.0, True, Remove()),
        (FRESH, 1000.0, True, Remove()),
    ],
)
def test_the_next_action(run: JobRun, now: float, deleting: bool, action: JobAction) -> None:
    assert decide_job(JOB, run, deleting=deleting, now=now) == action


def test_a_job_that_is_done_goes_after_its_time() -> None:
    done = replace(ended(FRESH, 0), finished_at=1010.0)
    assert decide_job(replace(JOB, ttl=5), done, deleting=False, now=1014.0) == Rest(until=1015.0)
    assert decide_job(replace(JOB, ttl=5), done, deleting=False, now=1015.0) == Remove()


def test_a_limit_of_none_runs_once() -> None:
    once = replace(JOB, backoff_limit=0)
    assert decide_job(once, FAILED_ONCE, deleting=False, now=1010.0) == Finish(reason="BackoffLimitExceeded")
    assert decide_job(once, ended(FRESH, None), deleting=False, now=1010.0) == Finish(reason="BackoffLimitExceeded")


@given(st.lists(st.integers(0, 2), max_size=12), st.integers(0, 8), st.booleans())
def test_what_has_succeeded_never_runs_again(codes: list[int], limit: int, limited: bool) -> None:
    """Played to its end with any exit codes: at most `limit` + 1 pods, none after a success, and the right verdict."""
    job = replace(JOB, backoff_limit=limit, active_deadline=300 if limited else None)
    run, now, started = FRESH, FRESH.started_at, 0
    while run.finished_at is None:
        action = decide_job(job, run, deleting=False, now=now)
        match action:
            case Begin():
                assert run.completions == 0
                code = codes[started] if started < len(codes) else 1
                started += 1
                run = ended(run, code, now, f"migrate-{started}")
            case Rest(until=until):
                assert until is not None, "a Job without a pod waits for something"
                assert until > now
                now = until
            case Finish(reason=reason):
                run = replace(run, finished_at=now, reason=reason)
            case _:
                raise AssertionError(action)
    assert started <= limit + 1
    status = job_status(job, run, deleting=False)
    assert (status.phase is JobPhase.SUCCEEDED) == (run.completions == 1) == (status.succeeded == 1)
    assert status.failed + status.succeeded == started
    assert status.reason in ({""} if run.completions else {"BackoffLimitExceeded", "DeadlineExceeded"})


def test_the_memory_and_the_status_are_the_same_after_a_way_through_json() -> None:
    run = replace(ended(RUNNING, 3), finished_at=1011.0, reason="BackoffLimitExceeded")
    assert JobRun.from_json(run.as_json()) == run
    status = job_status(JOB, run, deleting=False)
    assert (status.exit_code, status.failed, status.active, status.app) == (3, 1, 0, "migrate")
    assert unpack(pack(status)) == status


@pytest.mark.parametrize(
    ("spec", "completions", "parallelism"),
    [
        ("", 1, 1),
        ("completions: 5", 5, 1),
        ("parallelism: 3", None, 3),
        ("completions: 5, parallelism: 2", 5, 2),
        ("parallelism: 0, completions: 1", 1, 0),
    ],
)
def test_the_defaults_of_completions_and_parallelism(spec: str, completions: int | None, parallelism: int) -> None:
    pod = "{restartPolicy: OnFailure, containers: [{name: a, image: a}]}"
    text = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a}}\nspec: {{{spec}{', ' if spec else ''}template: "
    found = load_manifests(f"{text}{{spec: {pod}}}}}")[0].object
    assert isinstance(found, Job)
    assert (found.completions, found.parallelism, found.on_failure) == (completions, parallelism, True)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("completionMode: Indexed", "missing-field"),
        ("completionMode: Ordered", "invalid-value"),
        ("selector: {matchLabels: {a: b}}", "unsupported-field"),
        ("suspend: maybe", "wrong-type"),
    ],
)
def test_a_job_is_refused_by_name(spec: str, code: str) -> None:
    pod = "{spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}"
    with pytest.raises(ManifestError) as caught:
        load_manifests(f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a}}\nspec: {{{spec}, template: {pod}}}")
    assert caught.value.code == code


MANY = replace(JOB, completions=5, parallelism=2, active_deadline=None, backoff_limit=6)


def pods(*codes: int | None, begun: int = 0) -> JobRun:
    """A run with pods that ended with these codes, one a second, and as many more that run."""
    run = FRESH
    for at, code in enumerate(codes):
        run = ended(run, code, 1010.0 + at, f"p{at}")
    for at in range(begun):
        run = run.with_attempt(Attempt(name=f"r{at}", container_id="c", started_at=1001.0))
    return run


@pytest.mark.parametrize(
    ("job", "run", "now", "action"),
    [
        (MANY, pods(begun=1), 1002.0, Begin()),
        (MANY, pods(begun=2), 1002.0, Rest()),
        (MANY, pods(0, 0, 0, 0, begun=1), 1020.0, Rest()),
        (MANY, pods(0, 0, 0, 0, 0), 1020.0, Finish()),
        # Fewer are wanted: those begun last go, and count for nothing.
        (replace(MANY, parallelism=1), pods(begun=2), 1002.0, Halt(names=("r1",))),
        (replace(MANY, parallelism=0), pods(begun=2), 1002.0, Halt(names=("r0", "r1"))),
        (replace(MANY, parallelism=0), pods(), 1002.0, Rest()),
        # A success forgets the failures before it.
        (MANY, pods(1, 1, 0, begun=1), 1012.0, Begin()),
        (MANY, pods(0, 1, 1, begun=1), 1012.0, Rest(until=1032.0)),
        # Too many failures stop what runs, and then fail the Job.
        (
            replace(MANY, backoff_limit=1),
            pods(0, 1, 1, begun=1),
            1012.0,
            Halt(names=("r0",), reason="BackoffLimitExceeded"),
        ),
        # A queue of work: one that succeeds says that it is empty, and the others come to their end.
        (replace(MANY, completions=None), pods(begun=1), 1002.0, Begin()),
        (replace(MANY, completions=None), pods(0, begun=1), 1012.0, Rest()),
        (replace(MANY, completions=None), pods(0), 1012.0, Finish()),
        (replace(MANY, completions=0), FRESH, 1000.0, Finish()),
        # Suspended, it has no pods and its time does not run.
        (replace(MANY, suspend=True), pods(begun=2), 1002.0, Halt(names=("r0", "r1"))),
        (replace(MANY, suspend=True), FRESH, 1002.0, Suspend()),
        (replace(MANY, suspend=True, active_deadline=1), replace(FRESH, suspended=True), 9999.0, Rest()),
        (replace(MANY, active_deadline=1), replace(FRESH, suspended=True), 9999.0, Resume()),
    ],
)
def test_the_next_action_of_several_pods(job: Job, run: JobRun, now: float, action: JobAction) -> None:
    assert decide_job(job, run, deleting=False, now=now) == action


def restarted(times: int, name: str = "r") -> Attempt:
    return Attempt(name=name, container_id="c", exit_code=1, restarts=times, retry_at=1020.0)


def test_restarts_in_a_pod_count_against_the_limit() -> None:
    often = replace(MANY, on_failure=True, backoff_limit=3)
    run = FRESH.with_attempt(restarted(1, "a")).with_attempt(restarted(1, "b"))
    assert decide_job(often, run, deleting=False, now=1015.0) == Rest()
    run = run.with_attempt(restarted(2, "b"))
    assert decide_job(often, run, deleting=False, now=1015.0) == Halt(names=("a", "b"), reason="BackoffLimitExceeded")
    never = replace(often, backoff_limit=0)
    one = FRESH.with_attempt(restarted(1))
    assert decide_job(never, one, deleting=False, now=1015.0) == Halt(names=("r",), reason="BackoffLimitExceeded")


def test_each_index_once_and_the_lowest_first() -> None:
    job = replace(MANY, indexed=True, completions=4, parallelism=2)
    run = FRESH
    assert decide_job(job, run, deleting=False, now=1000.0) == Begin(index=0)
    run = run.with_attempt(Attempt(name="a", index=0))
    assert decide_job(job, run, deleting=False, now=1000.0) == Begin(index=1)
    run = run.with_attempt(Attempt(name="a", index=0, ended_at=1001.0, exit_code=1))
    run = run.with_attempt(Attempt(name="b", index=1, ended_at=1002.0, exit_code=0))
    assert decide_job(job, run, deleting=False, now=1003.0) == Begin(index=0)
    run = run.with_attempt(Attempt(name="c", index=0, ended_at=1004.0, exit_code=0))
    assert decide_job(job, run, deleting=False, now=1005.0) == Begin(index=2)
    status = job_status(job, run, deleting=False)
    assert (status.succeeded, status.failed, status.indexes) == (2, 1, "0-1")
    assert shown_indexes([0, 2, 3, 4, 9]) == "0,2-4,9"


def test_what_was_given_up_counts_for_nothing_and_what_was_killed_has_failed() -> None:
    run = FRESH.with_attempt(Attempt(name="a", ended_at=1001.0, exit_code=0, given_up=True))
    run = run.with_attempt(Attempt(name="b", ended_at=1001.0, exit_code=0, killed=True))
    assert (run.completions, failures(JOB, run)) == (0, 1)


def test_a_pod_of_an_indexed_job_is_told_its_index() -> None:
    spec = ContainerSpec(name="m", image="m", env=(("A", "b"), ("JOB_COMPLETION_INDEX", "own")))
    job = replace(JOB, template=replace(JOB.template, container=spec, init=(replace(spec, name="i"),)))
    made = pod_template(job, 3)
    for each in made.all_containers:
        assert each.env == (("A", "b"), ("JOB_COMPLETION_INDEX", "3"))
    assert made.annotations["batch.kubernetes.io/job-completion-index"] == "3"
    assert (made.hostname, made.restart_policy) == ("migrate-3", RestartPolicy.NEVER)
    assert made.labels == {
        "job-name": "migrate", "batch.kubernetes.io/job-name": "migrate",
        "batch.kubernetes.io/job-completion-index": "3",
    }  # fmt: skip
    other = pod_template(replace(job, on_failure=True), None)
    assert (other.container, other.hostname, other.restart_policy) == (spec, "", RestartPolicy.ON_FAILURE)
    assert len(pod_template(replace(job, name="n" * 62), 10).hostname) <= 63


def test_the_version_before_reads_the_memory_of_a_job_that_uses_nothing_new() -> None:
    raw = RUNNING.as_json()
    assert raw.keys() == {"started_at", "attempts", "stopping", "finished_at", "reason"}
    assert raw["attempts"][0].keys() == {
        "name", "container_id", "started_at", "ended_at", "exit_code", "message", "last_log"
    }  # fmt: skip
    run = replace(FRESH.with_attempt(replace(restarted(2), index=4)), suspended=True)
    assert JobRun.from_json(run.as_json()) == run


@given(
    codes=st.lists(st.sampled_from([0, 0, 0, 1]), max_size=60),
    order=st.randoms(use_true_random=False),
    completions=st.one_of(st.none(), st.integers(0, 8)),
    parallelism=st.integers(1, 5),
    limit=st.integers(0, 5),
    indexed=st.booleans(),
)
def test_any_history_ends_with_the_right_verdict(
    codes: list[int], order: random.Random, completions: int | None, parallelism: int, limit: int, indexed: bool
) -> None:
    """Pods that end in any order with any codes: never more than `parallelism` at once, no index at twice, none after
    the verdict, and a failure only where there were too many."""
    job = replace(
        MANY, completions=completions, parallelism=parallelism, backoff_limit=limit,
        indexed=indexed and completions is not None,
    )  # fmt: skip
    left, run, now, begun = list(codes), FRESH, FRESH.started_at, 0
    while run.finished_at is None:
        action = decide_job(job, run, deleting=False, now=now)
        match action:
            case Begin(index=index):
                begun += 1
                run = run.with_attempt(Attempt(name=f"p{begun}", index=index))
                assert len(run.active) <= parallelism
                taken = [attempt.index for attempt in run.active if attempt.index is not None]
                assert len(set(taken)) == len(taken)
                assert not run.indexes & set(taken)
            case Rest(until=until) if run.active:
                now += 1
                chosen = order.choice(run.active)
                code = left.pop() if left else 0
                run = run.with_attempt(replace(chosen, ended_at=now, exit_code=code))
                assert until is None or until > now - 1
            case Rest(until=until):
                assert until is not None, "a Job without a pod waits for something"
                now = until
            case Halt(names=names, reason=reason):
                now += 1
                for attempt in [attempt for attempt in run.active if attempt.name in names]:
                    ending = replace(attempt, ended_at=now, exit_code=143, killed=bool(reason), given_up=not reason)
                    run = run.with_attempt(ending)
                run = replace(run, stopping=reason or run.stopping)
            case Finish(reason=reason):
                run = replace(run, finished_at=now, reason=reason)
            case _:
                raise AssertionError(action)
    status = job_status(job, run, deleting=False)
    assert status.active == 0
    if run.reason:
        assert sum(attempt.exit_code == 1 for attempt in run.attempts) > limit
    else:
        assert run.completions == (completions if completions is not None else run.completions)
        assert run.completions > 0 or completions == 0
