"""Making a container with what its template takes of Secrets, and telling its last lines without them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from runtime.container import (
    ContainerRequest,
    Identity,
    ImageFacts,
    Mount,
    Place,
    container_labels,
    container_request,
    network_name,
    pod_of,
)
from runtime.discovery.links import NO_LINKS, Asked, Links, asked
from runtime.discovery.names_file import PLACE, names_file, without_engines
from runtime.discovery.resolv_conf import host_asked
from runtime.engine import Engine
from runtime.environment import Environment, environment, sub_path
from runtime.errors import ConfigError, EngineError, KeyFailure
from runtime.labels import Label
from runtime.logins import Login, logins_for
from runtime.machine import Host
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import ContainerSpec, PodTemplate
from runtime.manifest.resource_field import ResourceField, resource_value
from runtime.manifest.resources import Resources
from runtime.manifest.secret_type import DOCKER_CONFIG_KEY, OLD_DOCKER_CONFIG_KEY
from runtime.manifest.security import NO_APPARMOR
from runtime.manifest.volume import ImageVolume, VolumeMount, is_written
from runtime.pod_group import PodGroups
from runtime.policy import Confinement, Policy, allowed_by, refusal
from runtime.redact import redact
from runtime.resources import Limits, Qos, bounded, limits, pod_limits, qos
from runtime.sandbox import archive, image_name, sandbox_request, supported
from runtime.seccomp import read_profile
from runtime.secret_files import LONGEST_MESSAGE, SecretFiles
from runtime.sources import Sources
from runtime.storage import Storage
from runtime.volumes import folders

log = logging.getLogger(__name__)

LAST_LOG_LINES = 20
SPREAD_LINES = 3
"""So many lines more are read of which a Secret may begin in one that is not kept."""
LONGEST_SPELLING = 4
"""Characters in which a byte of a Secret may be written, escaped as the longest."""
SELINUX = Path("/sys/fs/selinux/enforce")
NOT_SEEN = "bind source path does not exist"
"""What the engine says of a mount whose folder it does not find."""

Given = frozenset[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Creation:
    """What every container is made with. `secret` gives the values of a Secret by namespace and name, None where there
    is none, and `config_map` a ConfigMap in the same way; `links` what a container in a namespace is told of its
    Services."""

    engine: Engine
    secret: Callable[[str, str], Mapping[str, bytes] | None]
    config_map: Callable[[str, str], ConfigMap | None]
    files: SecretFiles
    storage: Storage
    host: Host
    policy: Policy
    groups: PodGroups
    links: Callable[[str, PodTemplate], Links] = lambda _namespace, _template: NO_LINKS

    def create(
        self,
        template: PodTemplate,
        who: Identity,
        image: ImageFacts,
        *,
        spec: ContainerSpec | None = None,
        sandbox: str = "",
        beside: bool = False,
    ) -> tuple[str, Given]:
        """The container's id, and the values that it was given; `spec` None is the main container, `sandbox` the id of
        the one whose network it joins. With `beside` the one before has its name still, and the id is empty where that
        cannot be. Raises ConfigError, KeyFailure, EngineError."""
        refused = refusal(template, self.policy)
        if refused:
            raise not_allowed(refused, allowed_by(template, self.policy))
        spec = spec or template.container
        group = template.security.fs_group
        sources = self.sources(template, who, sandbox)
        written = self.files.write(who.replica, folders(template, sources), group=group)
        places = {name: Place(source=str(path), read_only=True) for name, path in written.items()}
        places |= self.storage.places(template, who, group, spec.image)
        links = self.links(who.namespace, template)
        sources = replace(sources, file=lambda volume, path: self.storage.written(places[volume], volume, path))
        env = environment(spec, sources, links.variables)
        mounted = self._mounted(template, spec, who, places, env)
        request = container_request(
            template, who, sources, mounted, links, image, self.policy, spec=spec, sandbox=sandbox, env=env
        )
        request = replace(
            request, limits=self.limits(template, spec), control_group=self.groups.ensure(template, who.replica)
        )
        request = replace(request, confinement=self._profiled(request.confinement, spec))
        if not sandbox:
            request = self._on_the_network(request, template, links)
        if spec.message_path:
            words = Mount(
                source=str(self.files.make_message(who.replica, spec.name)), target=spec.message_path, read_only=False
            )
            request = replace(request, mounts=(*request.mounts, words))
        values = (sources.secret(name) or {} for name in template.secrets)
        given = frozenset(value for found in values for value in found.values())
        named = self._by_its_own_file(request, who, self._asks(template, links))
        create = self.engine.create_beside if beside else partial(self.engine.create, keep=True)
        try:
            return create(named), given
        except EngineError as error:
            if NOT_SEEN in error.message and named is not request and not written:
                log.warning("container asks by way of the engine", extra={"error": str(error)})
                return create(request), given
            if written and NOT_SEEN in error.message:
                raise ConfigError(
                    "secret-files-unseen",
                    self.engine.host,
                    "the engine does not see this host's files, among which the Secrets are",
                    hint="use an engine of this host, or take the Secret as environment variables",
                ) from error
            raise

    def logins(self, template: PodTemplate, image: str, namespace: str) -> tuple[Login, ...]:
        """The logins for pulling an image of the template. A Secret that is not there is passed over, as the kubelet
        does: the image may need none. Raises KeyFailure."""
        found: list[Login] = []
        for name in template.pull_secrets:
            values = self.secret(namespace, name) or {}
            config = values.get(DOCKER_CONFIG_KEY) or values.get(OLD_DOCKER_CONFIG_KEY)
            if config is None:
                log.warning("no login to pull with", extra={"secret": f"{namespace}/{name}"})
                continue
            found += logins_for(image, config)
        return tuple(found)

    def pull_volumes(self, template: PodTemplate, namespace: str) -> None:
        """Have the images of its volumes. Raises ImageError, EngineError, KeyFailure."""
        for volume in template.volumes:
            if isinstance(volume, ImageVolume):
                self.engine.ensure_image(
                    volume.image,
                    always_pull=volume.always_pull,
                    never_pull=volume.never_pull,
                    logins=partial(self.logins, template, volume.image, namespace),
                )

    def refresh(self, template: PodTemplate, who: Identity) -> bool:
        """Bring the files that the replica's containers see up to date; whether anything changed. What is not there any
        more stays as it was. Raises ConfigError, KeyFailure."""
        return self.files.update(
            who.replica, folders(template, self.sources(template, who)), group=template.security.fs_group
        )

    def sources(self, template: PodTemplate, who: Identity, sandbox: str = "") -> Sources:
        """What the containers of a replica may be given; `sandbox` has its network, where it is known before they are.
        Each Secret and ConfigMap is asked for once, so that variables and files are of one version of it."""
        return Sources(
            namespace=who.namespace,
            secret=cache(lambda name: self.secret(who.namespace, name)),
            config_map=cache(lambda name: self.config_map(who.namespace, name)),
            pod=pod_of(
                template,
                who,
                lambda: self.engine.gateway(network_name(who.instance, who.namespace)),
                lambda: self._address(sandbox),
            ),
            amount=partial(self._amount, template),
        )

    def _address(self, sandbox: str) -> str:
        """That of a replica whose network is there. Raises EngineError, to be tried again, where it was lost."""
        state = self.engine.inspect(sandbox)
        if state is None or not state.address:
            lost = EngineError("no-address", sandbox[:12], "the container that has the pod's network has no address")
            lost.retryable = True
            raise lost
        return state.address

    def _amount(self, template: PodTemplate, field: ResourceField, own: Resources) -> str:
        """Raises ConfigError (`no-such-container`), in the kubelet's words."""
        known = {spec.name: spec.resources for spec in template.all_containers}
        if field.container and field.container not in known:
            raise ConfigError(
                "no-such-container",
                field.resource,
                f"container {field.container} not found",
                hint=f"the pod has {', '.join(known)}",
            )
        return resource_value(field, known.get(field.container, own), partial(self._size, template))

    def _size(self, template: PodTemplate) -> tuple[int, int]:
        """What there is to be had by one that has no limit: as much as its pod may, or the machine has."""
        size, pod = self.host.machine().size, template.resources
        return pod.cpu_limit or size.cpu, pod.memory_limit or size.memory

    def _mounted(
        self, template: PodTemplate, spec: ContainerSpec, who: Identity, places: Mapping[str, Place], env: Environment
    ) -> dict[VolumeMount, Place]:
        """What each mount of the container shows. Raises ConfigError, EngineError."""
        found = {}
        written = {volume.name for volume in template.volumes if is_written(volume)}
        for number, mount in enumerate(spec.mounts):
            place = places[mount.volume]
            path = sub_path(mount, env)
            if path and mount.volume in written:
                place = replace(place, source=str(self.files.place(who.replica, mount.volume, path)))
            elif path:
                volume = next(volume for volume in template.volumes if volume.name == mount.volume)
                place = self.storage.part(place, volume, path, who.replica, spec.name, number)
            found[mount] = place
        return found

    def create_sandbox(self, template: PodTemplate, who: Identity) -> str:
        """The id of the container that holds the network of the others. Raises ConfigError (`no-sandbox`),
        EngineError."""
        architecture = self.host.machine().labels.get("kubernetes.io/arch", "")
        if not supported(architecture):
            raise ConfigError(
                "no-sandbox",
                architecture,
                "several containers in a pod are not supported on this architecture",
                hint="amd64 and arm64 are",
            )
        labels: dict[str, str] = {Label.INSTANCE: who.instance}
        self.engine.ensure_imported(image_name(who.instance), lambda: archive(architecture), labels)
        own = container_labels(template, who)
        request = sandbox_request(template, who, own, self.host.lowest_oom_score_adj)
        request = replace(request, control_group=self.groups.ensure(template, who.replica))
        links = self.links(who.namespace, template)
        request = self._on_the_network(request, template, links)
        if self._shows_files and request.asks.nameservers:
            request = replace(request, asks=without_engines(request.asks))
        return self.engine.create(request)

    def forget(self, template: PodTemplate, replica: str) -> None:
        """The replica is no more: what was made for it goes. Raises EngineError."""
        self.storage.forget(template, replica)
        if pod_limits(template) is not None:
            self.groups.remove(replica)

    def sweep(self, replicas: Collection[str]) -> None:
        """Remove what was made for all replicas but these. Raises EngineError."""
        self.storage.sweep(replicas)
        self.groups.sweep(replicas)

    def _on_the_network(self, request: ContainerRequest, template: PodTemplate, links: Links) -> ContainerRequest:
        """With what only a container with a network of its own can have: others have that of the one that they join."""
        return replace(
            request,
            asks=self._asks(template, links),
            hosts=tuple((name, alias.address) for alias in template.lookup.aliases for name in alias.names),
            ports=tuple((self.host.address, *pair) for pair in template.host_ports),
        )

    def _asks(self, template: PodTemplate, links: Links) -> Asked:
        return asked(template.lookup, links, host_asked)

    @property
    def _shows_files(self) -> bool:
        """Whether a container may read a file of this host: with SELinux it may not, unless the file is given away."""
        return self.engine.host.startswith("unix://") and not SELINUX.exists()

    def _profiled(self, said: Confinement, spec: ContainerSpec) -> Confinement:
        """With the text of its seccomp profile. An engine drops the name of an AppArmor profile without a word where
        there is no AppArmor; the kubelet refuses to."""
        if spec.security.apparmor not in ("", NO_APPARMOR) and not self.host.machine().apparmor:
            raise ConfigError(
                "profile-not-loaded",
                spec.security.apparmor,
                "Cannot enforce AppArmor: AppArmor is not enabled on the host",
                hint="switch it on (kernel parameters apparmor=1 security=apparmor), or take appArmorProfile out",
            )
        if not spec.security.profile:
            return said
        return replace(said, profile=read_profile(self.policy.profiles, spec.security.profile))

    def _by_its_own_file(self, request: ContainerRequest, who: Identity, asks: Asked) -> ContainerRequest:
        """With a resolv.conf of ours, and without a resolver of the engine's; the same where that cannot be."""
        if not asks.nameservers or not self._shows_files:
            return request
        # Who joins another is told nothing.
        changed = replace(request, asks=without_engines(asks) if request.asks.nameservers else request.asks)
        if any(mount.target.rstrip("/") == PLACE for mount in request.mounts):
            return changed
        try:
            file = self.files.make_names(who.replica, names_file(asks))
        except ConfigError as error:
            log.debug("container asks by way of the engine", extra={"error": str(error)})
            return request
        shown = Mount(source=str(file), target=PLACE, read_only=request.read_only)
        return replace(changed, mounts=(*request.mounts, shown))

    def limits(self, template: PodTemplate, spec: ContainerSpec) -> Limits:
        """The kernel's figures for a container of the pod, as far as this machine allows them. Raises EngineError."""
        found = self._wanted_limits(template, spec)
        if found.oom_score_adj >= 0:
            return found
        return replace(found, oom_score_adj=max(found.oom_score_adj, self.host.lowest_oom_score_adj))

    def is_clamped(self, template: PodTemplate, spec: ContainerSpec) -> bool:
        """Whether this machine allows less than the pod's class asks for. Raises EngineError."""
        return self.limits(template, spec) != self._wanted_limits(template, spec)

    def _wanted_limits(self, template: PodTemplate, spec: ContainerSpec) -> Limits:
        kind = qos(template)
        memory = self.host.machine().size.memory if kind is Qos.BURSTABLE else 0
        return limits(bounded(template, spec), kind, memory)

    def last_log(
        self, container_id: str, template: PodTemplate, namespace: str, given: Given, *, replica: str, name: str
    ) -> tuple[str, ...]:
        """The last words of the container `name`, or without such its last lines, which are stored and shown: with
        stars for what it was given of Secrets."""
        try:
            values = self._values(template, namespace, given)
        except KeyFailure as error:
            return (_withheld(error),)
        before = LONGEST_SPELLING * max(map(len, values), default=0)
        said = self.files.message(replica, name, before=before).decode(errors="replace").strip().splitlines()
        if said:
            # Cut with the stars in it: cut before, the end of a Secret would be no Secret any more.
            text = "\n".join(redact(said, values)).encode()[-LONGEST_MESSAGE:]
            return tuple(text.decode(errors="ignore").splitlines()[-LAST_LOG_LINES:])
        lines = self.engine.tail(container_id, LAST_LOG_LINES + SPREAD_LINES)
        return redact(lines, values)[-LAST_LOG_LINES:]

    def hidden(self, text: str, template: PodTemplate, namespace: str, given: Given) -> str:
        """What a command in the container said, which is stored and shown: with the same stars."""
        if not text:
            return ""
        try:
            return redact((text,), self._values(template, namespace, given))[0]
        except KeyFailure as error:
            return _withheld(error)

    def _values(self, template: PodTemplate, namespace: str, given: Given) -> Given:
        """Those that are not to be seen. Raises KeyFailure."""
        # A controller that took the container over was not there when it was given them.
        found = (self.secret(namespace, name) or {} for name in template.secrets)
        return given | {value for each in found for value in each.values()}


def _withheld(error: KeyFailure) -> str:
    return f"withheld, since it may hold Secrets, which cannot be told: {error}"


def not_allowed(what: str, hint: str) -> ConfigError:
    """The error for what only the machine's settings can allow."""
    return ConfigError(
        "not-allowed",
        what,
        "this machine does not allow it, and no manifest alone may do it",
        hint=hint,
    )
