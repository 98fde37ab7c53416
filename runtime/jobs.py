"""The Jobs as they run: one thread for each that has something to do, started by the controller's loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from runtime.clock import steady
from runtime.container import ContainerState, Identity, network_name, refuse_root
from runtime.creation import Creation, Given
from runtime.discovery.network import NetworkFacts
from runtime.errors import ConfigError, EngineError, ImageError, KeyFailure, NotFound
from runtime.job import Attempt, Begin, Finish, Halt, JobAction, JobRun, Remove, Rest, decide_job, job_status
from runtime.labels import Label
from runtime.manifest.model import Job
from runtime.manifest.template import random_suffix, template_hash
from runtime.model import JobStatus
from runtime.objects import HeldJob, Objects
from runtime.redact import redact
from runtime.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""The longest between two looks at a container: the engine's events are hints, and one may be lost."""
LONGEST_PAUSE = 60.0
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
            return frozenset(run.current.name for run in self._runs.values() if run.current is not None)

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
            if run.current is not None or not isinstance(action, Rest):
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
        self._look_at = 0.0
        self._failed: type[JobAction] | None = None
        self._retry_at = 0.0
        self._tries = 0
        self._leaving = False
        self._given: Given = frozenset()

    def wake(self) -> None:
        """Decide again: the Job may have changed."""
        with self._mail:
            self._news += 1
            self._mail.notify_all()

    def look(self) -> None:
        """Look at the container: it may have ended."""
        self._look_at = 0.0
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
                if run.current is None and isinstance(action, Rest):
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
            self._put_off(action, error.message, first=0.5)
            return False
        except (ConfigError, ImageError, KeyFailure) as error:
            self._put_off(action, error.message, first=5.0)
            return False
        self._failed = None
        return isinstance(action, Remove) or self._jobs.run(self._job) != run

    def _wait(self, news: int, until: float | None) -> None:
        now = steady()
        ends = [at for at in (until, self._look_at, self._retry_at) if at is not None and at > now]
        with self._mail:
            self._mail.wait_for(lambda: self._leaving or self._news != news, min([*ends, now + LOOK_SECONDS]) - now)

    def _act(self, action: JobAction, run: JobRun) -> None:
        match action:
            case Begin():
                self._put(run.with_attempt(Attempt(name=f"{self._job.name}-{random_suffix()}")))
            case Halt():
                if action.reason and run.stopping != action.reason:
                    # Known before it is stopped: a program that ends in peace on its signal has not succeeded.
                    run = replace(run, stopping=action.reason)
                    self._put(run)
                self._halt(run)
            case Finish():
                self._put(replace(run, finished_at=steady(), reason=action.reason))
            case Remove():
                for attempt in run.attempts:
                    if attempt.container_id:
                        self._engine.remove(attempt.container_id)
                    self._jobs.creation.files.remove(attempt.name)
                self._jobs.drop(self._job)
            case Rest():
                self._attend(run)

    def _attend(self, run: JobRun) -> None:
        """Start the pod that was decided on, or see whether it has ended."""
        attempt = run.current
        now = steady()
        if attempt is None or now < self._look_at:
            return
        # Set before the look: an end that is told meanwhile asks for another one.
        self._look_at = now + LOOK_SECONDS
        if not attempt.container_id:
            attempt = self._create(run, attempt)
            run = run.with_attempt(attempt)
        state = self._engine.inspect(attempt.container_id)
        if state is not None and state.started_at is None:
            state = self._start(attempt)
        if state is None:
            self._put(run.with_attempt(replace(attempt, ended_at=now, message="its container was lost")))
        elif not state.running:
            self._record_end(run, attempt, state)
        elif attempt.started_at is None:
            self._put(run.with_attempt(replace(attempt, started_at=state.started_at, message="")))

    def _create(self, run: JobRun, attempt: Attempt) -> Attempt:
        job, instance = self._job, self._jobs.instance
        spec = job.template.container
        image = self._engine.ensure_image(spec.image, always_pull=spec.always_pull, never_pull=spec.never_pull)
        refuse_root(spec, image)
        network = network_name(instance, job.namespace)
        facts = self._engine.ensure_network(network, {Label.INSTANCE: instance, Label.NAMESPACE: job.namespace})
        self._jobs.met(job.namespace, facts)
        who = Identity(
            instance=instance,
            namespace=job.namespace,
            deployment="",
            replica=attempt.name,
            template_hash=template_hash(job.template),
            revision=0,
            job=job.name,
        )
        container_id, self._given = self._jobs.creation.create(job.template, who, image)
        created = replace(attempt, container_id=container_id, message="")
        self._put(run.with_attempt(created))
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

    def _halt(self, run: JobRun) -> None:
        attempt = run.current
        if attempt is None:
            return
        if not attempt.container_id:
            self._put(run.with_attempt(replace(attempt, ended_at=steady(), message="it was never started")))
            return
        self._engine.stop(attempt.container_id, self._job.template.grace_period)
        state = self._engine.inspect(attempt.container_id)
        if state is None:
            self._put(run.with_attempt(replace(attempt, ended_at=steady(), message="its container was lost")))
        else:
            self._record_end(run, attempt, state)

    def _record_end(self, run: JobRun, attempt: Attempt, state: ContainerState) -> None:
        message = redact([state.error], self._given)[0] or (
            "killed for want of memory" if state.oom_killed else f"ended with exit code {state.exit_code}"
        )
        ended = replace(
            attempt,
            started_at=state.started_at,
            ended_at=min(state.finished_at or steady(), steady()),  # the engine's clock may have jumped ahead
            exit_code=state.exit_code,
            message=message,
            last_log=self._jobs.creation.last_log(
                attempt.container_id, self._job.template, self._job.namespace, self._given
            ),
        )
        self._put(run.with_attempt(ended))
        self._jobs.creation.files.remove(attempt.name)

    def _put_off(self, action: JobAction, message: str, *, first: float) -> None:
        """Try again later, and say why."""
        self._tries = self._tries + 1 if self._failed is type(action) else 0
        self._failed = type(action)
        self._retry_at = steady() + min(first * 2 ** min(self._tries, 10), LONGEST_PAUSE)
        self._look_at = 0.0
        run = self._jobs.run(self._job)
        if run.current is not None:
            self._put(run.with_attempt(replace(run.current, message=message)))

    def _put(self, run: JobRun) -> None:
        self._jobs.put(self._job, run)
