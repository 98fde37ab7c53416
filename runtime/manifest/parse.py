"""From a checked tree to the kinds' values, with the rules that reach over several fields."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from runtime.manifest.cursor import Cursor
from runtime.manifest.elsewhere import HINTS
from runtime.manifest.job_policy import job_policy
from runtime.manifest.lookup import lookup
from runtime.manifest.model import (
    CRON_JOB_ANNOTATION,
    MASKED_ANNOTATION,
    ContainerPort,
    ContainerSpec,
    Deployment,
    Job,
    Pod,
    PodTemplate,
    Secret,
    port_number,
)
from runtime.manifest.placement import placement
from runtime.manifest.pod_resources import pod_resources
from runtime.manifest.probe import hook, probe
from runtime.manifest.profile import Annotated, annotated
from runtime.manifest.resources import resources
from runtime.manifest.restart_rule import restart_rules
from runtime.manifest.secret_type import OPAQUE, check_type
from runtime.manifest.security import pod_security, security
from runtime.manifest.variable import variable, variables
from runtime.manifest.volume import EmptyVolume, Volume, mounts, volume
from runtime.restart import RestartPolicy

_LARGEST_SECRET = 1024 * 1024
_MESSAGE_PATH = "/dev/termination-log"
SERVICE_ACCOUNT = "default"
"""The account of every pod that names no other."""


def deployment(root: Cursor) -> Deployment:
    """A Deployment from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    rolling = spec.get("strategy").get("rollingUpdate")
    _refuse_own_restarts(spec.get("template").get("spec"))
    template = _template(spec.get("template"))
    parsed = Deployment(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        labels=meta.get("labels").plain({}),
        annotations=meta.get("annotations").plain({}),
        replicas=spec.get("replicas").plain(1),
        selector=spec.get("selector").get("matchLabels").plain({}),
        template=template,
        max_surge=rolling.get("maxSurge").plain("25%"),
        max_unavailable=rolling.get("maxUnavailable").plain("25%"),
        min_ready_seconds=spec.get("minReadySeconds").plain(0),
        progress_deadline=spec.get("progressDeadlineSeconds").plain(600),
        revision_history_limit=spec.get("revisionHistoryLimit").plain(10),
        recreate=spec.get("strategy").get("type").plain() == "Recreate",
        paused=spec.get("paused").plain(False),
    )
    if parsed.recreate and not rolling.node.says_nothing:
        raise rolling.fail("invalid-value", " may not be set when the strategy is Recreate", hint="remove it")
    _check_deployment(parsed, spec)
    return parsed


def pod(root: Cursor) -> Pod:
    """A Pod from a tree that the schema has passed."""
    meta = root.get("metadata")
    made = _template(root)
    policy = RestartPolicy(root.get("spec").get("restartPolicy").plain("Always"))
    return Pod(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        template=replace(made, restart_policy=policy),
    )


def job(root: Cursor) -> Job:
    """A Job from a tree that the schema has passed."""
    meta = root.get("metadata")
    return job_of(
        root.get("spec"),
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        labels=meta.get("labels").plain({}),
        annotations=meta.get("annotations").plain({}),
    )


def job_of(
    spec: Cursor, *, namespace: str, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Job:
    """A Job of a ``spec`` that the schema has passed."""
    _refuse_own_restarts(spec.get("template").get("spec"))
    template = _template(spec.get("template"))
    indexed = spec.get("completionMode").plain("NonIndexed") == "Indexed"
    completions, parallelism = spec.get("completions").plain(), spec.get("parallelism").plain()
    if indexed and completions is None:
        raise spec.get("completionMode").fail("missing-field", " is Indexed, which needs completions")
    policy = job_policy(spec, completions=completions if indexed else None)
    return Job(
        namespace=namespace,
        name=name,
        labels=labels,
        annotations=annotations,
        template=template,
        # Where each index has a limit of its own there is none for all, unless it is said.
        backoff_limit=spec.get("backoffLimit").plain(6 if policy.limit_per_index is None else None),
        policy=policy,
        active_deadline=spec.get("activeDeadlineSeconds").plain(),
        ttl=spec.get("ttlSecondsAfterFinished").plain(),
        completions=1 if completions is None and parallelism is None else completions,
        parallelism=1 if parallelism is None else parallelism,
        indexed=indexed,
        suspend=spec.get("suspend").plain(False),
        on_failure=spec.get("template").get("spec").get("restartPolicy").plain() == "OnFailure",
        owner=annotations.get(CRON_JOB_ANNOTATION, ""),
    )


def is_limited(template: PodTemplate) -> bool:
    """Whether it may take only so much of the disk, by a volume or a container."""
    return any(isinstance(item, EmptyVolume) and item.size and not item.memory for item in template.volumes) or any(
        spec.resources.disk_limit for spec in template.all_containers
    )


def secret(root: Cursor) -> Secret:
    """A Secret from a tree that the schema has passed. Where both have a key, stringData wins."""
    meta = root.get("metadata")
    if meta.get("annotations").plain({}).get(MASKED_ANNOTATION):
        raise meta.fail(
            "masked-secret",
            f".annotations: {MASKED_ANNOTATION} says that the values of this Secret were masked when it was shown",
            hint="put the values in, and take the annotation out",
        )
    data = {key: _decoded(root.get("data").get(key)) for key in root.get("data").plain({})}
    data |= {key: value.encode() for key, value in root.get("stringData").plain({}).items()}
    size = sum(map(len, data.values()))
    if size > _LARGEST_SECRET:
        raise root.fail("invalid-value", f"the values have {size} bytes, at most {_LARGEST_SECRET} are allowed")
    kind = root.get("type").plain("") or OPAQUE
    check_type(kind, data, root)
    return Secret(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        data=data,
        immutable=root.get("immutable").plain(False),
        type=kind,
    )


def _decoded(cursor: Cursor) -> bytes:
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", cursor.plain()), validate=True)
    except (binascii.Error, ValueError):
        # Without the cause: it would hold the value.
        raise cursor.fail("invalid-value", " is not base64", hint="put plain text under `stringData`") from None


def _check_deployment(parsed: Deployment, spec: Cursor) -> None:
    if not parsed.selector:
        raise spec.get("selector").fail("invalid-value", ".matchLabels is empty, expected at least one label")
    missing = {key: value for key, value in parsed.selector.items() if parsed.template.labels.get(key) != value}
    if missing:
        wanted = ", ".join(f"{key}={value}" for key, value in missing.items())
        raise spec.get("selector").fail(
            "selector-mismatch",
            f" asks for {wanted}, which spec.template.metadata.labels does not have",
            hint="give the template the labels of the selector",
        )
    if parsed.max_surge in (0, "0%") and parsed.max_unavailable in (0, "0%"):
        raise spec.get("strategy").fail("invalid-value", ": maxSurge and maxUnavailable are both 0, one must be more")
    if isinstance(parsed.max_unavailable, str) and int(parsed.max_unavailable[:-1]) > 100:
        raise spec.get("strategy").fail("invalid-value", f": maxUnavailable is {parsed.max_unavailable}, at most 100%")
    if parsed.progress_deadline <= parsed.min_ready_seconds:
        raise spec.fail(
            "invalid-value",
            f".progressDeadlineSeconds is {parsed.progress_deadline}, expected more than "
            f"minReadySeconds, which is {parsed.min_ready_seconds}",
        )


def _template(cursor: Cursor) -> PodTemplate:
    meta, spec = cursor.get("metadata"), cursor.get("spec")
    volumes = tuple(map(volume, spec.get("volumes").items()))
    grace = spec.get("terminationGracePeriodSeconds").plain(30)
    _refuse_twins(spec)
    _refuse_accounts(spec)
    _refuse_host(spec)
    _refuse_groups(spec)
    gates = tuple(item.get("name").plain() for item in spec.get("schedulingGates").items())
    if gates and spec.get("nodeName").plain(""):
        raise spec.get("nodeName").fail("invalid-value", ": cannot be set until all schedulingGates have been cleared")
    containers, before = spec.get("containers").items(), spec.get("initContainers").items()
    old = annotated(meta.get("annotations"), [item.get("name").plain() for item in (*containers, *before)])
    main, *others = (_container(item, spec, volumes, grace, old) for item in containers)
    init = tuple(_init(item, spec, volumes, grace, old) for item in before)
    own, pids = pod_resources(spec.get("resources"), (main, *others), init)
    return PodTemplate(
        labels=meta.get("labels").plain({}),
        annotations=meta.get("annotations").plain({}),
        container=main,
        others=tuple(others),
        init=init,
        hostname=spec.get("hostname").plain(""),
        subdomain=spec.get("subdomain").plain(""),
        grace_period=grace,
        volumes=volumes,
        security=pod_security(spec.get("securityContext")),
        node_selector=spec.get("nodeSelector").plain({}),
        service_links=spec.get("enableServiceLinks").plain(True),
        pull_secrets=tuple(item.get("name").plain() for item in spec.get("imagePullSecrets").items()),
        placement=placement(spec),
        lookup=lookup(spec),
        node_name=spec.get("nodeName").plain(""),
        shares_processes=spec.get("shareProcessNamespace").plain(False),
        gates=gates,
        resources=own,
        pids=pids,
    )


def _container(cursor: Cursor, pod: Cursor, volumes: tuple[Volume, ...], grace: int, old: Annotated) -> ContainerSpec:
    ports = tuple(
        ContainerPort(
            number=item.get("containerPort").plain(),
            name=item.get("name").plain(""),
            host_port=item.get("hostPort").plain(),
        )
        for item in cursor.get("ports").items()
    )

    _refuse_other_files(cursor.get("env"), volumes)

    def port_of(port: int | str) -> int | None:
        return port_number(ports, port)

    said = cursor.get("restartPolicy").plain()
    return ContainerSpec(
        name=cursor.get("name").plain(),
        image=cursor.get("image").plain(),
        command=_strings(cursor.get("command")),
        args=_strings(cursor.get("args")),
        env=tuple(map(variable, cursor.get("env").items())),
        ports=ports,
        readiness=probe(cursor.get("readinessProbe"), port_of, readiness=True),
        always_pull=cursor.get("imagePullPolicy").plain() == "Always",
        never_pull=cursor.get("imagePullPolicy").plain() == "Never",
        working_dir=cursor.get("workingDir").plain(""),
        stdin=cursor.get("stdin").plain(False),
        tty=cursor.get("tty").plain(False),
        security=security(cursor.get("securityContext"), pod.get("securityContext"), old, cursor.get("name").plain()),
        env_from=tuple(map(variables, cursor.get("envFrom").items())),
        mounts=mounts(cursor.get("volumeMounts"), volumes),
        liveness=probe(cursor.get("livenessProbe"), port_of),
        startup=probe(cursor.get("startupProbe"), port_of),
        post_start=hook(cursor.get("lifecycle").get("postStart"), port_of, longest=grace),
        resources=resources(cursor.get("resources")),
        pre_stop=hook(cursor.get("lifecycle").get("preStop"), port_of, longest=grace),
        message_path=_message_path(cursor),
        restart=None if said is None else RestartPolicy(said),
        rules=restart_rules(cursor),
    )


def _message_path(cursor: Cursor) -> str:
    """Where one says either of it, Kubernetes' own place is the default. The policy decides nothing here: where the
    file is empty, the last lines of its output are told in any case."""
    said = cursor.get("terminationMessagePath").plain("")
    policy = cursor.get("terminationMessagePolicy").plain("")
    return posixpath.normpath(said or _MESSAGE_PATH) if said or policy else ""


def _init(cursor: Cursor, pod: Cursor, volumes: tuple[Volume, ...], grace: int, old: Annotated) -> ContainerSpec:
    """One that runs before the others; only a sidecar, which goes on, can be asked how it is."""
    made = _container(cursor, pod, volumes, grace, old)
    sidecar = cursor.get("restartPolicy").plain() == "Always"
    for name in () if sidecar else ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
        if not cursor.get(name).node.says_nothing:
            raise cursor.get(name).fail(
                "invalid-value", ": an init container has none unless its restartPolicy is Always"
            )
    # What goes on does so in any case.
    return replace(made, sidecar=sidecar, restart=None if sidecar else made.restart)


def _refuse_other_files(env: Cursor, volumes: tuple[Volume, ...]) -> None:
    """A file of variables is one that another container of the pod wrote."""
    for item in env.items():
        said = item.get("valueFrom").get("fileKeyRef").get("volumeName")
        if said.node.value is None:
            continue
        found = next((volume for volume in volumes if volume.name == said.plain()), None)
        if found is None:
            raise said.fail("invalid-value", f': no volume is named "{said.plain()}"')
        if not isinstance(found, EmptyVolume):
            raise said.fail("invalid-value", f': "{said.plain()}" is not an emptyDir, which alone may have such files')


def _refuse_twins(pod: Cursor) -> None:
    """All containers of a pod share its names: of containers, and of ports, which a Service looks up by name."""
    for field in ("name", "ports"):
        seen: dict[str, int] = {}
        for item in (*pod.get("containers").items(), *pod.get("initContainers").items()):
            for cursor in [item] if field == "name" else item.get("ports").items():
                name = cursor.get("name").plain()
                if name is None:
                    continue
                if name in seen:
                    raise cursor.get("name").fail(
                        "invalid-value", f': "{name}" is already used in this pod, on line {seen[name]}'
                    )
                seen[name] = cursor.get("name").node.line


def _refuse_own_restarts(pod: Cursor) -> None:
    """What a Deployment or a Job does about an end is of its pods as a whole."""
    for group, allowed in (("containers", ()), ("initContainers", ("Always",))):
        for item in pod.get(group).items():
            for field in ("restartPolicyRules", "restartPolicy"):
                said = item.get(field)
                if not said.node.says_nothing and said.node.value not in allowed:
                    raise said.fail(
                        "unsupported-field",
                        " is for the containers of a Pod of its own here",
                        hint="take it out: a container's own restarts are its pod's",
                    )


def _refuse_accounts(pod: Cursor) -> None:
    """There is no API server that an account would be one of: what needs its token would not work."""
    hint = "nothing of the pod can ask an API server here; take it out where the program does not need one"
    for field in ("serviceAccountName", "serviceAccount"):
        if pod.get(field).plain("") not in ("", SERVICE_ACCOUNT):
            raise pod.get(field).fail(
                "unsupported-value", f' is "{pod.get(field).plain()}", supported is {SERVICE_ACCOUNT}', hint=hint
            )
    if pod.get("automountServiceAccountToken").plain(False):
        raise pod.get("automountServiceAccountToken").fail("unsupported-value", " is true", hint=hint)


def _refuse_host(pod: Cursor) -> None:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field).plain(False):
            raise pod.get(field).fail("unsupported-field", " is true, and imageforge has it false", hint=HINTS[field])
    if not pod.get("hostUsers").plain(True):
        hint = HINTS["hostUsers"]
        raise pod.get("hostUsers").fail("unsupported-field", " is false, and imageforge has it true", hint=hint)


def _refuse_groups(pod: Cursor) -> None:
    """Of a user with a group that is named, the engine leaves out what the image's /etc/group says."""
    said = pod.get("securityContext").get("supplementalGroupsPolicy")
    if said.node.says_nothing:
        return
    common = pod.get("securityContext").get("runAsGroup").plain()
    for item in (*pod.get("containers").items(), *pod.get("initContainers").items()):
        if item.get("securityContext").get("runAsGroup").plain(common) is None:
            raise said.fail(
                "unsupported-value",
                f" is Strict, and container {item.get('name').plain()} has no runAsGroup",
                hint="add runAsGroup",
            )


def _strings(cursor: Cursor) -> tuple[str, ...] | None:
    """An empty list is the image's own, as Kubernetes has it."""
    return tuple(cursor.plain([])) or None
