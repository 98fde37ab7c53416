"""The Jobs as they run: one thread for each that has something to do, started by the controller's loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from runtime.attempt import Attempt, JobRun
from runtime.clock import steady
from runtime.container import ContainerState, Identity, container_name, network_name, previous_name, refuse_root
from runtime.creation import Creation, Given
from runtime.discovery.network import NetworkFacts
from runtime.errors import ConfigError, EngineError, ImageError, KeyFailure, NotFound
from runtime.events import Recorder
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
from runtime.labels import Label
from runtime.manifest.model import Job, PodTemplate
from runtime.manifest.template import random_suffix, template_hash
from runtime.model import JobStatus
from runtime.objects import HeldJob, Objects
from runtime.outcome import why_failed
from runtime.redact import redact
from runtime.refresh import Running
from runtime.restart import Backoff
from runtime.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""The longest between two looks at a container: the engine's events are hints, and one may be lost."""
LONGEST_PAUSE = 60.0
RETRY_SECONDS = 2.0
PARALLEL_STOPS = 16
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
NOT_STARTED = 128
"""The exit code of a container that the engine could not start, as Kubernetes has it."""

Key = tuple[str, str]


class Jobs:
    """What became of each Job, and who sees to it. A change is stored before it is seen, and told by `poke`; `emptied`
    is called with the namespace of a Job that is gone, `met` with a namespace's network as it was found or made."""

    def __init__(
        self,
        instance: str,
        creation: Creation,
        objects: Objects,
        store: Store,
        *,
        poke: Callable[[], None],
        events: Recorder,
        emptied: Callable[[str], None],
        met: Callable[[str, NetworkFacts | None], None],
    ) -> None:
        self.instance = instance
        self.creation = creation
        self.engine = creation.engine
        self.objects = objects
        self.emptied = emptied
        self.met = met
        self._store = store
        self._poke = poke
        self._events = events
        self._lock = threading.Lock()
        self._runs: dict[Key, JobRun] = {key: JobRun.from_json(raw) for key, raw in store.job_runs().items()}
        self._runners: dict[Key, Runner] = {}

    def status(self, namespace: str, name: str) -> JobStatus:
        """How a Job stands now; raises NotFound."""
        return self._status(self.objects.job(namespace, name))

    def statuses(self, namespace: str | None) -> tuple[JobStatus, ...]:
        """How all Jobs stand, or those of one namespace, by name."""
        held = sorted(self.objects.jobs(), key=lambda item: (item.job.namespace, item.job.name))
        return tuple(self._status(item) for item in held if namespace in (None, item.job.namespace))

    def attempts(self, namespace: str, name: str) -> tuple[Attempt, ...]:
        """A Job's pods, the oldest first; raises NotFound."""
        return self.run(self.objects.job(namespace, name).job).attempts

    def run(self, job: Job) -> JobRun:
        """What became of a Job so far."""
        with self._lock:
            found = self._runs.get((job.namespace, job.name))
        return found or JobRun(started_at=steady())

    def say(self, job: Job, reason: str, message: str, *, warning: bool = False) -> None:
        """Something happened to a Job."""
        self._events.say("Job", job.namespace, job.name, reason, message, warning=warning)

    def put(self, job: Job, run: JobRun) -> None:
        """Store what became of a Job."""
        with self._lock:
            self._store.put_job_run(job.namespace, job.name, run.as_json())
            self._runs[job.namespace, job.name] = run
        self._poke()

    def drop(self, job: Job) -> None:
        """Forget a Job."""
        with self._lock:
            self.objects.finish_delete_job(job.namespace, job.name)
            self._runs.pop((job.namespace, job.name), None)
        self.emptied(job.namespace)

    def keeps(self, labels: Mapping[str, str]) -> bool:
        """Whether a container with these labels is one of a Job that is known."""
        with self._lock:
            run = self._runs.get((labels.get(Label.NAMESPACE, ""), labels.get(Label.JOB, "")))
        return run is not None and labels.get(Label.REPLICA) in {attempt.name for attempt in run.attempts}

    def pods(self) -> frozenset[str]:
        """The names of the pods that may have files of Secrets: those that have not ended."""
        with self._lock:
            return frozenset(attempt.name for run in self._runs.values() for attempt in run.active)

    def running(self) -> list[Running]:
        """The pods whose containers run, with what they were made from."""
        found = []
        for held in self.objects.jobs():
            for attempt in self.run(held.job).active:
                if attempt.running:
                    who = self.identity(held.job, attempt)
                    template = indexed_template(held.job.template, attempt.index)
                    found.append(Running(who=who, template=template, container_id=attempt.container_id))
        return found

    def claims(self) -> set[Key]:
        """The PersistentVolumeClaims that Jobs use which are not done, by namespace and name."""
        return {
            (held.job.namespace, claim)
            for held in self.objects.jobs()
            if self.run(held.job).finished_at is None
            for claim in held.job.template.claims
        }

    def identity(self, job: Job, attempt: Attempt) -> Identity:
        """Whose container a pod of a Job is."""
        return Identity(
            instance=self.instance,
            namespace=job.namespace,
            deployment="",
            replica=attempt.name,
            template_hash=template_hash(job.template),
            revision=0,
            job=job.name,
            hostname="" if attempt.index is None else f"{job.name}-{attempt.index}",
        )

    def active_in(self, namespace: str) -> bool:
        """Whether a Job there still needs its network."""
        return any(
            held.job.namespace == namespace and self.run(held.job).finished_at is None for held in self.objects.jobs()
        )

    def sync(self) -> None:
        """Give every Job that has something to do its runner."""
        now = steady()
        for held in self.objects.jobs():
            key = (held.job.namespace, held.job.name)
            runner = self._runners.get(key)
            if runner is not None and runner.is_alive():
                runner.wake()
                continue
            run = self.run(held.job)
            action = decide_job(held.job, run, deleting=held.deleting, now=now)
            if run.active or not isinstance(action, Rest):
                self._runners[key] = Runner(held.job, self)
                self._runners[key].start()
        for key in [key for key, runner in self._runners.items() if not runner.is_alive()]:
            del self._runners[key]

    def died(self, container_id: str) -> None:
        """A container was seen to have ended; whose it is is found by who looks."""
        del container_id
        for runner in tuple(self._runners.values()):
            runner.look()

    def leave(self) -> None:
        """Stop seeing to them; what runs runs on."""
        runners = tuple(self._runners.values())
        for runner in runners:
            runner.leave()
        for runner in runners:
            runner.join(timeout=1)

    def _status(self, held: HeldJob) -> JobStatus:
        return job_status(held.job, self.run(held.job), deleting=held.deleting)


class Runner(threading.Thread):
    """Sees to one Job until there is nothing to do but to wait, with no container to watch."""

    def __init__(self, job: Job, jobs: Jobs) -> None:
        super().__init__(name=f"job {job.name}", daemon=True)
        self._job = job
        self._jobs = jobs
        self._engine = jobs.engine
        self._mail = threading.Condition()
        self._news = 0
        self._looks: dict[str, float] = {}
        self._failed: type[JobAction] | None = None
        self._retry_at = 0.0
        self._tries: dict[str, int] = {}
        self._leaving = False
        self._given: dict[str, Given] = {}

    def wake(self) -> None:
        """Decide again: the Job may have changed."""
        with self._mail:
            self._news += 1
            self._mail.notify_all()

    def look(self) -> None:
        """Look at the containers: one may have ended."""
        self._looks = {}
        self.wake()

    def leave(self) -> None:
        """Be done, and leave the container as it is."""
        self._leaving = True
        self.wake()

    def run(self) -> None:
        """One decision after the other; what fails unforeseen is tried again by the next runner."""
        try:
            while not self._leaving:
                news = self._news
                try:
                    held = self._jobs.objects.job(self._job.namespace, self._job.name)
                except NotFound:
                    return
                self._job = held.job
                run = self._jobs.run(held.job)
                action = decide_job(held.job, run, deleting=held.deleting, now=steady())
                if not run.active and isinstance(action, Rest):
                    return
                if not self._carry_out(action, run):
                    self._wait(news, action.until if isinstance(action, Rest) else None)
        except Exception:
            log.exception("job failed", extra={"job": self._job.name})

    def _carry_out(self, action: JobAction, run: JobRun) -> bool:
        """Whether that changed anything; put off where it failed a moment ago."""
        if type(action) is self._failed and steady() < self._retry_at:
            return False
        try:
            self._act(action, run)
        except EngineError as error:
            log.warning("job not attended", extra={"job": self._job.name, "error": str(error)})
            self._failed = type(action)
            self._retry_at = steady() + RETRY_SECONDS
            return False
        self._failed = None
        return isinstance(action, Remove) or self._jobs.run(self._job) != run

    def _wait(self, news: int, until: float | None) -> None:
        now = steady()
        ends = [at for at in (until, *self._looks.values(), self._retry_at) if at is not None and at > now]
        with self._mail:
            self._mail.wait_for(lambda: self._leaving or self._news != news, min([*ends, now + LOOK_SECONDS]) - now)

    def _act(self, action: JobAction, run: JobRun) -> None:
        job = self._job
        match action:
            case Begin(index=index):
                middle = "" if index is None else f"{index}-"
                name = f"{job.name}-{middle}{random_suffix()}"
                self._put(run.with_attempt(Attempt(name=name, index=index)))
                self._jobs.say(job, "SuccessfulCreate", f"Created pod: {name}")
            case Halt():
                self._halt(self._marked(run, action), action.names)
            case Finish(reason=reason):
                self._put(replace(run, finished_at=steady(), reason=reason))
                self._jobs.say(
                    job,
                    reason or "Completed",
                    (why_failed(job, run) if reason == BY_RULE else "") or _FINISHED[reason],
                    warning=bool(reason),
                )
            case Suspend():
                self._put(replace(run, suspended=True))
                self._jobs.say(job, "Suspended", "Job suspended")
            case Resume():
                self._put(replace(run, suspended=False, started_at=steady()))
                self._jobs.say(job, "Resumed", "Job resumed")
            case Remove():
                for attempt in run.attempts:
                    self._remove(attempt)
                    self._jobs.creation.storage.forget(job.template, attempt.name)
                self._jobs.drop(job)
            case Rest():
                self._attend_all(run)

    def _remove(self, attempt: Attempt) -> None:
        """Its container, and the one before its last restart."""
        if attempt.container_id:
            self._engine.remove(attempt.container_id)
        if attempt.restarts:
            template = self._job.template
            name = container_name(self._jobs.identity(self._job, attempt), template, template.container)
            self._engine.remove(previous_name(name))

    def _marked(self, run: JobRun, action: Halt) -> JobRun:
        """Known before they are stopped: a program that ends in peace on its signal has not succeeded."""
        marked = replace(run, stopping=action.reason or run.stopping)
        for attempt in run.active:
            if attempt.name in action.names:
                marked = marked.with_attempt(
                    replace(attempt, killed=bool(action.reason), given_up=not action.reason, retry_at=None)
                )
        if marked != run:
            self._put(marked)
        return marked

    def _attend_all(self, run: JobRun) -> None:
        """Start the pods that were decided on, and see whether one has ended. One that cannot be started is tried again
        later, and keeps no other waiting."""
        for attempt in run.active:
            try:
                self._attend(attempt)
                self._tries.pop(attempt.name, None)
            except (EngineError, ConfigError, ImageError, KeyFailure) as error:
                log.warning("pod not attended", extra={"pod": attempt.name, "error": str(error)})
                tries = self._tries[attempt.name] = self._tries.get(attempt.name, -1) + 1
                first = 0.5 if isinstance(error, EngineError) else 5.0
                self._looks[attempt.name] = steady() + min(first * 2 ** min(tries, 10), LONGEST_PAUSE)
                self._change(replace(self._attempt(attempt.name), message=error.message))

    def _attend(self, attempt: Attempt) -> None:
        now = steady()
        if attempt.retry_at is not None:
            if now < attempt.retry_at:
                self._looks[attempt.name] = attempt.retry_at
                return
            attempt = replace(attempt, container_id="", started_at=None, retry_at=None)
        if now < self._looks.get(attempt.name, 0.0):
            return
        # Set before the look: an end that is told meanwhile asks for another one.
        self._looks[attempt.name] = now + LOOK_SECONDS
        if not attempt.container_id:
            attempt = self._create(attempt)
        state = self._engine.inspect(attempt.container_id)
        if state is not None and state.started_at is None:
            state = self._start(attempt)
        if state is None:
            self._change(replace(attempt, ended_at=now, message="its container was lost"))
        elif not state.running:
            self._record_end(attempt, state)
        elif attempt.started_at is None:
            self._change(replace(attempt, started_at=state.started_at, message=""))

    def _create(self, attempt: Attempt) -> Attempt:
        job, instance = self._job, self._jobs.instance
        spec = job.template.container
        logins = partial(self._jobs.creation.logins, job.template, spec.image, job.namespace)
        image = self._engine.ensure_image(
            spec.image, always_pull=spec.always_pull, never_pull=spec.never_pull, logins=logins
        )
        refuse_root(spec, image)
        network = network_name(instance, job.namespace)
        facts = self._engine.ensure_network(network, {Label.INSTANCE: instance, Label.NAMESPACE: job.namespace})
        self._jobs.met(job.namespace, facts)
        template = indexed_template(job.template, attempt.index)
        container_id, given = self._jobs.creation.create(template, self._jobs.identity(job, attempt), image)
        self._given[attempt.name] = given
        created = replace(attempt, container_id=container_id, message="")
        self._change(created)
        return created

    def _start(self, attempt: Attempt) -> ContainerState | None:
        """How the container stands then; one that the engine will not start has ended."""
        try:
            self._engine.start(attempt.container_id)
        except EngineError as error:
            if error.retryable:
                raise
            state = self._engine.inspect(attempt.container_id)
            if state is None:
                return None
            return replace(state, running=False, exit_code=state.exit_code or NOT_STARTED, error=error.message)
        return self._engine.inspect(attempt.container_id)

    def _halt(self, run: JobRun, names: Collection[str]) -> None:
        """Stop them, all at once: each may take its grace period."""
        grace = self._job.template.grace_period
        chosen = [attempt for attempt in run.active if attempt.name in names]
        with ThreadPoolExecutor(max_workers=PARALLEL_STOPS) as pool:
            list(
                pool.map(
                    lambda item: self._engine.stop(item.container_id, grace) if item.container_id else None, chosen
                )
            )
        for attempt in chosen:
            if not attempt.container_id:
                self._change(replace(attempt, ended_at=steady(), message="it was never started"))
                continue
            state = self._engine.inspect(attempt.container_id)
            if state is None:
                self._change(replace(attempt, ended_at=steady(), message="its container was lost"))
            else:
                self._record_end(attempt, state)

    def _record_end(self, attempt: Attempt, state: ContainerState) -> None:
        job = self._job
        given = self._given.get(attempt.name, frozenset())
        message = redact([state.error], given)[0] or (
            "killed for want of memory" if state.oom_killed else f"ended with exit code {state.exit_code}"
        )
        ended_at = min(state.finished_at or steady(), steady())  # the engine's clock may have jumped ahead
        ended = replace(
            attempt,
            started_at=state.started_at,
            ended_at=ended_at,
            exit_code=state.exit_code,
            message=message,
            last_log=self._jobs.creation.last_log(
                attempt.container_id,
                job.template,
                job.namespace,
                given,
                replica=attempt.name,
                name=job.template.container.name,
            ),
        )
        wanted = not (attempt.given_up or attempt.killed)
        if job.on_failure and wanted and state.exit_code != 0:
            before = Backoff(restarts=attempt.restarts, delay=attempt.delay)
            after = before.after_end(ended_at - (state.started_at or ended_at))
            ended = replace(
                ended,
                ended_at=None,
                restarts=after.restarts,
                delay=after.delay,
                retry_at=ended_at + after.delay,
                message=f"{message}; starts again "
                + (f"{after.delay:.0f} s after its end" if after.delay else "at once"),
            )
            self._looks.pop(attempt.name, None)
            self._jobs.say(job, "BackOff", f"Back-off restarting failed container in pod {attempt.name}", warning=True)
            self._change(ended)
            return
        self._change(ended)
        self._jobs.creation.files.remove(attempt.name)

    def _now(self) -> JobRun:
        return self._jobs.run(self._job)

    def _attempt(self, name: str) -> Attempt:
        return next(attempt for attempt in self._now().attempts if attempt.name == name)

    def _change(self, attempt: Attempt) -> None:
        """What became of one pod."""
        self._put(self._now().with_attempt(attempt))

    def _put(self, run: JobRun) -> None:
        self._jobs.put(self._job, run)


_FINISHED = {
    "": "Job completed",
    BACKOFF_LIMIT: "Job has reached the specified backoff limit",
    DEADLINE: "Job was active longer than specified deadline",
    BY_RULE: "A pod has failed as the Job's podFailurePolicy says",
    FAILED_INDEXES: "Job has failed indexes",
    TOO_MANY_INDEXES: "Job has exceeded the specified maximal number of failed indexes",
}


def indexed_template(template: PodTemplate, index: int | None) -> PodTemplate:
    """The template of a pod of an Indexed Job, which is told its index; another one's is as it was."""
    if index is None:
        return template
    said = {INDEX_ANNOTATION: str(index)}
    container = template.container
    env = tuple(item for item in container.env if item[0] != INDEX_VARIABLE)
    return replace(
        template,
        labels={**template.labels, **said},
        annotations={**template.annotations, **said},
        container=replace(container, env=(*env, (INDEX_VARIABLE, str(index)))),
    )
