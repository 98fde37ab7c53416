"""The objects of a server's runtime: the questions that the controller of a home is asked, by its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from imageforge.report.rollout import RolloutReport
from runtime import (
    AppliedObject,
    AutoscalerStatus,
    CronJobStatus,
    DeploymentStatus,
    Event,
    JobStatus,
    ObjectChange,
    ObjectView,
    PodStatus,
    RevisionStatus,
    SecretStatus,
    ServiceStatus,
    value_from_json,
)

if TYPE_CHECKING:
    from imageforge.client.server import Server

T = TypeVar("T")
NO_NAMESPACE = "-"
"""In an address, for an object that is in none."""
YAML = {"Content-Type": "application/yaml"}


class ServerObjects:
    """Methods as those of `runtime.ControllerClient`, and the same answers. Each raises ServerError."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def check(self, manifests: str, *, source: str, place: str | None = None) -> tuple[AppliedObject, ...]:
        """What `apply` would do or refuse; changes nothing."""
        return self._apply(manifests, _query(source, place, dry_run="true"))

    def apply(self, manifests: str, *, source: str, place: str | None = None) -> tuple[AppliedObject, ...]:
        """Make the objects as the text says, all or none; those that name no namespace in `place`."""
        return self._apply(manifests, _query(source, place))

    def follow_apply(
        self, texts: Sequence[tuple[str, str]], *, place: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Apply manifests, each with the name by which errors call it, and follow their rollouts."""
        for source, text in texts:
            self.check(text, source=source, place=place)
        whole = "\n---\n".join(text for _, text in texts)
        query = _query(texts[0][0], place, wait="true")
        return self._server.lines("POST", "/v1/apply", params=query, content=whole.encode(), headers=YAML)

    def preview(self, manifests: str, *, source: str, place: str | None = None) -> tuple[ObjectChange, ...]:
        """What `apply` would change."""
        query = _query(source, place)
        rows = self._server.ask("POST", "/v1/diff", params=query, content=manifests.encode(), headers=YAML)
        return _values(ObjectChange, rows)

    def views(self, kind: str | None = None, namespace: str | None = None) -> tuple[ObjectView, ...]:
        """The objects of a kind or of all, of a namespace or of all, as they stand."""
        return _values(ObjectView, self._list("/v1/objects", kind=kind, namespace=namespace))

    def delete(self, namespace: str, kind: str, name: str, *, volumes: bool = False) -> None:
        """Delete an object; with `volumes` what a claim holds goes with it."""
        place = quote(namespace or NO_NAMESPACE, safe="")
        path = f"/v1/objects/{place}/{quote(kind, safe='')}/{quote(name, safe='')}"
        self._server.ask("DELETE", path, params={"volumes": "true"} if volumes else None)

    def deployments(self, namespace: str | None = None) -> tuple[DeploymentStatus, ...]:
        """How the Deployments stand."""
        return _values(DeploymentStatus, self._list("/v1/deployments", namespace=namespace))

    def deployment(self, namespace: str, name: str) -> DeploymentStatus:
        """How one Deployment stands."""
        return _value(DeploymentStatus, self._server.ask("GET", _deployment(namespace, name)))

    def watch(self, namespace: str, name: str) -> Iterator[DeploymentStatus]:
        """A status at once and at each change, until it is rolled out, stalled or gone."""
        for row in self._server.lines("GET", f"{_deployment(namespace, name)}/watch"):
            yield _value(DeploymentStatus, row)

    def pods(self, namespace: str | None = None) -> tuple[PodStatus, ...]:
        """How the pods stand that are no Deployment's."""
        return _values(PodStatus, self._list("/v1/pods", namespace=namespace))

    def services(self, namespace: str | None = None) -> tuple[ServiceStatus, ...]:
        """How the Services stand."""
        return _values(ServiceStatus, self._list("/v1/services", namespace=namespace))

    def jobs(self, namespace: str | None = None) -> tuple[JobStatus, ...]:
        """How the Jobs stand."""
        return _values(JobStatus, self._list("/v1/jobs", namespace=namespace))

    def cron_jobs(self, namespace: str | None = None) -> tuple[CronJobStatus, ...]:
        """How the CronJobs stand."""
        return _values(CronJobStatus, self._list("/v1/cronjobs", namespace=namespace))

    def autoscalers(self, namespace: str | None = None) -> tuple[AutoscalerStatus, ...]:
        """How the HorizontalPodAutoscalers stand."""
        return _values(AutoscalerStatus, self._list("/v1/autoscalers", namespace=namespace))

    def secrets(self, namespace: str | None = None) -> tuple[SecretStatus, ...]:
        """The Secrets, without their values."""
        return _values(SecretStatus, self._list("/v1/secrets", namespace=namespace))

    def events(
        self, namespace: str | None = None, kind: str | None = None, name: str | None = None, *, follow: bool = False
    ) -> Iterator[Event]:
        """What happened, the latest last; then with `follow` what comes."""
        said = {"namespace": namespace, "kind": kind, "name": name, "follow": "true" if follow else "false"}
        query = {key: value for key, value in said.items() if value is not None}
        for row in self._server.lines("GET", "/v1/events", params=query):
            yield _value(Event, row)

    def revisions(self, namespace: str, name: str) -> tuple[RevisionStatus, ...]:
        """The templates that a Deployment has and had, the oldest first."""
        return _values(RevisionStatus, self._server.ask("GET", f"{_deployment(namespace, name)}/revisions"))

    def report(self, namespace: str, name: str, revision: int | None) -> RolloutReport:
        """The report of a Deployment's last rollout, or of the last one to a revision."""
        query = {"revision": str(revision)} if revision is not None else None
        return RolloutReport.from_json(self._server.ask("GET", f"{_deployment(namespace, name)}/report", params=query))

    def undo(self, namespace: str, name: str, *, revision: int | None = None) -> AppliedObject:
        """Go back to the template of a revision; None is the one before."""
        answer = self._server.ask("POST", f"{_deployment(namespace, name)}/undo", {"revision": revision})
        return _value(AppliedObject, answer)

    def pause(self, namespace: str, name: str) -> None:
        """Roll nothing of a Deployment out any more."""
        self._server.ask("POST", f"{_deployment(namespace, name)}/pause")

    def resume(self, namespace: str, name: str) -> None:
        """Go on."""
        self._server.ask("POST", f"{_deployment(namespace, name)}/resume")

    def restart(self, namespace: str, name: str) -> None:
        """Replace every replica by a rolling update."""
        self._server.ask("POST", f"{_deployment(namespace, name)}/restart")

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set the number of replicas."""
        self._server.ask("POST", f"{_deployment(namespace, name)}/scale", {"replicas": replicas})

    def _apply(self, manifests: str, query: Mapping[str, str]) -> tuple[AppliedObject, ...]:
        answer = self._server.ask("POST", "/v1/apply", params=query, content=manifests.encode(), headers=YAML)
        return _values(AppliedObject, answer["objects"])

    def _list(self, path: str, **query: str | None) -> list[Any]:
        said = {key: value for key, value in query.items() if value is not None}
        return list(self._server.ask("GET", path, params=said))


def _deployment(namespace: str, name: str) -> str:
    return f"/v1/deployments/{quote(namespace, safe='')}/{quote(name, safe='')}"


def _query(source: str, place: str | None, **more: str) -> dict[str, str]:
    return {"source": _source(source), **({"namespace": place} if place else {}), **more}


def _source(name: str) -> str:
    """The name of a file as the server takes one: the end of a long one says more than its beginning."""
    return "".join(letter for letter in name if letter.isprintable())[-255:] or "manifest"


def _values(kind: type[T], rows: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(_value(kind, row) for row in rows)


def _value(kind: type[T], row: Mapping[str, Any]) -> T:
    made: T = value_from_json(kind.__name__, row)
    return made
