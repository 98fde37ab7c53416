"""What a manifest may not change of an object that is there. Pure; the rules and their words are Kubernetes'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from runtime.errors import Conflict, ManifestError
from runtime.held import Held, HeldJob, HeldPod
from runtime.manifest import Document
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import Deployment, Job, Pod, Secret
from runtime.manifest.secret_type import OPAQUE
from runtime.store import StoredObject

_FIXED_IN_JOBS = {
    "template": "template",
    "on_failure": "template.spec.restartPolicy",
    "completions": "completions",
    "indexed": "completionMode",
    "policy": "podFailurePolicy, successPolicy or backoffLimitPerIndex",
}


def refuse_other_selector(document: Document, deployment: Deployment, before: Held) -> None:
    """Raises ManifestError ``immutable-field``."""
    if dict(deployment.selector) == dict(before.deployment.selector):
        return
    raise ManifestError(
        "immutable-field",
        document.where,
        "spec.selector of a Deployment cannot be changed, it is "
        + ", ".join(f"{key}={value}" for key, value in before.deployment.selector.items()),
        hint=f"delete Deployment {document.namespace}/{document.name} first, or give the new one another name",
    )


def refuse_change_of_secret(
    document: Document, secret: Secret, before: StoredObject | None, values: Callable[[], Mapping[str, bytes] | None]
) -> None:
    """`values` gives those of the one before; None where nobody can open them any more. Raises ManifestError
    ``immutable-field``, and what `values` raises."""
    if before is None:
        return
    had = before.data.get("type") or OPAQUE
    if had != secret.type:
        raise ManifestError(
            "immutable-field",
            document.where,
            f"type of Secret {document.namespace}/{document.name} cannot be changed, it is {had}",
            hint="give the new one another name, or delete this one first",
        )
    if not before.data.get("immutable"):
        return
    had_values = values()
    if had_values is None or (secret.immutable and had_values == secret.data):
        return
    raise _immutable(document)


def refuse_change_of_config_map(document: Document, config_map: ConfigMap, before: ConfigMap | None) -> None:
    """Raises ManifestError ``immutable-field``."""
    if before is None or not before.immutable or before == config_map:
        return
    raise _immutable(document)


def _immutable(document: Document) -> ManifestError:
    return ManifestError(
        "immutable-field",
        document.where,
        f"{document.kind} {document.namespace}/{document.name}: field is immutable when `immutable` is set",
        hint="give the new one another name, or delete this one first",
    )


def refuse_change_of_job(document: Document, job: Job, before: HeldJob | None) -> None:
    """Raises ManifestError ``immutable-field``, Conflict ``being-deleted``."""
    if before is None:
        return
    subject = f"Job {document.namespace}/{document.name}"
    if before.deleting:
        raise Conflict("being-deleted", subject, "it is being deleted", hint="wait until it is gone")
    fixed = ("template", "on_failure", "completions", "indexed", "policy")
    changed = [name for name in fixed if getattr(before.job, name) != getattr(job, name)]
    if changed:
        raise ManifestError(
            "immutable-field",
            document.where,
            f"spec.{_FIXED_IN_JOBS[changed[0]]} of a Job cannot be changed",
            hint=f"delete {subject} first, or give the new one another name",
        )


def refuse_change_of_pod(document: Document, pod: Pod, before: HeldPod | None) -> None:
    """Raises ManifestError ``immutable-field``, Conflict ``being-deleted``."""
    if before is None:
        return
    subject = f"Pod {document.namespace}/{document.name}"
    if before.deleting:
        raise Conflict("being-deleted", subject, "it is being deleted", hint="wait until it is gone")
    added = [gate for gate in pod.template.gates if gate not in before.pod.template.gates]
    if added:
        raise ManifestError(
            "immutable-field",
            document.where,
            f"spec.schedulingGates: only deletion is allowed, but found new scheduling gate '{added[0]}'",
            hint=f"delete {subject} first, where it is to wait again",
        )
    same = replace(pod.template, labels={}, annotations={}, gates=())
    if replace(before.pod.template, labels={}, annotations={}, gates=()) != same:
        raise ManifestError(
            "immutable-field",
            document.where,
            "spec of a Pod cannot be changed: pod updates may change labels and annotations, and take gates out",
            hint=f"delete {subject} first; a Deployment replaces its pods by itself",
        )
