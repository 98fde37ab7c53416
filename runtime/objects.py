"""The manifests as they stand: apply, scale, restart, delete. Changes are stored before they are seen."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runtime.claims import refuse_conflicts
from runtime.errors import Conflict, KeyFailure, ManifestError, NotFound
from runtime.held import (
    Held,
    HeldClaim,
    HeldJob,
    HeldPod,
    Key,
    Revision,
    autoscaler,
    config_map,
    cron_job,
    held_claim,
    held_job,
    held_pod,
    ingress,
    service,
)
from runtime.immutable import (
    refuse_change_of_config_map,
    refuse_change_of_job,
    refuse_change_of_pod,
    refuse_change_of_secret,
    refuse_other_selector,
)
from runtime.manifest import Document, dump, load, reload
from runtime.manifest.autoscaler import Autoscaler
from runtime.manifest.claim import Claim, going, is_going
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.kinds import KINDS
from runtime.manifest.model import (
    APP_ANNOTATION,
    RELEASE_ANNOTATION,
    RESTARTED_ANNOTATION,
    CronJob,
    Deployment,
    Job,
    Pod,
    Secret,
    Service,
    app_of,
)
from runtime.manifest.namespace import subject
from runtime.manifest.routing import Ingress
from runtime.manifest.secret_type import OPAQUE
from runtime.manifest.template import template_hash
from runtime.model import AppliedObject, ObjectChange, SecretStatus
from runtime.policy import Policy, allowed_by, refusal
from runtime.records import begin_record
from runtime.seal import Seal
from runtime.secret import masked, opened, sealed, unsealed
from runtime.store import Store, StoredObject, StoredRevision
from runtime.views import proposed, shown

DEFAULT_NAMESPACE = "default"
DEFAULT_POLICY = Policy()


class Objects:
    """All Deployments, Jobs, Services and ConfigMaps, parsed, and the Secrets, sealed. `on_change` is called after
    each change."""

    def __init__(
        self, store: Store, on_change: Callable[[], None], seal: Seal, policy: Policy = DEFAULT_POLICY
    ) -> None:
        self._store = store
        self._policy = policy
        self._seal = seal
        self._on_change = on_change
        self._lock = threading.RLock()
        self._deployments = {_key(stored): self._held(stored) for stored in store.objects("Deployment")}
        self._jobs = {_key(stored): held_job(stored) for stored in store.objects("Job")}
        self._pods = {_key(stored): held_pod(stored) for stored in store.objects("Pod")}
        self._services = {_key(stored): service(stored) for stored in store.objects("Service")}
        self._ingresses = {_key(stored): ingress(stored) for stored in store.objects("Ingress")}
        self._secrets = {_key(stored): stored for stored in store.objects("Secret")}
        self._config_maps = {_key(stored): config_map(stored) for stored in store.objects("ConfigMap")}
        self._claims = {_key(stored): held_claim(stored) for stored in store.objects("PersistentVolumeClaim")}
        self._autoscalers = {_key(stored): autoscaler(stored) for stored in store.objects("HorizontalPodAutoscaler")}
        self._cron_jobs = {_key(stored): cron_job(stored) for stored in store.objects("CronJob")}
        self._config_version = 0
        self._namespaces = {stored.name: stored.deleting for stored in store.objects("Namespace")}

    def deployments(self) -> tuple[Held, ...]:
        """Every Deployment, also those being deleted."""
        with self._lock:
            return tuple(self._deployments.values())

    def deployment(self, namespace: str, name: str) -> Held:
        """One Deployment; raises NotFound."""
        with self._lock:
            held = self._deployments.get((namespace, name))
        if held is None:
            raise not_found("Deployment", namespace, name)
        return held

    def jobs(self) -> tuple[HeldJob, ...]:
        """Every Job, also those being deleted."""
        with self._lock:
            return tuple(self._jobs.values())

    def job(self, namespace: str, name: str) -> HeldJob:
        """One Job; raises NotFound."""
        with self._lock:
            held = self._jobs.get((namespace, name))
        if held is None:
            raise not_found("Job", namespace, name)
        return held

    def pods(self) -> tuple[HeldPod, ...]:
        """Every pod that is no Deployment's, also those being deleted."""
        with self._lock:
            return tuple(self._pods.values())

    def pod(self, namespace: str, name: str) -> HeldPod:
        """One of them; raises NotFound."""
        with self._lock:
            held = self._pods.get((namespace, name))
        if held is None:
            raise not_found("Pod", namespace, name)
        return held

    def services(self) -> tuple[Service, ...]:
        """Every Service."""
        with self._lock:
            return tuple(self._services.values())

    def service(self, namespace: str, name: str) -> Service:
        """One Service; raises NotFound."""
        with self._lock:
            found = self._services.get((namespace, name))
        if found is None:
            raise not_found("Service", namespace, name)
        return found

    def ingresses(self) -> tuple[Ingress, ...]:
        """Every Ingress."""
        with self._lock:
            return tuple(self._ingresses.values())

    def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The values of a Secret by key; None where there is none. Raises KeyFailure."""
        with self._lock:
            stored = self._secrets.get((namespace, name))
        return None if stored is None else opened(stored.data, self._seal)

    def secrets(self, namespace: str | None) -> tuple[SecretStatus, ...]:
        """Every Secret, or those of one namespace, without their values."""
        with self._lock:
            found = sorted(self._secrets.items())
        return tuple(
            SecretStatus(
                namespace=key[0],
                name=key[1],
                labels=dict(stored.data["metadata"].get("labels") or {}),
                sizes=dict(stored.data["sizes"]),
                type=stored.data.get("type") or OPAQUE,
            )
            for key, stored in found
            if namespace in (None, key[0])
        )

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """A ConfigMap; None where there is none."""
        with self._lock:
            return self._config_maps.get((namespace, name))

    def claim(self, namespace: str, name: str) -> Claim | None:
        """A PersistentVolumeClaim, also one that is being deleted; None where there is none."""
        with self._lock:
            found = self._claims.get((namespace, name))
        return None if found is None else found.claim

    def claims(self) -> tuple[HeldClaim, ...]:
        """Every PersistentVolumeClaim, also those being deleted."""
        with self._lock:
            return tuple(self._claims.values())

    def cron_jobs(self) -> tuple[CronJob, ...]:
        """Every CronJob."""
        with self._lock:
            return tuple(self._cron_jobs.values())

    def autoscalers(self) -> tuple[Autoscaler, ...]:
        """Every HorizontalPodAutoscaler."""
        with self._lock:
            return tuple(self._autoscalers.values())

    def finish_delete_claim(self, namespace: str, name: str) -> None:
        """Nothing uses a deleted claim any more, unless it was applied again meanwhile."""
        with self._lock:
            found = self._claims.get((namespace, name))
            if found is None or not found.deleting:
                return
            self._store.drop_object("PersistentVolumeClaim", namespace, name)
            del self._claims[namespace, name]
        self._on_change()

    @property
    def config_version(self) -> int:
        """Another number after each change of a Secret or ConfigMap."""
        return self._config_version

    def apply(self, text: str, source: str, namespace: str | None = None) -> tuple[AppliedObject, ...]:
        """Make the objects as the manifests say: all of them, or none and an error."""
        documents = load(text, source, namespace)
        with self._lock:
            self._refuse_ending_namespaces(documents)
            self._refuse_conflicts(documents)
            self._refuse_loose(documents)
            merged = [self._merge(document) for document in documents]
            if any(document.kind == "Secret" for document in documents) and not self._secrets:
                # Only now: to those that are there, a new key would be a wrong one.
                self._seal.make()
            with self._store.transaction():
                applied = tuple(self._put(document, data) for document, data in merged)
            self._reload([(document.kind, document.namespace, document.name) for document in documents])
        self._on_change()
        return applied

    def check(self, text: str, source: str, namespace: str | None = None) -> tuple[AppliedObject, ...]:
        """What `apply` would do, or the error it would raise."""
        documents = load(text, source, namespace)
        with self._lock:
            self._refuse_ending_namespaces(documents)
            self._refuse_conflicts(documents)
            self._refuse_loose(documents)
            return tuple(
                _applied(document, self._change(document, data)[0]) for document, data in map(self._merge, documents)
            )

    def preview(self, text: str, source: str, namespace: str | None = None) -> tuple[ObjectChange, ...]:
        """What `apply` would change, object by object, or the error it would raise."""
        documents = load(text, source, namespace)
        with self._lock:
            applied = self.check(text, source, namespace)
            merged = [self._merge(document) for document in documents]
            return tuple(self._previewed(done, data) for done, (_, data) in zip(applied, merged, strict=True))

    def _previewed(self, applied: AppliedObject, data: dict[str, Any]) -> ObjectChange:
        before = self._store.object(applied.kind, applied.namespace, applied.name)
        same = applied.change == "unchanged"
        there = shown(before)
        if applied.kind == "Secret" and before is not None:
            there = proposed("Secret", {**before.data, "stringData": before.data["sizes"]}, same=True)
        return ObjectChange(
            kind=applied.kind,
            namespace=applied.namespace,
            name=applied.name,
            change=applied.change,
            before=there,
            # An unsaid field that has a default is no difference, nor is another way to write the same.
            after=there if same else proposed(applied.kind, data, same=False),
        )

    def scale(self, namespace: str, name: str, replicas: int, *, instead_of: int | None = None) -> None:
        """Set the number of replicas; raises Conflict (`scaled-meanwhile`) where it is no longer `instead_of`."""
        if not 0 <= replicas <= 1000:
            raise ManifestError(
                "invalid-value", f"Deployment {namespace}/{name}", f"{replicas} replicas, expected 0 to 1000"
            )
        with self._lock:
            now = self.deployment(namespace, name).deployment.replicas
            if instead_of not in (None, now):
                raise Conflict("scaled-meanwhile", f"Deployment {namespace}/{name}", f"it has {now} replicas by now")
            self._edit(namespace, name, lambda data: data["spec"].update(replicas=replicas))

    def restart(self, namespace: str, name: str, at: str) -> None:
        """Replace every replica by rolling update, as ``kubectl rollout restart`` does."""

        def annotate(data: dict[str, Any]) -> None:
            meta = data["spec"]["template"]["metadata"]
            meta["annotations"] = {**(meta.get("annotations") or {}), RESTARTED_ANNOTATION: at}

        self._edit(namespace, name, annotate)

    def pause(self, namespace: str, name: str, *, paused: bool) -> None:
        """Roll nothing out any more, or go on. Raises Conflict (`already-paused`, `not-paused`)."""
        if self.deployment(namespace, name).deployment.paused == paused:
            raise Conflict(
                "already-paused" if paused else "not-paused",
                f"Deployment {namespace}/{name}",
                f"it is {'' if paused else 'not '}paused",
                hint=f"imageforge rollout status deployment/{name}",
            )
        self._edit(namespace, name, lambda data: data["spec"].update(paused=paused))

    def undo(self, namespace: str, name: str, number: int | None) -> AppliedObject:
        """Go back to the template of a revision, or of the one before. Raises Conflict (`owned-by-app`,
        `rollout-paused`), NotFound (`revision-not-found`)."""
        with self._lock:
            held = self.deployment(namespace, name)
            subject = f"Deployment {namespace}/{name}"
            template = held.deployment.template
            if {RELEASE_ANNOTATION, APP_ANNOTATION} & template.annotations.keys():
                app = app_of(template, name)
                raise Conflict(
                    "owned-by-app",
                    subject,
                    f"it belongs to the app {app}, whose releases say what runs",
                    hint=f"imageforge rollback {app}",
                )
            if held.deployment.paused:
                raise Conflict(
                    "rollout-paused",
                    subject,
                    "cannot roll back a paused deployment",
                    hint=f"imageforge rollout resume deployment/{name}",
                )
            revision = _revision(held, number, subject)
            if revision.hash == held.hash:
                return AppliedObject(kind="Deployment", namespace=namespace, name=name, change="unchanged")
            stored = next(item for item in self._store.revisions(namespace, name) if item.number == revision.number)
            self._edit(
                namespace,
                name,
                lambda data: data["spec"].update(template=copy.deepcopy(stored.data["spec"]["template"])),
            )
        return AppliedObject(kind="Deployment", namespace=namespace, name=name, change="configured")

    def delete(self, namespace: str, kind: str, name: str, *, volumes: bool = False) -> None:
        """Forget an object at once; a Deployment, Job or Pod is kept until its containers are gone, a claim until
        nothing uses it, a Namespace, for which `namespace` says nothing, until all of its objects are gone. With
        `volumes` what a claim holds goes with it, whatever it says itself."""
        if kind not in KINDS:
            raise NotFound("unknown-kind", kind, "no such kind", hint=f"expected one of {', '.join(sorted(KINDS))}")
        with self._lock:
            if kind == "Namespace":
                self._delete_namespace(name, volumes=volumes)
            else:
                self._delete(kind, namespace, name, volumes=volumes)
        self._on_change()

    def finish_namespaces(self) -> None:
        """Forget the Namespaces that are being deleted and hold nothing any more."""
        with self._lock:
            for name in [name for name, deleting in self._namespaces.items() if deleting]:
                held = self._store.objects_in(name)
                volumes = bool(held) and is_going(self._stored("Namespace", "", name).data)
                for each in held:
                    # Again, for a controller that was killed in the middle.
                    if not each.deleting:
                        self._delete(each.kind, each.namespace, each.name, volumes=volumes)
                if not held:
                    self._store.drop_object("Namespace", "", name)
                    del self._namespaces[name]

    def _delete_namespace(self, name: str, *, volumes: bool) -> None:
        if name == DEFAULT_NAMESPACE:
            raise Conflict(
                "namespace-kept",
                f"Namespace {name}",
                "this namespace may not be deleted",
                hint="delete what is in it",
            )
        held = self._store.objects_in(name)
        stored = self._store.object("Namespace", "", name)
        if stored is None and not held:
            raise not_found("Namespace", "", name)
        if stored is None:
            data = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            stored = StoredObject(kind="Namespace", namespace="", name=name, data=data, generation=0)
        with self._store.transaction():
            data = going(stored.data) if volumes else stored.data
            self._store.put_object(replace(stored, data=data, deleting=True, generation=stored.generation + 1))
        self._namespaces[name] = True
        for each in held:
            self._delete(each.kind, each.namespace, each.name, volumes=volumes)

    def _delete(self, kind: str, namespace: str, name: str, *, volumes: bool) -> None:
        stored = self._stored(kind, namespace, name)
        if kind in ("ConfigMap", "CronJob", "HorizontalPodAutoscaler", "Ingress", "Secret", "Service"):
            self._store.drop_object(kind, namespace, name)
            self._shelf(kind)[0].pop((namespace, name), None)
        elif not stored.deleting or volumes:
            data = going(stored.data) if volumes and kind == "PersistentVolumeClaim" else stored.data
            self._store.put_object(replace(stored, data=data, deleting=True, generation=stored.generation + 1))
            self._reload([(kind, namespace, name)])

    def finish_delete(self, held: Held) -> None:
        """The last replica of a deleted Deployment is gone, unless it was applied again meanwhile."""
        with self._lock:
            key = (held.deployment.namespace, held.deployment.name)
            current = self._deployments.get(key)
            if current is None or not current.deleting:
                return
            self._store.drop_object("Deployment", *key)
            del self._deployments[key]
        self._on_change()

    def finish_delete_pod(self, namespace: str, name: str) -> None:
        """A pod is gone."""
        with self._lock:
            self._store.drop_object("Pod", namespace, name)
            self._pods.pop((namespace, name), None)
        self._on_change()

    def finish_delete_job(self, namespace: str, name: str) -> None:
        """The last container of a Job is gone."""
        with self._lock:
            self._store.drop_object("Job", namespace, name)
            self._jobs.pop((namespace, name), None)
        self._on_change()

    def drop_revision(self, held: Held, revision: Revision) -> None:
        """Forget a revision that is past the history limit."""
        with self._lock:
            key = (held.deployment.namespace, held.deployment.name)
            self._store.drop_revision(*key, revision.hash)
            if key in self._deployments:
                self._reload([("Deployment", *key)])

    def manifests(self, namespace: str, name: str) -> str:
        """The Deployment as it stands, the Services that lead to it, the ConfigMaps and, masked, the Secrets that it
        uses, as one text."""
        with self._lock:
            held = self.deployment(namespace, name)
            template = held.deployment.template
            chosen = [
                masked(self._secrets[namespace, secret].data)
                for secret in sorted(template.secrets)
                if (namespace, secret) in self._secrets
            ]
            chosen += [
                self._stored("ConfigMap", namespace, config_map).data
                for config_map in sorted(template.config_maps)
                if (namespace, config_map) in self._config_maps
            ]
            chosen += [self._stored("Deployment", namespace, name).data]
            chosen += [
                self._stored("Service", service.namespace, service.name).data
                for service in self._services.values()
                if service.namespace == namespace and service.selects(template.labels)
            ]
        return dump(chosen)

    def _refuse_ending_namespaces(self, documents: tuple[Document, ...]) -> None:
        for document in documents:
            name = document.namespace or document.name
            if self._namespaces.get(name):
                raise Conflict(
                    "namespace-ending",
                    subject(document.kind, document.namespace, document.name),
                    f"unable to create new content in namespace {name} because it is being terminated",
                    hint="wait until it is gone",
                )

    def _refuse_loose(self, documents: tuple[Document, ...]) -> None:
        """What the machine does not allow its containers is refused before anything is stored."""
        for document in documents:
            made = document.object.job if isinstance(document.object, CronJob) else document.object
            template = getattr(made, "template", None)
            refused = refusal(template, self._policy) if template is not None else ""
            if template is not None and refused:
                raise ManifestError(
                    "not-allowed",
                    document.where,
                    f"{document.kind} {document.namespace}/{document.name}, {refused}: this machine does not allow it",
                    hint=allowed_by(template, self._policy),
                )

    def _refuse_conflicts(self, documents: tuple[Document, ...]) -> None:
        services, ingresses = dict(self._services), dict(self._ingresses)
        for item in documents:
            if isinstance(item.object, Service):
                services[item.namespace, item.name] = item.object
            elif isinstance(item.object, Ingress):
                ingresses[item.namespace, item.name] = item.object
        given = {key: ports for key, (_, ports) in self._store.service_places().items()}
        refuse_conflicts(services.values(), ingresses.values(), given)

    def _merge(self, document: Document) -> tuple[Document, dict[str, Any]]:
        """The manifest with what was set by other means and the manifest leaves open: scale, restart."""
        data: dict[str, Any] = copy.deepcopy(document.data)
        key, made = (document.namespace, document.name), document.object
        if isinstance(made, Secret):
            secret = self._secrets.get(key)
            refuse_change_of_secret(document, made, secret, lambda: self._values(secret) if secret else None)
        if isinstance(made, ConfigMap):
            refuse_change_of_config_map(document, made, self._config_maps.get(key))
        if isinstance(made, Job):
            refuse_change_of_job(document, made, self._jobs.get(key))
        if isinstance(made, Pod):
            refuse_change_of_pod(document, made, self._pods.get(key))
        held = self._deployments.get(key)
        if document.kind != "Deployment" or held is None or held.deleting:
            return document, data
        assert isinstance(made, Deployment)
        refuse_other_selector(document, made, held)
        if data["spec"].get("replicas") is None:
            data["spec"]["replicas"] = held.deployment.replicas
        if data["spec"].get("paused") is None and held.deployment.paused:
            data["spec"]["paused"] = True
        restarted = held.deployment.template.annotations.get(RESTARTED_ANNOTATION)
        meta = data["spec"]["template"]["metadata"]
        if restarted and RESTARTED_ANNOTATION not in (meta.get("annotations") or {}):
            meta["annotations"] = {**(meta.get("annotations") or {}), RESTARTED_ANNOTATION: restarted}
        return document, data

    def _same_secret(self, before: StoredObject, secret: Secret) -> bool:
        return bool(before.data.get("immutable")) == secret.immutable and self._values(before) == secret.data

    def _values(self, stored: StoredObject) -> dict[str, bytes] | None:
        """None where its key is lost: to apply it again, with this one, is what mends that."""
        try:
            return opened(stored.data, self._seal)
        except KeyFailure as error:
            if error.code != "key-wrong":
                raise
            return None

    def _put(self, document: Document, data: dict[str, Any]) -> AppliedObject:
        change, before = self._change(document, data)
        if isinstance(document.object, Secret):
            if change == "unchanged" and before is not None and unsealed(before.data) == unsealed(data):
                return _applied(document, change)
            data = sealed(data, document.object, self._seal)
        if before is None or before.deleting or before.data != data:
            # A generation is a change of meaning; a comment's or a null's worth of difference is stored without one.
            generation = (before.generation if before else 0) + (change != "unchanged")
            self._write(
                StoredObject(
                    kind=document.kind,
                    namespace=document.namespace,
                    name=document.name,
                    data=data,
                    generation=generation,
                )
            )
        return _applied(document, change)

    def _change(self, document: Document, data: dict[str, Any]) -> tuple[str, StoredObject | None]:
        """What applying `data` does, and the object as it stands."""
        before = self._store.object(document.kind, document.namespace, document.name)
        if before is None:
            return "created", None
        if isinstance(document.object, Secret):
            return "unchanged" if self._same_secret(before, document.object) else "configured", before
        same = not before.deleting and reload(before.data) == reload(data)
        return "unchanged" if same else "configured", before

    def _edit(self, namespace: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        with self._lock:
            stored = self._stored("Deployment", namespace, name)
            if stored.deleting:
                raise not_found("Deployment", namespace, name)
            data = copy.deepcopy(stored.data)
            change(data)
            if data == stored.data:
                return
            with self._store.transaction():
                self._write(replace(stored, data=data, generation=stored.generation + 1), by_manifest=False)
            self._reload([("Deployment", namespace, name)])
        self._on_change()

    def _write(self, stored: StoredObject, *, by_manifest: bool = True) -> None:
        """Store the object, a Deployment's template as its newest revision, and the record of its rollout."""
        before = self._store.object(stored.kind, stored.namespace, stored.name)
        self._store.put_object(stored)
        if stored.kind != "Deployment":
            return
        deployment = reload(stored.data)
        assert isinstance(deployment, Deployment)
        name = template_hash(deployment.template)
        known = self._store.revisions(stored.namespace, stored.name)
        if not known or known[-1].hash != name:
            number = (known[-1].number if known else 0) + 1
            revision = StoredRevision(hash=name, number=number, data=stored.data)
            self._store.put_revision(stored.namespace, stored.name, revision)
        begin_record(self._store, before, stored, deployment, by_manifest=by_manifest)

    def _reload(self, keys: list[tuple[str, str, str]]) -> None:
        for kind, namespace, name in keys:
            stored = self._stored(kind, namespace, name)
            if kind == "Namespace":
                self._namespaces[name] = stored.deleting
                continue
            held, parse = self._shelf(kind)
            held[namespace, name] = parse(stored)
            self._config_version += kind in ("ConfigMap", "Secret")

    def _shelf(self, kind: str) -> tuple[dict[Key, Any], Callable[[StoredObject], Any]]:
        """Where the objects of a kind are held, and how they are read."""
        shelves: dict[str, tuple[dict[Key, Any], Callable[[StoredObject], Any]]] = {
            "ConfigMap": (self._config_maps, config_map),
            "CronJob": (self._cron_jobs, cron_job),
            "Deployment": (self._deployments, self._held),
            "HorizontalPodAutoscaler": (self._autoscalers, autoscaler),
            "Ingress": (self._ingresses, ingress),
            "Job": (self._jobs, held_job),
            "PersistentVolumeClaim": (self._claims, held_claim),
            "Pod": (self._pods, held_pod),
            "Secret": (self._secrets, lambda stored: stored),
            "Service": (self._services, service),
        }
        return shelves[kind]

    def _stored(self, kind: str, namespace: str, name: str) -> StoredObject:
        stored = self._store.object(kind, namespace, name)
        if stored is None:
            raise not_found(kind, namespace, name)
        return stored

    def _held(self, stored: StoredObject) -> Held:
        deployment = reload(stored.data)
        assert isinstance(deployment, Deployment)
        revisions = {}
        for revision in self._store.revisions(stored.namespace, stored.name):
            parsed = reload(revision.data)
            assert isinstance(parsed, Deployment)
            revisions[revision.hash] = Revision(number=revision.number, hash=revision.hash, deployment=parsed)
        return Held(
            deployment=deployment,
            hash=template_hash(deployment.template),
            generation=stored.generation,
            deleting=stored.deleting,
            revisions=revisions,
        )


def _revision(held: Held, number: int | None, subject: str) -> Revision:
    """The revision that is asked for; None is the newest but the current one."""
    others = [item for item in held.revisions.values() if item.hash != held.hash]
    found = (
        max(others, key=lambda item: item.number, default=None)
        if number is None
        else next((item for item in held.revisions.values() if item.number == number), None)
    )
    if found is None:
        known = ", ".join(str(item) for item in sorted(item.number for item in held.revisions.values()))
        said = "there is none before the current one" if number is None else f"it has no revision {number}"
        raise NotFound("revision-not-found", subject, said, hint=f"it has the revisions {known}")
    return found


def not_found(kind: str, namespace: str, name: str) -> NotFound:
    """The error for an object that is not there."""
    return NotFound("not-found", subject(kind, namespace, name), "no such object", hint="imageforge ps")


def _applied(document: Document, change: str) -> AppliedObject:
    return AppliedObject(kind=document.kind, namespace=document.namespace, name=document.name, change=change)


def _key(stored: StoredObject) -> Key:
    return stored.namespace, stored.name
