"""What the controller needs to know, decided by whoever starts it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicEntry:
    """What the balancer serves to others than this machine.

    It binds `http_port` and `https_port` of `address`. `host` leads to the service behind it: ``/v2/`` to `registry`,
    all else to `api`, each as ``address:port``; the API knows by `key` that the balancer speaks, and by which listener
    a request came. `certificates` are folders, the earlier before the later. With `acme`, the challenges of every host
    are answered by the API. Hosts below ``localhost`` are not for the world.
    """

    address: str
    http_port: int
    https_port: int
    host: str
    api: str
    registry: str
    key: str = field(repr=False)
    certificates: tuple[Path, ...]
    acme: bool = False

    def as_json(self) -> dict[str, Any]:
        """As it stands in the controller's settings."""
        return {**asdict(self), "certificates": [str(folder) for folder in self.certificates]}

    @classmethod
    def of(cls, raw: dict[str, Any]) -> PublicEntry:
        """The inverse of `as_json`."""
        return cls(**{**raw, "certificates": tuple(Path(folder) for folder in raw["certificates"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """Paths and addresses of one instance.

    `engine` is a Docker endpoint (``unix:///run/docker.sock``). HAProxy is started by somebody else, in master-worker
    mode, with `balancer_config`; the controller owns that file's content and talks to `balancer_socket` (the runtime
    API, level admin) and `balancer_master_socket` (reloads). `key` is the file that opens the Secrets, made with mode
    0600 where there is none; `secret_files` the folder, in memory, for those that containers see as files.
    `host_paths` are the places that hostPath volumes may show, with all that is below.
    `allow_privileged` and `restricted` are the policy for what containers may be; `node_labels` are what a nodeSelector
    may ask for, beside the labels that every node has. `seccomp_profiles` is the folder of the seccomp profiles that
    they may name, empty for none, and `apparmor_profiles` are the AppArmor profiles that they may.
    `autoscale_seconds` are between two looks of an autoscaler.
    """

    instance: str
    engine: str
    store: Path
    socket: Path
    lock: Path
    balancer_config: Path
    balancer_socket: Path
    balancer_master_socket: Path
    key: Path
    secret_files: Path
    http_address: str = "127.0.0.1"
    http_port: int = 8700
    host_suffix: str = "localhost"
    public: PublicEntry | None = None
    host_paths: tuple[str, ...] = ()
    allow_privileged: bool = False
    restricted: bool = False
    node_labels: dict[str, str] = field(default_factory=dict)
    autoscale_seconds: float = 15.0
    seccomp_profiles: str = ""
    apparmor_profiles: tuple[str, ...] = ()

    @property
    def zone(self) -> Path:
        """The names that lead to Services, for the resolver's next start."""
        return self.store.with_name("zone.json")

    @property
    def resolver_socket(self) -> Path:
        """Where the resolver is told of a change, mode 0600."""
        return self.socket.with_name("resolver.sock")

    @property
    def parts(self) -> Path:
        """Where parts of volumes are mounted for containers."""
        return self.secret_files.with_name(f"{self.secret_files.name}.parts")

    def to_json(self) -> str:
        """The settings as the controller's command line reads them."""
        raw = {name: getattr(self, name) for name in self.__slots__}
        raw |= {key: str(value) for key, value in raw.items() if isinstance(value, Path)}
        return json.dumps({**raw, "public": self.public.as_json() if self.public else None})

    @classmethod
    def from_json(cls, text: str) -> RuntimeSettings:
        """The inverse of `to_json`."""
        raw: dict[str, Any] = json.loads(text)
        paths = {field.name for field in fields(cls) if field.type == "Path"}
        values: dict[str, Any] = {key: Path(value) if key in paths else value for key, value in raw.items()}
        for name in ("host_paths", "apparmor_profiles"):
            values[name] = tuple(raw.get(name) or ())
        values["public"] = PublicEntry.of(raw["public"]) if raw.get("public") else None
        # As a supervisor from before Secrets writes them, which may start a newer controller until the next `up`.
        values.setdefault("key", values["store"].with_name("key"))
        values.setdefault("secret_files", Path("/dev/shm") / f"imageforge-{values['instance']}")  # noqa: S108
        return cls(**values)
