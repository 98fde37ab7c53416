"""Who a container runs as, and what it may."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.manifest.cursor import Cursor
from runtime.manifest.profile import APPARMOR, SECCOMP, UNCONFINED, Annotated, profile
from runtime.manifest.schema import FILE_PATH, Flag, Many, Object, Shape, Text, Whole, words

_NAMES = words(
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH "
    "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN "
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT "
    "SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM ALL"
)
DEFAULT_CAPABILITIES = words(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT"
)
"""What Docker gives a container where nothing is said (moby/oci/caps/defaults.go)."""
NO_APPARMOR = "unconfined"
"""The profile by which AppArmor lets everything through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityContext:
    """A container's, with what it takes over of its pod's. `run_as_user` None is the image's own user; `add` and `drop`
    are capabilities without ``CAP_``; without `confined` there is no seccomp profile, and `profile` is one of the
    machine's own, by its path among them; `apparmor` is the name of an AppArmor profile, empty for Docker's own."""

    run_as_non_root: bool = False
    run_as_user: int | None = None
    read_only_root: bool = False
    allow_privilege_escalation: bool = True
    run_as_group: int | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    privileged: bool = False
    confined: bool = True
    profile: str = ""
    apparmor: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PodSecurity:
    """The groups that all containers of a pod are in besides their own; the files of its volumes are `fs_group`'s."""

    supplemental_groups: tuple[int, ...] = ()
    fs_group: int | None = None

    @property
    def groups(self) -> tuple[int, ...]:
        """Both, each once."""
        own = () if self.fs_group is None else (self.fs_group,)
        return tuple(dict.fromkeys((*self.supplemental_groups, *own)))


_CAPABILITY = Text(pattern=re.compile("|".join(sorted(_NAMES))), says="a capability without CAP_, such as NET_ADMIN")
_SECCOMP = Object(
    fields={
        "type": Text(choices=("RuntimeDefault", "Unconfined", "Localhost")),
        "localhostProfile": Text(pattern=FILE_PATH, says="a relative path without .."),
    },
    required=("type",),
)
_APPARMOR = Object(
    fields={
        "type": Text(choices=("RuntimeDefault", "Unconfined", "Localhost")),
        "localhostProfile": Text(pattern=re.compile(r"\S(.{0,4094}\S)?"), says="the name of a loaded profile"),
    },
    required=("type",),
)
_WHO: dict[str, Shape] = {
    "runAsNonRoot": Flag(),
    "runAsUser": Whole(),
    "runAsGroup": Whole(),
    SECCOMP: _SECCOMP,
    APPARMOR: _APPARMOR,
}
CONTAINER_SECURITY = Object(
    fields={
        **_WHO,
        "readOnlyRootFilesystem": Flag(),
        "allowPrivilegeEscalation": Flag(),
        "privileged": Flag(),
        "capabilities": Object(fields={"add": Many(item=_CAPABILITY), "drop": Many(item=_CAPABILITY)}),
    },
    known=words("cgroupOptions procMount seLinuxOptions windowsOptions"),
)
POD_SECURITY = Object(
    fields={
        **_WHO,
        "supplementalGroups": Many(item=Whole()),
        "supplementalGroupsPolicy": Text(choices=("Strict",), unsupported=("Merge",)),
        "fsGroup": Whole(),
    },
    known=words("fsGroupChangePolicy seLinuxChangePolicy seLinuxOptions sysctls windowsOptions"),
)


def security(own: Cursor, pod: Cursor, old: Annotated, name: str) -> SecurityContext:
    """That of the container `name`, from its own and its pod's, each of which a schema has passed, and from what the
    annotations say; its own comes first."""
    user = _first(own, pod, "runAsUser")
    non_root = bool(_first(own, pod, "runAsNonRoot"))
    if non_root and user == 0:
        raise own.fail("invalid-value", ": runAsNonRoot is true and runAsUser is 0, which is root")
    seccomp, apparmor = (
        own_one if own_one.kind else pod_one
        for own_one, pod_one in (
            (profile(own, field, old.get((field, name))), profile(pod, field, old.get((field, ""))))
            for field in (SECCOMP, APPARMOR)
        )
    )
    made = SecurityContext(
        run_as_non_root=non_root,
        run_as_user=user,
        read_only_root=own.get("readOnlyRootFilesystem").plain(False),
        allow_privilege_escalation=own.get("allowPrivilegeEscalation").plain(True),
        run_as_group=_first(own, pod, "runAsGroup"),
        add=tuple(own.get("capabilities").get("add").plain([])),
        drop=tuple(own.get("capabilities").get("drop").plain([])),
        privileged=own.get("privileged").plain(False),
        confined=seccomp.kind != UNCONFINED,
        profile=seccomp.name,
        apparmor=NO_APPARMOR if apparmor.kind == UNCONFINED else apparmor.name,
    )
    if not made.allow_privilege_escalation and (made.privileged or "SYS_ADMIN" in made.add):
        what = "privileged" if made.privileged else "capabilities.add"
        raise own.get(what).fail("invalid-value", ": not together with allowPrivilegeEscalation: false")
    return made


def pod_security(cursor: Cursor) -> PodSecurity:
    """From a tree that the schema has passed."""
    return PodSecurity(
        supplemental_groups=tuple(cursor.get("supplementalGroups").plain([])), fs_group=cursor.get("fsGroup").plain()
    )


def _first(own: Cursor, pod: Cursor, name: str) -> int | None:
    said = own.get(name).plain()
    found: int | None = pod.get(name).plain() if said is None else said
    return found
