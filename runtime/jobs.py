"""The Jobs as they run: what each of them makes and stops, carried out by the controller's loop. Its pods are replicas
like others, and their keepers do the slow work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from runtime.attempt import Attempt, JobRun
from runtime.clock import steady
from runtime.errors import NotFound
from runtime.events import Recorder
from runtime.held import HeldJob
from runtime.job import (
    BACKOFF_LIMIT,
    BY_RULE,
    DEADLINE,
    FAILED_INDEXES,
    TOO_MANY_INDEXES,
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
)
from runtime.job_pod import known_pods, new_pod, pod_template, seen
from runtime.manifest.model import Job, PodTemplate
from runtime.model import JobStatus
from runtime.naming import generated
from runtime.objects import Objects
from runtime.outcome import why_failed
from runtime.pod import status_of
from runtime.roster import Replica, Roster
from runtime.store import Store

PARALLEL_REMOVALS = 16
Key = tuple[str, str]


class Pods(Protocol):
    """The keepers of the pods, as far as a Job knows them."""

    def begin(self, replica: Replica) -> None:
        """A pod that was decided on."""

    def halt(self, name: str) -> None:
        """Stop it, and let it stay as it then is."""

    def end(self, name: str) -> None:
        """Remove what is left of it."""


class Jobs:
    """What became of each Job, and who sees to it. A change is stored before it is seen, and wakes who waits for the
    roster; `emptied` is called with the namespace of a Job that is gone. One thread calls `sync`, others may ask."""

    def __init__(
        self,
        objects: Objects,
        store: Store,
        roster: Roster,
        pods: Pods,
        *,
        events: Recorder,
        emptied: Callable[[str], None],
    ) -> None:
        self._objects = objects
        self._store = store
        self._roster = roster
        self._pods = pods
        self._events = events
        self._emptied = emptied
        self._lock = threading.Lock()
        self._runs: dict[Key, JobRun] = {key: JobRun.from_json(raw) for key, raw in store.job_runs().items()}
        self._due: float | None = None

    def status(self, namespace: str, name: str) -> JobStatus:
        """How a Job stands now; raises NotFound."""
        return self._status(self._objects.job(namespace, name))

    def statuses(self, namespace: str | None) -> tuple[JobStatus, ...]:
        """How all Jobs stand, or those of one namespace, by name."""
        held = sorted(self._objects.jobs(), key=lambda item: (item.job.namespace, item.job.name))
        return tuple(self._status(item) for item in held if namespace in (None, item.job.namespace))

    def run(self, job: Job) -> JobRun:
        """What became of a Job so far."""
        with self._lock:
            found = self._runs.get((job.namespace, job.name))
        return found or JobRun(started_at=steady())

    def put(self, job: Job, run: JobRun) -> None:
        """Store what became of a Job."""
        with self._lock:
            self._store.put_job_run(job.namespace, job.name, run.as_json())
            self._runs[job.namespace, job.name] = run
        self._roster.poke()

    def templates(self) -> dict[str, PodTemplate]:
        """What each pod of a Job is made from, by its name."""
        return {
            attempt.name: pod_template(held.job, attempt.index)
            for held in self._objects.jobs()
            for attempt in self.run(held.job).attempts
        }

    def known_pods(self, known: Collection[str]) -> list[Replica]:
        """The pods that a version before this one has made, which are not among those that are `known`."""
        return [pod for held in self._objects.jobs() for pod in known_pods(held.job, self.run(held.job), known)]

    def claims(self) -> set[Key]:
        """The PersistentVolumeClaims that Jobs use which are not done, by namespace and name."""
        return {
            (held.job.namespace, claim)
            for held in self._objects.jobs()
            if self.run(held.job).finished_at is None
            for claim in held.job.template.claims
        }

    def active_in(self, namespace: str) -> bool:
        """Whether a Job there still needs its network."""
        return any(
            held.job.namespace == namespace and self.run(held.job).finished_at is None for held in self._objects.jobs()
        )

    def may_start_again(self, pod: Replica) -> bool:
        """Whether a container that has failed is started again in its pod: not where the Job has failed with that."""
        try:
            held = self._objects.job(pod.namespace, pod.job)
        except NotFound:
            return False
        run = self._seen(self.run(held.job))
        action = decide_job(held.job, run, deleting=held.deleting, now=steady())
        return not (isinstance(action, Halt) and pod.name in action.names)

    def sync(self) -> None:
        """Look at each Job, and do what is to be done."""
        ends = [self._steer(held) for held in self._objects.jobs()]
        self._due = min((until for until in ends if until is not None), default=None)

    def pause(self, longest: float) -> float:
        """Seconds until a Job has something to do by its time, at most `longest`."""
        return longest if self._due is None else min(max(self._due - steady(), 0.0), longest)

    def _steer(self, held: HeldJob) -> float | None:
        """Until when there is nothing to do for it, unless something happens."""
        before = None
        while True:
            run = self.run(held.job)
            now = self._seen(run)
            if now != run:
                self.put(held.job, now)
            action = decide_job(held.job, now, deleting=held.deleting, now=steady())
            if (action, now) == before or not self._act(held.job, action, now):
                return action.until if isinstance(action, Rest) else None
            before = (action, now)

    def _seen(self, run: JobRun) -> JobRun:
        """What became of a Job with what its pods have become."""
        now = steady()
        for attempt in run.active:
            pod = self._roster.get(attempt.name)
            if pod is not None:
                run = run.with_attempt(seen(attempt, pod, now))
        return run

    def _act(self, job: Job, action: JobAction, run: JobRun) -> bool:
        """Whether that may be followed by something else at once."""
        match action:
            case Begin(index=index):
                middle = "" if index is None else f"{index}-"
                name = generated(f"{job.name}-{middle}")
                self.put(job, run.with_attempt(Attempt(name=name, index=index)))
                self._say(job, "SuccessfulCreate", f"Created pod: {name}")
            case Halt():
                return self._halt(job, action, run)
            case Finish(reason=reason):
                self.put(job, replace(run, finished_at=steady(), reason=reason))
                said = (why_failed(job, run) if reason == BY_RULE else "") or _FINISHED[reason]
                self._say(job, reason or "Completed", said, warning=bool(reason))
            case Suspend():
                self.put(job, replace(run, suspended=True))
                self._say(job, "Suspended", "Job suspended")
            case Resume():
                self.put(job, replace(run, suspended=False, started_at=steady()))
                self._say(job, "Resumed", "Job resumed")
            case Remove():
                self._remove(job)
                return False
            case Rest():
                self._begin_all(job, run)
                return False
        return True

    def _begin_all(self, job: Job, run: JobRun) -> None:
        """Make the pods that were decided on, perhaps by a controller before this one."""
        for attempt in run.active:
            if self._roster.get(attempt.name) is None:
                self._pods.begin(new_pod(job, attempt, steady()))

    def _halt(self, job: Job, action: Halt, run: JobRun) -> bool:
        """Whether that changed what is known of the Job. It is known before they are stopped: a program that ends in
        peace on its signal has not succeeded."""
        marked = replace(run, stopping=action.reason or run.stopping)
        for attempt in run.active:
            if attempt.name not in action.names:
                continue
            told = replace(attempt, killed=bool(action.reason), given_up=not action.reason, retry_at=None)
            if self._roster.get(attempt.name) is None:
                told = replace(told, ended_at=steady(), message="it was never started")
            marked = marked.with_attempt(told)
        if marked != run:
            self.put(job, marked)
        for name in action.names:
            self._pods.halt(name)
        return marked != run

    def _remove(self, job: Job) -> None:
        """Its pods, so many at a time; once the last one is gone it is forgotten."""
        pods = [pod for pod in self._roster.all() if (pod.namespace, pod.job) == (job.namespace, job.name)]
        going = sum(pod.terminating for pod in pods)
        for pod in [pod for pod in pods if not pod.terminating][: max(PARALLEL_REMOVALS - going, 0)]:
            self._pods.end(pod.name)
        if not pods:
            with self._lock:
                self._objects.finish_delete_job(job.namespace, job.name)
                self._runs.pop((job.namespace, job.name), None)
            self._emptied(job.namespace)

    def _say(self, job: Job, reason: str, message: str, *, warning: bool = False) -> None:
        self._events.say("Job", job.namespace, job.name, reason, message, warning=warning)

    def _status(self, held: HeldJob) -> JobStatus:
        mine = (held.job.namespace, held.job.name)
        pods = sorted(
            (pod for pod in self._roster.all() if (pod.namespace, pod.job) == mine),
            key=lambda pod: (pod.created_at, pod.name),
        )
        shown = tuple(status_of(pod, pod.name, deleting=pod.terminating) for pod in pods)
        return job_status(held.job, self.run(held.job), deleting=held.deleting, pods=shown)


_FINISHED = {
    "": "Job completed",
    BACKOFF_LIMIT: "Job has reached the specified backoff limit",
    DEADLINE: "Job was active longer than specified deadline",
    BY_RULE: "A pod has failed as the Job's podFailurePolicy says",
    FAILED_INDEXES: "Job has failed indexes",
    TOO_MANY_INDEXES: "Job has exceeded the specified maximal number of failed indexes",
}
