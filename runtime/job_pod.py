"""A pod of a Job: what it is made from, and what the Job remembers of it; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runtime.attempt import Attempt, JobRun
from runtime.manifest.model import JOB_LABELS, ContainerSpec, Job, PodTemplate
from runtime.manifest.template import template_hash
from runtime.model import PodPhase
from runtime.pod import pod_phase
from runtime.restart import Backoff, RestartPolicy
from runtime.roster import Replica
from runtime.standing import ContainerRecord

INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
NOT_STARTED = 128
"""The exit code of a container that never began, as Kubernetes has it."""
KILLED = 137


def pod_template(job: Job, index: int | None) -> PodTemplate:
    """What a pod of the Job is made from: its template with the Job's name, and in an Indexed one with its index."""
    template = job.template
    made = replace(
        template,
        labels={**template.labels, **dict.fromkeys(sorted(JOB_LABELS), job.name)},
        restart_policy=RestartPolicy.ON_FAILURE if job.on_failure else RestartPolicy.NEVER,
    )
    if index is None:
        return made
    said = {INDEX_ANNOTATION: str(index)}
    return replace(
        made,
        labels={**made.labels, **said},
        annotations={**made.annotations, **said},
        container=_told(template.container, index),
        others=tuple(_told(spec, index) for spec in template.others),
        init=tuple(_told(spec, index) for spec in template.init),
        # The kernel's limit; Kubernetes cuts there too.
        hostname=f"{job.name}-{index}"[:63].rstrip("-."),
    )


def _told(spec: ContainerSpec, index: int) -> ContainerSpec:
    env = tuple(item for item in spec.env if item[0] != INDEX_VARIABLE)
    return replace(spec, env=(*env, (INDEX_VARIABLE, str(index))))


def new_pod(job: Job, attempt: Attempt, now: float) -> Replica:
    """The pod of an attempt that was decided on."""
    return Replica(
        name=attempt.name,
        namespace=job.namespace,
        deployment="",
        template_hash=template_hash(job.template),
        template=pod_template(job, attempt.index),
        created_at=now,
        job=job.name,
        index=attempt.index,
    )


def known_pods(job: Job, run: JobRun, known: Iterable[str]) -> list[Replica]:
    """The pods of attempts whose containers a version before this one has made, which knew of one container and kept
    all of its memory with the Job; `known` are those that have a memory of their own."""
    there = set(known)
    return [
        _known_pod(job, attempt, run.started_at + number * 1e-6)
        for number, attempt in enumerate(run.attempts)
        if attempt.container_id and attempt.name not in there
    ]


def _known_pod(job: Job, attempt: Attempt, at: float) -> Replica:
    over, waits = attempt.ended_at is not None, attempt.retry_at is not None
    record = ContainerRecord(
        name=job.template.container.name,
        container_id=attempt.container_id,
        settled=attempt.container_id if over or waits else "",
        running=attempt.running,
        done=over,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at if attempt.retry_at is None else attempt.retry_at - attempt.delay,
        exit_code=attempt.exit_code,
        lost=attempt.lost,
        backoff=Backoff(restarts=attempt.restarts, delay=attempt.delay),
        message=attempt.message,
        last_log=attempt.last_log,
    )
    pod = new_pod(job, attempt, at)
    halted = attempt.given_up or attempt.killed
    pod = replace(pod, placed=True, done=over, halted=halted, containers=(record,))
    # What is said of its container is said of it.
    return pod.with_record(record.name, at)


def seen(attempt: Attempt, pod: Replica, now: float) -> Attempt:
    """What the Job remembers of a pod as it stands."""
    if attempt.ended_at is not None:
        return attempt
    main = pod.record(pod.template.container.name)
    waits = not (main.running or main.done or main.unsettled) and main.ended_at is not None
    so_far = replace(
        attempt,
        container_id=main.container_id,
        started_at=main.started_at,
        exit_code=None if main.lost else main.exit_code,
        last_log=main.last_log,
        restarts=sum(record.backoff.restarts for record in pod.containers),
        delay=main.backoff.delay,
        retry_at=(main.ended_at or 0.0) + main.backoff.delay if waits and not pod.halted else None,
        message=attempt.message if main.done else pod.message,
    )
    return _ended(so_far, pod, now) if pod.done else so_far


def _ended(attempt: Attempt, pod: Replica, now: float) -> Attempt:
    if not pod.halted:
        # It had come to its end before it could be stopped, and counts as what it was.
        attempt = replace(attempt, given_up=False, killed=False)
    if pod.evicted:
        return replace(attempt, retry_at=None, ended_at=now, exit_code=KILLED, message=pod.message)
    succeeded = pod_phase(pod) is PodPhase.SUCCEEDED
    main = pod.record(pod.template.container.name)
    speaker = main if succeeded else next((record for record in _records(pod) if _has_failed(record)), main)
    prefix = f"{speaker.name}: " if speaker != main else ""
    # The engine's clock may have jumped ahead.
    ended_at = min(max((record.ended_at or 0.0 for record in _records(pod)), default=0.0) or now, now)
    begun = speaker.ended_at is not None
    return replace(
        attempt,
        retry_at=None,
        ended_at=ended_at,
        exit_code=_code(speaker, attempt),
        codes=_codes(pod),
        message=prefix + (speaker.message if begun else "it was never started"),
        last_log=speaker.last_log,
    )


def _code(speaker: ContainerRecord, attempt: Attempt) -> int | None:
    if speaker.ended_at is None:
        return NOT_STARTED if attempt.container_id else None
    return None if speaker.lost else speaker.exit_code


def _codes(pod: Replica) -> tuple[tuple[str, int], ...]:
    """Those that failed, the ones that the pod is there for first."""
    records = [pod.record(spec.name) for spec in (*pod.template.mains, *pod.template.init)]
    return tuple((item.name, item.exit_code) for item in records if item.exit_code and item.ended_at and not item.lost)


def _records(pod: Replica) -> list[ContainerRecord]:
    """Those of the containers that come to an end by themselves, in the order in which they begin."""
    specs = [spec for spec in pod.template.init if not spec.sidecar]
    return [pod.record(spec.name) for spec in (*specs, *pod.template.mains)]


def _has_failed(record: ContainerRecord) -> bool:
    return record.done and (record.ended_at is None or record.exit_code != 0)
