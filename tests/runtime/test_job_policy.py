"""What a Job says of pods that fail and of indexes that are enough: what is accepted, and what follows from it."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import JobPhase, ManifestError, load_manifests
from runtime.job import (
    Attempt,
    Begin,
    Finish,
    Halt,
    JobAction,
    JobRun,
    Rest,
    decide_job,
    failed_indexes,
    failures,
    finish_message,
    job_status,
)
from runtime.manifest.job_policy import NO_LIMIT
from runtime.manifest.model import Job
from runtime.wire import pack, unpack


def text(spec: str, policy: str = "Never") -> str:
    return f"""\
apiVersion: batch/v1
kind: Job
metadata: {{name: task}}
spec:
  {spec}
  template:
    spec:
      restartPolicy: {policy}
      initContainers: [{{name: first, image: a}}]
      containers: [{{name: main, image: a}}, {{name: other, image: a}}]
"""


def job(spec: str) -> Job:
    found = load_manifests(text(spec))[0].object
    assert isinstance(found, Job)
    return found


EACH = "completionMode: Indexed\n  completions: 4\n  parallelism: 2\n  "
RULE = "podFailurePolicy: {rules: [%s]}"
CODES = "{action: %s, onExitCodes: {containerName: main, operator: In, values: [42]}}"


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (RULE % "{action: Ignore}", "invalid-value", "expected one of onExitCodes and onPodConditions"),
        (RULE % "{action: Stop, onExitCodes: {operator: In, values: [1]}}", "invalid-value", "FailJob"),
        (RULE % CODES % "FailIndex", "invalid-value", "FailIndex needs backoffLimitPerIndex"),
        (RULE % "{action: Count, onExitCodes: {operator: In, values: [0]}}", "invalid-value", "0 is no failure"),
        (RULE % "{action: Count, onExitCodes: {operator: In, values: [2, 1]}}", "invalid-value", "in order"),
        (RULE % "{action: Count, onExitCodes: {operator: In, values: []}}", "invalid-value", "is empty"),
        (RULE % "{action: Count, onExitCodes: {operator: In, values: [1], containerName: third}}",
         "invalid-value", "no container is named third"),
        (RULE % "{action: Count, onPodConditions: [{type: Ready, status: 'True'}]}", "unsupported-value", "Ready"),
        (RULE % "{action: Count, onPodConditions: [{type: DisruptionTarget, status: 'False'}]}",
         "unsupported-value", "False"),
        ("backoffLimitPerIndex: 1", "invalid-value", "needs completionMode Indexed"),
        (EACH + "maxFailedIndexes: 1", "invalid-value", "needs backoffLimitPerIndex"),
        (EACH + "backoffLimitPerIndex: 1\n  maxFailedIndexes: 5", "invalid-value", "more than completions"),
        ("successPolicy: {rules: [{succeededCount: 1}]}", "invalid-value", "needs completionMode Indexed"),
        (EACH + "successPolicy: {rules: [{}]}", "invalid-value", "expected succeededIndexes"),
        (EACH + "successPolicy: {rules: [{succeededIndexes: '0,4'}]}", "invalid-value", "below completions: 4"),
        (EACH + "successPolicy: {rules: [{succeededIndexes: '1,0'}]}", "invalid-value", "in order"),
        (EACH + "successPolicy: {rules: [{succeededIndexes: 0-1, succeededCount: 3}]}", "invalid-value", "2 indexes"),
        ("podReplacementPolicy: TerminatingOrFailed", "unsupported-value", "supported is Failed"),
    ],
)  # fmt: skip
def test_a_policy_is_refused_by_name(spec: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text(spec), "job.yaml")
    assert caught.value.code == code
    assert message in caught.value.message
    assert caught.value.subject.startswith("job.yaml:")


def test_what_is_started_again_in_its_pod_has_no_policy() -> None:
    with pytest.raises(ManifestError, match="needs restartPolicy Never"):
        load_manifests(text(RULE % CODES % "Count", "OnFailure"))


def test_with_a_limit_for_each_there_is_none_for_all() -> None:
    assert job(EACH + "backoffLimitPerIndex: 1").backoff_limit == NO_LIMIT
    assert job(EACH + "backoffLimitPerIndex: 1\n  backoffLimit: 3").backoff_limit == 3
    assert job(EACH + "podReplacementPolicy: Failed").backoff_limit == 6


START = JobRun(started_at=1000.0)


def pods(*ends: tuple[int | None, int], running: tuple[int, ...] = ()) -> JobRun:
    """A run with pods of (index, exit code of `main`) that ended one a second, and others that run."""
    run = START
    for at, (index, code) in enumerate(ends):
        codes = (("main", code),) if code else ()
        run = run.with_attempt(
            Attempt(name=f"p{at}", container_id="c", ended_at=1001.0 + at, index=index, exit_code=code, codes=codes)
        )
    for index in running:
        run = run.with_attempt(Attempt(name=f"r{index}", container_id="c", started_at=1001.0, index=index))
    return run


MANY = "completions: 5\n  parallelism: 2\n  "
FAIL, IGNORE, COUNT = (RULE % CODES % action for action in ("FailJob", "Ignore", "Count"))
OTHERS = RULE % "{action: FailJob, onExitCodes: {operator: NotIn, values: [1, 2]}}"
ORDER = RULE % (CODES % "Ignore" + ", {action: FailJob, onExitCodes: {operator: NotIn, values: [1]}}")
LOSS = RULE % "{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}"
LOST = START.with_attempt(Attempt(name="p0", container_id="c", ended_at=1001.0))


@pytest.mark.parametrize(
    ("spec", "run", "failed", "action"),
    [
        (MANY + FAIL, pods((None, 42)), 1, Finish(reason="PodFailurePolicy")),
        (MANY + FAIL, pods((None, 1)), 1, Rest(until=1011.0)),
        (MANY + "backoffLimit: 0\n  " + IGNORE, pods((None, 42)), 0, Rest(until=1011.0)),
        (MANY + "backoffLimit: 0\n  " + COUNT, pods((None, 42)), 1, Finish(reason="BackoffLimitExceeded")),
        (MANY + OTHERS, pods((None, 3)), 1, Finish(reason="PodFailurePolicy")),
        (MANY + OTHERS, pods((None, 2)), 1, Rest(until=1011.0)),
        # The first rule that is met decides.
        (MANY + ORDER, pods((None, 42)), 0, Rest(until=1011.0)),
        (MANY + ORDER, pods((None, 7)), 1, Finish(reason="PodFailurePolicy")),
        (MANY + "backoffLimit: 0\n  " + LOSS, LOST, 0, Rest(until=1011.0)),
        (MANY + "backoffLimit: 0", LOST, 1, Finish(reason="BackoffLimitExceeded")),
    ],
)
def test_what_follows_from_a_pod_that_has_failed(spec: str, run: JobRun, failed: int, action: JobAction) -> None:
    made = job(spec)
    assert decide_job(made, run, deleting=False, now=1002.0) == action
    assert failures(made, run) == failed


def test_one_failure_for_which_the_job_fails_stops_the_others_and_says_which() -> None:
    made, run = job(MANY + FAIL), pods((None, 0), (None, 42), running=(7,))
    assert decide_job(made, run, deleting=False, now=1002.0) == Halt(names=("r7",), reason="PodFailurePolicy")
    assert finish_message(made, run, "PodFailurePolicy") == (
        "Container main for pod default/p1 failed with exit code 42 matching FailJob rule at index 0"
    )


LIMIT = EACH + "backoffLimitPerIndex: 1"
MOST = LIMIT + "\n  maxFailedIndexes: 1"
AT_ONCE = LIMIT + "\n  " + RULE % CODES % "FailIndex"


@pytest.mark.parametrize(
    ("spec", "run", "now", "failed", "action"),
    [
        # Each has its own back-off: another index need not wait.
        (LIMIT, pods((0, 1)), 1002.0, set(), Begin(index=1)),
        (LIMIT, pods((0, 1), running=(1,)), 1002.0, set(), Begin(index=2)),
        (LIMIT, pods((0, 1), (1, 0), (2, 0), (3, 0)), 1005.0, set(), Rest(until=1011.0)),
        (LIMIT, pods((0, 1), (1, 0), (2, 0), (3, 0)), 1011.0, set(), Begin(index=0)),
        # Twice is too often, and the others go on.
        (LIMIT, pods((0, 1), (0, 1)), 1002.0, {0}, Begin(index=1)),
        (LIMIT, pods((0, 1), (0, 1), running=(1, 2)), 1002.0, {0}, Rest()),
        (LIMIT, pods((0, 1), (0, 1), (1, 0), (2, 0), running=(3,)), 1002.0, {0}, Rest()),
        (LIMIT, pods((0, 1), (0, 1), (1, 0), (2, 0), (3, 0)), 1006.0, {0}, Finish(reason="FailedIndexes")),
        (MOST, pods((0, 1), (0, 1)), 1002.0, {0}, Begin(index=1)),
        (MOST, pods((0, 1), (0, 1), (1, 1), (1, 1)), 1005.0, {0, 1}, Finish(reason="MaxFailedIndexesExceeded")),
        (AT_ONCE, pods((0, 42)), 1002.0, {0}, Begin(index=1)),
        (AT_ONCE, pods((0, 1)), 1002.0, set(), Begin(index=1)),
    ],
)
def test_a_limit_for_each_index(spec: str, run: JobRun, now: float, failed: set[int], action: JobAction) -> None:
    made = job(spec)
    assert decide_job(made, run, deleting=False, now=now) == action
    assert failed_indexes(made, run) == failed
    status = job_status(made, run, deleting=False)
    assert status.failed_indexes == ",".join(map(str, sorted(failed))).replace("0,1", "0-1")
    assert unpack(pack(status)) == status


ENOUGH = EACH + "successPolicy: {rules: [%s]}"


@pytest.mark.parametrize(
    ("rule", "run", "action"),
    [
        ("{succeededIndexes: '0'}", pods((0, 0), running=(1,)), Halt(names=("r1",))),
        ("{succeededIndexes: '0'}", pods((0, 0)), Finish()),
        ("{succeededIndexes: '0'}", pods((1, 0), running=(0, 2)), Rest()),
        ("{succeededIndexes: '0,2-3'}", pods((0, 0), (2, 0), running=(1, 3)), Rest()),
        ("{succeededIndexes: '0,2-3', succeededCount: 2}", pods((0, 0), (2, 0)), Finish()),
        ("{succeededIndexes: '0,2-3', succeededCount: 2}", pods((0, 0), (1, 0), running=(2, 3)), Rest()),
        ("{succeededCount: 2}", pods((3, 0), (1, 0)), Finish()),
        ("{succeededIndexes: '3'}, {succeededCount: 2}", pods((2, 0), (1, 0)), Finish()),
    ],
)
def test_indexes_that_are_enough(rule: str, run: JobRun, action: JobAction) -> None:
    assert decide_job(job(ENOUGH % rule), run, deleting=False, now=1005.0) == action


def test_codes_are_remembered_and_the_version_before_reads_what_has_none() -> None:
    run = pods((0, 42), (1, 0))
    assert JobRun.from_json(run.as_json()) == run
    assert ["codes" in item for item in run.as_json()["attempts"]] == [True, False]


def played(made: Job, left: list[int | None], order: random.Random) -> JobRun:
    """The Job at its end, with pods that end in any order with these codes; None is one that is lost."""
    run, now, begun = START, START.started_at, 0
    while run.finished_at is None:
        action = decide_job(made, run, deleting=False, now=now)
        match action:
            case Begin(index=index):
                begun += 1
                assert index is not None
                assert index not in run.indexes | failed_indexes(made, run)
                run = run.with_attempt(Attempt(name=f"p{begun}", index=index))
                assert len({attempt.index for attempt in run.active}) == len(run.active) <= made.parallelism
            case Rest(until=until) if run.active:
                assert until is None or until > now
                now += 1
                code = left.pop() if left else 0
                ending = replace(
                    order.choice(run.active), container_id="c", ended_at=now, exit_code=code,
                    codes=(("main", code),) if code else (),
                )  # fmt: skip
                run = run.with_attempt(ending)
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
    return run


def _rule(action: str, code: str) -> str:
    if code == "lost":
        return f"{{action: {action}, onPodConditions: [{{type: DisruptionTarget, status: 'True'}}]}}"
    return f"{{action: {action}, onExitCodes: {{operator: In, values: [{code}]}}}}"


@given(
    codes=st.lists(st.sampled_from([0, 0, 1, 42, 77, None]), max_size=40),
    order=st.randoms(use_true_random=False),
    completions=st.integers(1, 5),
    parallelism=st.integers(1, 4),
    limit=st.one_of(st.none(), st.integers(0, 2)),
    most=st.one_of(st.none(), st.integers(0, 2)),
    rules=st.lists(st.sampled_from(["FailJob 42", "Ignore 77", "FailIndex 1", "Ignore lost", "Count 42"]), max_size=3),
    enough=st.one_of(st.none(), st.integers(1, 3)),
)
def test_any_history_keeps_to_the_policies(
    codes: list[int | None],
    order: random.Random,
    completions: int,
    parallelism: int,
    limit: int | None,
    most: int | None,
    rules: list[str],
    enough: int | None,
) -> None:
    """Played to its end: no index runs again that has failed or is done, and the verdict is the one that the rules
    give."""
    most = None if limit is None or most is None else min(most, completions)
    chosen = [rule.split() for rule in rules if limit is not None or "FailIndex" not in rule]
    least = completions if enough is None else min(enough, completions)
    said = [
        f"completionMode: Indexed\n  completions: {completions}\n  parallelism: {parallelism}",
        "" if limit is None else f"backoffLimitPerIndex: {limit}",
        "" if most is None else f"maxFailedIndexes: {most}",
        RULE % ", ".join(starmap(_rule, chosen)) if chosen else "",
        "" if enough is None else f"successPolicy: {{rules: [{{succeededCount: {least}}}]}}",
    ]
    made = job("\n  ".join(filter(None, said)))
    run = played(made, list(codes), order)
    status = job_status(made, run, deleting=False)
    failed = failed_indexes(made, run)
    ended = [attempt for attempt in run.attempts if attempt.failed and not attempt.killed]
    first = [next((rule for rule in chosen if _meets(rule, attempt)), None) for attempt in ended]
    assert failures(made, replace(run, attempts=tuple(ended))) == sum(
        rule is None or rule[0] != "Ignore" for rule in first
    )
    assert (run.reason == "PodFailurePolicy") == any(rule is not None and rule[0] == "FailJob" for rule in first)
    if status.phase is JobPhase.SUCCEEDED:
        assert len(run.indexes) >= least
    elif run.reason == "FailedIndexes":
        assert len(failed) + len(run.indexes) == completions
    elif run.reason == "MaxFailedIndexesExceeded":
        assert most is not None
        assert len(failed) > most


def _meets(rule: list[str], attempt: Attempt) -> bool:
    return attempt.lost if rule[1] == "lost" else attempt.exit_code == int(rule[1])
