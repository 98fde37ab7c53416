"""What the machine lets containers be; pure. A manifest alone loosens nothing."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.manifest.model import ContainerSpec, PodTemplate
from runtime.manifest.security import DEFAULT_CAPABILITIES, NO_APPARMOR

_ALL = "ALL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The machine's settings. `privileged` allows what makes a container as good as root of this machine; `restricted`
    gives every container only the capabilities that its manifest names, no new privileges and no machine's port.
    `profiles` is the folder of the seccomp profiles that manifests may name, empty for none; `apparmor` are the names
    of the AppArmor profiles that they may."""

    privileged: bool = False
    restricted: bool = False
    profiles: str = ""
    apparmor: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """What a container may, as the engine takes it: capabilities added to and dropped from Docker's set, and the text
    of a seccomp `profile` and the name of an `apparmor` one where they are not Docker's."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    privileged: bool = False
    seccomp: bool = True
    profile: str = ""
    apparmor: str = ""


def refusal(template: PodTemplate, policy: Policy) -> str:
    """Empty where the machine allows it, else what it is that it does not."""
    return (
        open_ports(template, policy)
        or own_profile(template, policy)
        or loaded_profile(template, policy)
        or _privilege(template, policy)
    )


def own_profile(template: PodTemplate, policy: Policy) -> str:
    """The first seccomp profile of the machine's own that is named, where it has none for manifests; empty for none."""
    for spec in template.all_containers if not policy.profiles else ():
        if spec.security.profile:
            return f'container "{spec.name}": seccompProfile.localhostProfile {spec.security.profile}'
    return ""


def loaded_profile(template: PodTemplate, policy: Policy) -> str:
    """The first AppArmor profile of the machine's that is named and not for manifests; empty for none. One that
    confines nothing is no profile: `allow_privileged` decides on it."""
    for spec in template.all_containers:
        name = spec.security.apparmor
        if name and name != NO_APPARMOR and name not in policy.apparmor:
            return f'container "{spec.name}": appArmorProfile.localhostProfile {name}'
    return ""


def open_ports(template: PodTemplate, policy: Policy) -> str:
    """The first port that would be the machine's too, where that is too much; empty for none."""
    for spec in template.all_containers if policy.restricted else ():
        for port in spec.ports:
            if port.host_port:
                return f'container "{spec.name}": hostPort {port.host_port}'
    return ""


def allowed_by(template: PodTemplate, policy: Policy) -> str:
    """What to do about a refusal."""
    if open_ports(template, policy):
        return "take it out, and let a Service lead there; or take restricted = true out of settings.toml"
    if own_profile(template, policy):
        return 'take RuntimeDefault, which is Docker\'s; or set seccomp_profiles = "/FOLDER" in settings.toml'
    if loaded_profile(template, policy):
        return "take RuntimeDefault, which is Docker's; or name it in apparmor_profiles in settings.toml"
    return "take it out; or set allow_privileged = true in settings.toml, where you trust all who deploy here"


def _privilege(template: PodTemplate, policy: Policy) -> str:
    if policy.privileged:
        return ""
    for spec in template.all_containers:
        loose = _loosens(spec)
        if loose:
            return f'container "{spec.name}": {loose}'
    return ""


def _loosens(spec: ContainerSpec) -> str:
    security = spec.security
    if security.privileged:
        return "securityContext.privileged"
    beyond = sorted(set(security.add) - DEFAULT_CAPABILITIES)
    if beyond:
        return f"securityContext.capabilities.add has {beyond[0]}, which Docker gives no container by default"
    if security.apparmor == NO_APPARMOR:
        return "securityContext.appArmorProfile.type is Unconfined"
    return "" if security.confined else "securityContext.seccompProfile.type is Unconfined"


def confinement(spec: ContainerSpec, policy: Policy, *, ours: bool) -> Confinement:
    """An image that was built here (`ours`), and any image on a restricted machine, has no capability but those that
    the manifest adds; another image has Docker's default set, so that what is written for it runs."""
    security = spec.security
    tight = (ours or policy.restricted) and not security.privileged
    return Confinement(
        add=security.add,
        drop=(_ALL,) if tight else security.drop,
        no_new_privileges=tight or not security.allow_privilege_escalation,
        privileged=security.privileged,
        seccomp=security.confined,
        apparmor=security.apparmor,
    )
