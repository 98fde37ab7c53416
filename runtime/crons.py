"""The CronJobs as they go: what each of them makes and removes, decided by the controller's loop."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from runtime.cron import CronDecision, CronRun, Made, decide_cron, job_name
from runtime.errors import NotFound, RuntimeFailure
from runtime.events import Recorder
from runtime.jobs import Jobs
from runtime.manifest import dump
from runtime.manifest.model import CRON_JOB_ANNOTATION, CronJob
from runtime.model import CronJobStatus
from runtime.objects import Objects
from runtime.store import Store

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""Until a Job that was refused is tried again."""

DUE_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_NOTE = "cron "
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What a decision was made of, and until when it holds."""

    cron: CronJob
    made: tuple[Made, ...]
    until: float | None


class Crons:
    """Makes Jobs at their times. `clock` is the machine's, which is what a schedule is about."""

    def __init__(
        self, objects: Objects, jobs: Jobs, store: Store, events: Recorder, clock: Callable[[], float] = time.time
    ) -> None:
        self._objects = objects
        self._jobs = jobs
        self._store = store
        self._events = events
        self._clock = clock
        self._runs: dict[Key, CronRun] = {}
        self._seen: dict[Key, _Seen] = {}

    def sync(self) -> None:
        """Look at each CronJob: where nothing has changed before it is due again, that costs nothing. Jobs whose
        CronJob is gone go too."""
        crons = {(cron.namespace, cron.name): cron for cron in self._objects.cron_jobs()}
        made: dict[Key, list[Made]] = {}
        for held in self._objects.jobs():
            if not held.job.owner:
                continue
            owner = (held.job.namespace, held.job.owner)
            status = self._jobs.status(held.job.namespace, held.job.name)
            one = Made(name=status.name, phase=status.phase, finished_at=status.finished_at, deleting=status.deleting)
            if owner in crons:
                made.setdefault(owner, []).append(one)
            elif not held.deleting:
                self._delete(held.job.namespace, held.job.name)
        for key, cron in crons.items():
            self._step(key, cron, tuple(made.get(key, ())))
        for key in [key for key in self._runs if key not in crons]:
            self._store.drop_note(_note(key))
            del self._runs[key]
            self._seen.pop(key, None)

    def statuses(self, namespace: str | None) -> tuple[CronJobStatus, ...]:
        """How all CronJobs stand, or those of one namespace, by name."""
        out = []
        for cron in sorted(self._objects.cron_jobs(), key=lambda item: (item.namespace, item.name)):
            if namespace not in (None, cron.namespace):
                continue
            key = (cron.namespace, cron.name)
            seen = self._seen.get(key)
            out.append(
                CronJobStatus(
                    name=cron.name,
                    namespace=cron.namespace,
                    schedule=cron.schedule,
                    time_zone=cron.time_zone or "",
                    suspended=cron.suspend,
                    active=sum(job.active for job in seen.made) if seen else 0,
                    last_scheduled_at=self._run(key).last,
                    next_at=seen.until if seen else None,
                )
            )
        return tuple(out)

    def _step(self, key: Key, cron: CronJob, made: tuple[Made, ...]) -> None:
        now = self._clock()
        seen = self._seen.get(key)
        if seen and (seen.cron, seen.made) == (cron, made) and (seen.until is None or now < seen.until):
            return
        run = self._run(key)
        decision = decide_cron(cron, run, made, now)
        done = self._carry_out(key, cron, run, decision)
        self._seen[key] = _Seen(cron=cron, made=made, until=decision.until if done else now + RETRY_SECONDS)

    def _carry_out(self, key: Key, cron: CronJob, run: CronRun, decision: CronDecision) -> bool:
        """Whether all of it could be done."""
        for said in decision.say:
            self._events.say("CronJob", *key, said.reason, said.message, warning=said.warning)
        for name in decision.delete:
            self._delete(cron.namespace, name)
        if decision.served is not None:
            self._put(key, CronRun(created_at=run.created_at, last=decision.served))
        if decision.start is None:
            return True
        name = job_name(cron.name, decision.start)
        try:
            self._objects.apply(dump([job_data(cron, name, decision.start)]), f"CronJob {cron.namespace}/{cron.name}")
        except RuntimeFailure as error:
            self._events.say("CronJob", *key, "FailedCreate", f"Error creating job: {error}", warning=True)
            return False
        self._put(key, CronRun(created_at=run.created_at, last=decision.start))
        self._events.say("CronJob", *key, "SuccessfulCreate", f"Created job {name}")
        return True

    def _delete(self, namespace: str, name: str) -> None:
        try:
            self._objects.delete(namespace, "Job", name)
        except NotFound:
            log.debug("job is gone", extra={"job": name})

    def _run(self, key: Key) -> CronRun:
        if key not in self._runs:
            saved = self._store.note(_note(key))
            if saved is None:
                self._put(key, CronRun(created_at=self._clock()))
            else:
                self._runs[key] = CronRun(**json.loads(saved))
        return self._runs[key]

    def _put(self, key: Key, run: CronRun) -> None:
        self._store.put_note(_note(key), json.dumps(asdict(run)))
        self._runs[key] = run


def job_data(cron: CronJob, name: str, due: float) -> dict[str, Any]:
    """The manifest of the Job for a time."""
    data: dict[str, Any] = {**cron.data}
    meta = data["metadata"]
    annotations = {
        **meta["annotations"],
        CRON_JOB_ANNOTATION: cron.name,
        DUE_ANNOTATION: datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {**data, "metadata": {**meta, "name": name, "annotations": annotations}}


def _note(key: Key) -> str:
    return f"{_NOTE}{key[0]}/{key[1]}"
