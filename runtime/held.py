"""Objects as the controller holds them: parsed, and with what the store knows of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from runtime.manifest import reload
from runtime.manifest.autoscaler import Autoscaler
from runtime.manifest.claim import Claim
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import CronJob, Deployment, Job, Pod, Service
from runtime.manifest.routing import Ingress
from runtime.store import StoredObject

Key = tuple[str, str]
"""Namespace and name."""
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A template that a Deployment has or had."""

    number: int
    hash: str
    deployment: Deployment


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A Deployment and its revisions by template hash. `hash` is the wanted one's; `deleting` until its last replica is
    gone."""

    deployment: Deployment
    hash: str
    generation: int
    deleting: bool
    revisions: dict[str, Revision]

    @property
    def revision(self) -> int:
        """The number of the wanted template's revision."""
        return self.revisions[self.hash].number


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldJob:
    """A Job; `deleting` until its containers are gone."""

    job: Job
    deleting: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldPod:
    """A pod that is no Deployment's; `deleting` until it is gone."""

    pod: Pod
    deleting: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldClaim:
    """A PersistentVolumeClaim; `deleting` until nothing uses it."""

    claim: Claim
    deleting: bool


def _reader(kind: type[Made]) -> Callable[[StoredObject], Made]:
    def read(stored: StoredObject) -> Made:
        made = reload(stored.data)
        assert isinstance(made, kind)
        return made

    return read


autoscaler, config_map, cron_job = _reader(Autoscaler), _reader(ConfigMap), _reader(CronJob)
ingress, service = _reader(Ingress), _reader(Service)


def held_claim(stored: StoredObject) -> HeldClaim:
    """The claim as it is stored."""
    claim = reload(stored.data)
    assert isinstance(claim, Claim)
    return HeldClaim(claim=claim, deleting=stored.deleting)


def held_job(stored: StoredObject) -> HeldJob:
    """The Job as it is stored."""
    job = reload(stored.data)
    assert isinstance(job, Job)
    return HeldJob(job=job, deleting=stored.deleting)


def held_pod(stored: StoredObject) -> HeldPod:
    """The pod as it is stored."""
    pod = reload(stored.data)
    assert isinstance(pod, Pod)
    return HeldPod(pod=pod, deleting=stored.deleting)
