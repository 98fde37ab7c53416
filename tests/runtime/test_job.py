"""What a Job does next, in every situation; then its status and its memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.job import (
    Attempt,
    Begin,
    Finish,
    Halt,
    JobAction,
    JobRun,
    Remove,
    Rest,
    decide_job,
    job_status,
)
from runtime.manifest.model import ContainerSpec, Job, PodTemplate
from runtime.model import JobPhase
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
        (RUNNING, 1100.0, False, Halt(reason="DeadlineExceeded")),
        (RUNNING, 1050.0, True, Halt()),
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
                assert not run.succeeded
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
    assert (status.phase is JobPhase.SUCCEEDED) == run.succeeded == (status.succeeded == 1)
    assert status.failed + status.succeeded == started
    assert status.reason in ({""} if run.succeeded else {"BackoffLimitExceeded", "DeadlineExceeded"})


def test_the_memory_and_the_status_are_the_same_after_a_way_through_json() -> None:
    run = replace(ended(RUNNING, 3), finished_at=1011.0, reason="BackoffLimitExceeded")
    assert JobRun.from_json(run.as_json()) == run
    status = job_status(JOB, run, deleting=False)
    assert (status.exit_code, status.failed, status.active, status.app) == (3, 1, 0, "migrate")
    assert unpack(pack(status)) == status
