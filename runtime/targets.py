"""The containers that a selection leads to at any moment, looked up in what the controller holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.container import Identity
from runtime.controller import Controller
from runtime.errors import NotFound
from runtime.manifest.model import PodTemplate
from runtime.model import JobPhase, PodPhase, Selection
from runtime.roster import Replica
from runtime.selection import (
    Source,
    choose,
    has_labels,
    latest,
    of_replica,
    refuse_container,
    spoken_of,
)


class Targets:
    """What one selection leads to. Raises NotFound where the object is not there, or has no such container."""

    def __init__(self, controller: Controller, selection: Selection) -> None:
        self._controller = controller
        self._objects = controller.objects
        self.selection = self._settled(selection)
        refuse_container(self.selection, list(self._templates()))

    def sources(self) -> list[Source] | None:
        """The containers as they are now, the oldest pod's first; None once what they belong to is gone."""
        if not self._is_there():
            return None
        wanted = self.selection
        return [source for item in self._replicas() for source in of_replica(wanted, item, self._identity(item))]

    def over(self) -> bool:
        """Whether none of them will write any more: what they are of is done, or the controller ends."""
        wanted, controller = self.selection, self._controller
        if controller.stopping:
            return True
        try:
            if wanted.kind == "Job":
                return controller.jobs.status(wanted.namespace, wanted.names[0]).phase is not JobPhase.ACTIVE
            if wanted.kind == "Pod" and self._is_own_pod():
                phase = controller.pod_status(wanted.namespace, wanted.names[0]).phase
                return phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)
            if wanted.kind == "Pod" and (replicas := list(self._replicas())):
                return all(item.done for item in replicas)
        except NotFound:
            return True
        return False

    def running(self, replica: str) -> Source:
        """The container in which a command is to run. Raises NotFound (`no-such-replica`), Conflict (`not-running`)."""
        return choose(self.selection, self.sources() or [], replica)

    def _settled(self, wanted: Selection) -> Selection:
        """With the Job in the place of the CronJob that made it; raises NotFound for what is not there."""
        match wanted.kind:
            case "Deployment":
                for name in wanted.names:
                    self._objects.deployment(wanted.namespace, name)
            case "Job":
                self._objects.job(wanted.namespace, wanted.names[0])
            case "CronJob":
                return self._of_cron_job(wanted)
            case "Pod":
                if not any(True for _ in self._pods_named(wanted)):
                    raise NotFound(
                        "not-found",
                        spoken_of(wanted),
                        "no such object",
                        hint=f"imageforge get pods -n {wanted.namespace}",
                    )
        return wanted

    def _of_cron_job(self, wanted: Selection) -> Selection:
        name = wanted.names[0]
        known = self._objects.cron_jobs()
        if not any((item.namespace, item.name) == (wanted.namespace, name) for item in known):
            raise NotFound("not-found", spoken_of(wanted), "no such object", hint="imageforge get cronjobs")
        jobs = (held.job for held in self._objects.jobs() if held.job.namespace == wanted.namespace)
        found = latest(jobs, name, lambda job: self._controller.jobs.run(job).started_at)
        if found is None:
            raise NotFound(
                "no-job-yet", spoken_of(wanted), "none of its Jobs is there", hint=f"imageforge describe cronjob {name}"
            )
        return replace(wanted, kind="Job", names=(found.name,))

    def _is_there(self) -> bool:
        wanted = self.selection
        match wanted.kind:
            case "Deployment":
                there = {
                    held.deployment.name
                    for held in self._objects.deployments()
                    if held.deployment.namespace == wanted.namespace
                }
                return bool(there.intersection(wanted.names))
            case "Job":
                return any(
                    (held.job.namespace, held.job.name) == (wanted.namespace, wanted.names[0])
                    for held in self._objects.jobs()
                )
            case "Pod":
                return any(True for _ in self._pods_named(wanted))
        return True

    def _is_own_pod(self) -> bool:
        wanted = self.selection
        return any(
            (held.pod.namespace, held.pod.name) == (wanted.namespace, wanted.names[0]) for held in self._objects.pods()
        )

    def _pods_named(self, wanted: Selection) -> Iterator[str]:
        """The name of a pod, once for each that has it: of a Deployment, of a Job, or its own."""
        name = wanted.names[0]
        yield from (item.name for item in self._controller.roster.all() if _is_pod(item, wanted.namespace, name))
        for held in self._objects.pods():
            if (held.pod.namespace, held.pod.name) == (wanted.namespace, name):
                yield name

    def _replicas(self) -> Iterator[Replica]:
        wanted = self.selection
        for item in self._controller.roster.all():
            if item.namespace != wanted.namespace:
                continue
            match wanted.kind:
                case "Deployment":
                    chosen = item.deployment in wanted.names
                case "Job":
                    chosen = item.job in wanted.names
                case "Pod":
                    chosen = item.shown_name in wanted.names
                case "":
                    chosen = has_labels(wanted.labels, item.template.labels)
                case _:
                    chosen = False
            if chosen:
                yield item

    def _templates(self) -> Iterator[PodTemplate]:
        wanted = self.selection
        yield from (item.template for item in self._replicas())
        if wanted.kind == "Job":
            yield self._objects.job(wanted.namespace, wanted.names[0]).job.template
        if wanted.kind == "Deployment":
            for name in wanted.names:
                yield self._objects.deployment(wanted.namespace, name).deployment.template
        elif wanted.kind == "Pod" and self._is_own_pod():
            yield self._objects.pod(wanted.namespace, wanted.names[0]).pod.template

    def _identity(self, replica: Replica) -> Identity:
        return Identity(
            instance=self._controller.settings.instance,
            namespace=replica.namespace,
            deployment=replica.deployment,
            replica=replica.name,
            template_hash=replica.template_hash,
            revision=0,
            pod=replica.pod,
            job=replica.job,
        )


def _is_pod(replica: Replica, namespace: str, name: str) -> bool:
    return (replica.namespace, replica.shown_name) == (namespace, name)
