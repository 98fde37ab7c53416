"""From a replica to its running container: image, user, environment, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.engine import ContainerFacts, Engine
from runtime.environment import expand, resolve
from runtime.errors import EngineError, ImageError
from runtime.labels import Label
from runtime.manifest.model import APP_LABEL, RELEASE_ANNOTATION, Deployment
from runtime.store import StoredReplica


def launch(
    engine: Engine, instance: str, replica: StoredReplica, deployment: Deployment, revision: int
) -> ContainerFacts:
    """Create and start the replica's next container. Raises ImageError and EngineError."""
    template = deployment.template
    container = template.container
    image = engine.ensure_image(container.image, always=container.always_pull)
    check_user(image, container.security.run_as_non_root, container.security.run_as_user)
    environment = resolve(container.env)
    network = engine.ensure_network(replica.namespace)
    container_id = engine.create(
        name=f"imageforge-{instance}-{replica.name}-{replica.attempt}",
        replica=replica.name,
        spec=container,
        environment=environment,
        command=(
            _expanded(container.command, environment),
            _expanded(container.args, environment),
        ),
        network=network,
        labels={
            Label.NAMESPACE.value: replica.namespace,
            Label.APP.value: deployment.labels.get(APP_LABEL, deployment.name),
            Label.DEPLOYMENT.value: deployment.name,
            Label.REVISION.value: str(revision),
            Label.TEMPLATE_HASH.value: replica.template_hash,
            Label.RELEASE.value: template.annotations.get(RELEASE_ANNOTATION, ""),
            Label.DIGEST.value: container.image.partition("@")[2],
        },
    )
    facts = engine.inspect(container_id)
    if facts is None:
        raise EngineError("container-lost", replica.name, "its container vanished as it was started")
    return facts


def check_user(image: Mapping[str, Any], non_root: bool, run_as: int | None) -> None:
    """Kubernetes' runAsNonRoot, in its words (pkg/kubelet/kuberuntime/security_context.go). Raises ImageError."""
    if not non_root:
        return
    user = str(image.get("User") or "").partition(":")[0] if run_as is None else str(run_as)
    if user in ("", "0", "root"):
        raise ImageError("runs-as-root", "container", "container has runAsNonRoot and image will run as root")
    if not user.isdigit():
        raise ImageError(
            "runs-as-name",
            "container",
            f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root",
        )


def _expanded(words: tuple[str, ...] | None, environment: Mapping[str, str]) -> list[str] | None:
    return None if words is None else [expand(word, environment) for word in words]
