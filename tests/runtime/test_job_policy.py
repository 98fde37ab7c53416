"""What the ends of a Job's pods mean for it by its policies, as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError, load_manifests
from runtime.attempt import Attempt, JobRun
from runtime.job import Begin, Finish, Halt, Rest, decide_job, job_status
from runtime.manifest.model import Job
from runtime.outcome import failed_indexes, failures, has_succeeded, why_failed

POD = "{spec: {restartPolicy: Never, containers: [{name: main, image: a}]}}"
BY_CODE = """podFailurePolicy: {rules: [
    {action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42]}},
    {action: Ignore, onPodConditions: [{type: DisruptionTarget, status: "True"}]},
    {action: Ignore, onExitCodes: {operator: NotIn, values: [1, 2]}}]}"""


def job(spec: str, pod: str = POD) -> Job:
    text = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec: {{{spec}, template: {pod}}}"
    found = load_manifests(text)[0].object
    assert isinstance(found, Job)
    return found


def run(*ends: tuple[int | None, int | None], active: int = 0) -> JobRun:
    """A run whose pods ended with (index, exit code), one a second; None is one that was lost."""
    attempts = [
        Attempt(name=f"j-{at}", container_id="c", index=index, ended_at=1000.0 + at, exit_code=code)
        for at, (index, code) in enumerate(ends)
    ]
    attempts += [Attempt(name=f"r-{at}", container_id="c", started_at=1000.0, index=90 + at) for at in range(active)]
    return JobRun(started_at=1000.0, attempts=tuple(attempts))


def test_a_rule_fails_the_job_at_once() -> None:
    of = job(f"completions: 12, parallelism: 3, backoffLimit: 6, {BY_CODE}")
    halted = decide_job(of, run((None, 42), active=2), deleting=False, now=1001.0)
    assert halted == Halt(names=("r-0", "r-1"), reason="PodFailurePolicy")
    alone = run((None, 42))
    assert decide_job(of, alone, deleting=False, now=1001.0) == Finish(reason="PodFailurePolicy")
    said = "Container main for pod default/j-0 failed with exit code 42 matching FailJob rule at index 0"
    assert why_failed(of, alone) == said


def test_the_first_rule_that_matches_decides() -> None:
    of = job(f"backoffLimit: 0, {BY_CODE}")
    assert failures(of, run((None, None), (None, 7), (None, 3))) == 0, "lost ones and other codes are ignored"
    assert failures(of, run((None, 1), (None, 2))) == 2, "what no rule matches counts"
    assert isinstance(decide_job(of, run((None, 7)), deleting=False, now=1000.5), Rest), "it waits, and tries again"
    assert decide_job(of, run((None, 7)), deleting=False, now=1010.0) == Begin()
    assert decide_job(of, run((None, 1)), deleting=False, now=1010.0) == Finish(reason="BackoffLimitExceeded")
    assert job_status(of, run((None, 7), (None, 1)), deleting=False).failed == 1
    # What was killed as the Job failed says nothing of its own.
    killed = JobRun(
        started_at=1000.0,
        attempts=(Attempt(name="k", container_id="c", ended_at=1.0, exit_code=42, killed=True),),
    )
    assert why_failed(of, killed) == ""


SEVERAL = """{spec: {restartPolicy: Never, initContainers: [{name: first, image: a}],
    containers: [{name: main, image: a}, {name: other, image: b}]}}"""


@pytest.mark.parametrize(
    ("container", "codes", "said"),
    [
        ("containerName: other, ", (("main", 42),), ""),
        ("containerName: other, ", (("main", 1), ("other", 42)), "Container other for pod default/j-0 failed"),
        ("", (("main", 1), ("other", 42)), "Container other for pod default/j-0 failed"),
        ("containerName: first, ", (("first", 42),), "Container first for pod default/j-0 failed"),
    ],
)
def test_a_rule_is_for_one_container_or_for_any(container: str, codes: tuple[tuple[str, int], ...], said: str) -> None:
    rule = f"{{action: FailJob, onExitCodes: {{{container}operator: In, values: [42]}}}}"
    of = job(f"podFailurePolicy: {{rules: [{rule}]}}", SEVERAL)
    ended = run((None, codes[0][1]))
    ended = replace(ended, attempts=(replace(ended.attempts[0], codes=codes),))
    assert why_failed(of, ended).startswith(said)
    assert bool(why_failed(of, ended)) is bool(said)
    assert JobRun.from_json(ended.as_json()) == ended


PER_INDEX = "completions: 4, parallelism: 2, completionMode: Indexed, backoffLimitPerIndex: 1"


def test_each_index_has_a_limit_and_a_delay_of_its_own() -> None:
    of = job(PER_INDEX)
    assert of.backoff_limit is None
    once = run((0, 1))
    assert failed_indexes(of, once) == frozenset()
    assert decide_job(of, once, deleting=False, now=1001.0) == Begin(index=1), "the others do not wait for it"
    assert decide_job(of, once, deleting=False, now=1010.0) == Begin(index=0)
    twice = run((0, 1), (0, 1))
    assert failed_indexes(of, twice) == {0}
    assert decide_job(of, twice, deleting=False, now=1100.0) == Begin(index=1)
    done = run((0, 1), (0, 1), (1, 0), (2, 0), (3, 0))
    assert decide_job(of, done, deleting=False, now=1100.0) == Finish(reason="FailedIndexes")
    good = run((0, 1), (0, 0), (1, 0), (2, 0), (3, 0))
    assert decide_job(of, good, deleting=False, now=1100.0) == Finish()


def test_too_many_failed_indexes_fail_the_job() -> None:
    of = job(f"{PER_INDEX}, maxFailedIndexes: 1")
    some = run((0, 1), (0, 1), (1, 1), (1, 1), active=1)
    assert decide_job(of, some, deleting=False, now=1100.0) == Halt(names=("r-0",), reason="MaxFailedIndexesExceeded")
    assert not isinstance(decide_job(of, run((0, 1), (0, 1), (1, 1)), deleting=False, now=1100.0), Finish)


def test_a_rule_fails_an_index_at_once() -> None:
    rule = "podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [42]}}]}"
    of = job(f"{PER_INDEX}, backoffLimit: 6, {rule}")
    assert failed_indexes(of, run((0, 1), (1, 42))) == {1}
    assert of.backoff_limit == 6


def test_some_that_succeed_are_enough() -> None:
    of = job(
        "completions: 10, parallelism: 10, completionMode: Indexed, "
        "successPolicy: {rules: [{succeededIndexes: '0,2-3', succeededCount: 1}]}"
    )
    assert not has_succeeded(of, run((1, 0), (4, 0), (2, 1)))
    assert has_succeeded(of, run((1, 1), (2, 0)))
    assert decide_job(of, run((2, 0), active=2), deleting=False, now=1001.0) == Halt(names=("r-0", "r-1"))
    assert decide_job(of, run((2, 0)), deleting=False, now=1001.0) == Finish()
    every = job("completions: 5, completionMode: Indexed, successPolicy: {rules: [{succeededIndexes: '1-2'}]}")
    assert not has_succeeded(every, run((1, 0)))
    assert has_succeeded(every, run((1, 0), (2, 0)))
    count = job("completions: 5, completionMode: Indexed, successPolicy: {rules: [{succeededCount: 2}]}")
    assert [has_succeeded(count, run(*((at, 0) for at in range(much)))) for much in range(4)] == [
        False,
        False,
        True,
        True,
    ]


REFUSED = [
    ("backoffLimitPerIndex: 1", "Indexed"),
    ("successPolicy: {rules: [{succeededCount: 1}]}", "Indexed"),
    ("completions: 2, completionMode: Indexed, maxFailedIndexes: 1", "backoffLimitPerIndex"),
    ("completions: 2, completionMode: Indexed, backoffLimitPerIndex: 1, maxFailedIndexes: 3", "at most"),
    ("podFailurePolicy: {rules: [{action: Count}]}", "needs one of onExitCodes and onPodConditions"),
    ("podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1]}}]}", "needs backoff"),
    ("podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: [0]}}]}", "no failure"),
    ("podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: [1, 1]}}]}", "each once"),
    (
        "podFailurePolicy: {rules: [{action: Count, onExitCodes: {containerName: x, operator: In, values: [1]}}]}",
        "no container of the pod",
    ),
    ("completions: 3, completionMode: Indexed, successPolicy: {rules: [{}]}", "succeededCount is missing"),
    ("completions: 3, completionMode: Indexed, successPolicy: {rules: [{succeededCount: 4}]}", "at most 3"),
    ("completions: 3, completionMode: Indexed, successPolicy: {rules: [{succeededIndexes: '1-3'}]}", "below 3"),
    ("completions: 3, completionMode: Indexed, successPolicy: {rules: [{succeededIndexes: '1,1'}]}", "each once"),
    ("podReplacementPolicy: TerminatingOrFailed", "supported is Failed"),
    ("managedBy: example.com/queue", "kubernetes.io/job-controller"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_refused_by_name(spec: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        job(spec)
    assert message in caught.value.message


def test_policies_need_pods_that_are_not_started_again() -> None:
    again = POD.replace("Never", "OnFailure")
    for spec in (BY_CODE, PER_INDEX):
        with pytest.raises(ManifestError, match="restartPolicy: Never"):
            job(spec, again)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 42])), max_size=40), st.integers(0, 3))
def test_any_history_of_indexes_comes_to_its_end(codes: list[tuple[int, int]], limit: int) -> None:
    rule = "podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [42]}}]}"
    of = job(PER_INDEX.replace("Index: 1", f"Index: {limit}") + f", {rule}")
    script: Callable[[int], int] = lambda at: codes[at][1] if at < len(codes) else 1  # noqa: E731
    state, now, begun = JobRun(started_at=1000.0), 1000.0, 0
    while True:
        action = decide_job(of, state, deleting=False, now=now)
        if isinstance(action, Finish):
            break
        if isinstance(action, Rest):
            assert action.until is not None
            assert action.until > now
            now = action.until
            continue
        assert isinstance(action, Begin)
        state = state.with_attempt(
            Attempt(name=f"p{begun}", container_id="c", index=action.index, ended_at=now, exit_code=script(begun))
        )
        begun += 1
    assert begun <= 4 * (limit + 1)
    assert len(state.indexes) + len(failed_indexes(of, state)) == 4
    assert (action.reason == "") == (len(state.indexes) == 4)
