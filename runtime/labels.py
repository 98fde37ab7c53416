"""The labels on everything the runtime makes in an engine, by which it is found again and by nothing else."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """Docker label keys. `INSTANCE` names the home that owns the object; an object of another is never touched."""

    INSTANCE = "io.imageforge.instance"
    NAMESPACE = "io.imageforge.namespace"
    APP = "io.imageforge.app"
    DEPLOYMENT = "io.imageforge.deployment"
    JOB = "io.imageforge.job"
    CLAIM = "io.imageforge.claim"
    POD = "io.imageforge.pod"
    REPLICA = "io.imageforge.replica"
    CONTAINER = "io.imageforge.container"
    SANDBOX = "io.imageforge.sandbox"
    REVISION = "io.imageforge.revision"
    TEMPLATE_HASH = "io.imageforge.template-hash"
    RELEASE = "io.imageforge.release"
    DIGEST = "io.imageforge.digest"
