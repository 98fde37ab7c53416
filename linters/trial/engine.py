"""The containers of a trial: the only module of linters that imports the Docker SDK, and where its errors end."""

from __future__ import annotations

import io
import socket
import ssl
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests.exceptions
import urllib3.exceptions
from docker.tls import TLSConfig

from linters.errors import TrialError
from linters.trial.model import Change, Limits, TrialImage

TIMEOUT = 60
KNOCK_SECONDS = 5.0
_ANY_VERSION = "1.41"  # names no request that is made; the SDK wants one
LAST_WORDS = 20
LONGEST_WORDS = 4000
MOST_FOLDERS = 32
_ARCHIVE_LIMIT = 4 << 20
_HOWS = {0: "changed", 1: "added", 2: "deleted"}
_TRANSPORT = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ssl.SSLError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder of the image that is covered by one in memory: whose it is, and its mode."""

    path: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o1777


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A container of a trial."""

    image: str
    read_only: bool
    capable: bool
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    memory_folders: tuple[Folder, ...]
    limits: Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What the engine says of a container. `pid` is 0 where it does not run."""

    running: bool
    pid: int
    exit_code: int
    out_of_memory: bool
    error: str


class TrialEngine:
    """One engine, for a trial's threads. Raises TrialError: `engine-unreachable`, `image-missing`, `engine-refused`."""

    def __init__(self, host: str, tls: Path | None = None) -> None:
        self.host = host
        try:
            _knock(host)
            # By the version that it speaks: the SDK's own may be one that an old engine refuses, or a new one. The SDK
            # can ask for it as it starts, but then a client that fails cannot be closed.
            with closing(_client(host, tls, _ANY_VERSION)) as client:
                version = str(client.version(api_version=False)["ApiVersion"])
            self._client = _client(host, tls, version)
        except (docker.errors.DockerException, KeyError, TypeError, *_TRANSPORT) as error:
            raise TrialError(
                "engine-unreachable", host, "no Docker Engine answers there", hint="imageforge doctor"
            ) from error

    def __enter__(self) -> TrialEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def architecture(self) -> str:
        """The engine's, in Go's words."""
        with _translated("engine"):
            return str(self._client.version().get("Arch") or "")

    def image(self, reference: str) -> TrialImage:
        """What the engine knows of an image."""
        with _translated(reference):
            found: Mapping[str, Any] = self._client.inspect_image(reference)  # type: ignore[no-untyped-call]
        config = found.get("Config") or {}
        ports = (port.split("/") for port in config.get("ExposedPorts") or {})
        return TrialImage(
            image_id=str(found["Id"]),
            os=str(found.get("Os") or ""),
            architecture=str(found.get("Architecture") or ""),
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
            exposed=tuple(sorted(int(port[0]) for port in ports if port[0].isdecimal() and port[1:] in ([], ["tcp"]))),
            volumes=tuple(sorted(config.get("Volumes") or {})),
            stop_signal=str(config.get("StopSignal") or ""),
        )

    def memory_folders(self, image: str, labels: Mapping[str, str]) -> tuple[Folder, ...]:
        """Where programs write for the moment, and the folders that the image has in /run, as they are in it: a memory
        file system hides them. By way of a container that never runs."""
        found = [Folder(path="/tmp"), Folder(path="/run")]  # noqa: S108 - the container's
        with _translated(image):
            made = self._client.create_container(image, entrypoint=["/never-run"], labels=dict(labels))
            try:
                for root in ("/run", "/var/run"):
                    with suppress(docker.errors.NotFound):
                        found += self._folders(made["Id"], root)
            finally:
                self._client.remove_container(made["Id"], force=True, v=True)
        return tuple(dict.fromkeys(found))

    def _folders(self, container: str, root: str) -> Iterator[Folder]:
        pieces, stat = self._client.get_archive(container, root)
        if stat.get("linkTarget"):
            return  # /var/run, which leads to /run
        data = io.BytesIO()
        for piece in pieces:
            data.write(piece)
            if data.tell() > _ARCHIVE_LIMIT:
                pieces.close()
                return
        data.seek(0)
        with tarfile.open(fileobj=data) as archive:
            folders = [member for member in archive if member.isdir()][:MOST_FOLDERS]
        for member in folders:
            below = member.name.strip("/").partition("/")[2]
            if below or root != "/run":
                yield Folder(
                    path=f"{root}/{below}".rstrip("/"), uid=member.uid, gid=member.gid, mode=member.mode & 0o7777
                )

    def create(self, recipe: Recipe) -> str:
        """The ID of a container that has no network but its own loopback, no capabilities, or an engine's usual ones,
        and no way to gain any."""
        limits = recipe.limits
        with _translated(recipe.image):
            host = self._client.create_host_config(
                network_mode="none",
                read_only=recipe.read_only,
                tmpfs={
                    folder.path: f"rw,exec,nosuid,nodev,size=64m,mode={folder.mode:o},uid={folder.uid},gid={folder.gid}"
                    for folder in recipe.memory_folders
                },
                cap_drop=[] if recipe.capable else ["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=limits.processes,
                mem_limit=limits.memory,
                memswap_limit=limits.memory,
                cpu_shares=256,
                restart_policy={"Name": "no"},
                log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
            )
            made = self._client.create_container(
                recipe.image,
                entrypoint=None if recipe.entrypoint is None else list(recipe.entrypoint),
                command=None if recipe.command is None else list(recipe.command),
                environment=dict(recipe.environment),
                labels=dict(recipe.labels),
                healthcheck=docker.types.Healthcheck(test=["NONE"]),
                host_config=host,
            )
        return str(made["Id"])

    def start(self, container: str) -> str:
        """Starts it; why it could not be, where that is the image's fault, or empty."""
        with _translated(container[:12]):
            try:
                self._client.start(container)
            except docker.errors.APIError as error:
                if error.response is not None and error.response.status_code in (400, 404, 500):
                    return _first_line(error.explanation or str(error))
                raise
        return ""

    def state(self, container: str) -> State:
        """What it is at."""
        with _translated(container[:12]):
            found = self._client.inspect_container(container)["State"]
        return State(
            running=bool(found.get("Running")),
            pid=int(found.get("Pid") or 0),
            exit_code=int(found.get("ExitCode") or 0),
            out_of_memory=bool(found.get("OOMKilled")),
            error=str(found.get("Error") or ""),
        )

    def stop(self, container: str, seconds: float) -> tuple[float, int]:
        """Tells it to end, and kills it after `seconds`; how long that took, and its exit code."""
        begun = time.monotonic()
        with _translated(container[:12]):
            self._client.stop(container, timeout=max(1, round(seconds)))
            took = time.monotonic() - begun
            return took, int(self._client.inspect_container(container)["State"].get("ExitCode") or 0)

    def changes(self, container: str) -> tuple[Change, ...]:
        """What differs from the image, and where mounts are: those are the engine's doing."""
        with _translated(container[:12]):
            inspected = self._client.inspect_container(container)
            found = self._client.diff(container) or []
        mounts = {str(mount["Destination"]).rstrip("/") for mount in inspected.get("Mounts") or ()}
        mounts |= {path.rstrip("/") for path in (inspected.get("HostConfig") or {}).get("Tmpfs") or {}}
        return only_own([(str(one["Path"]), int(one["Kind"])) for one in found], mounts)

    def last_words(self, container: str) -> tuple[str, ...]:
        """The last lines that it wrote."""
        with _translated(container[:12]):
            raw = self._client.logs(container, stdout=True, stderr=True, tail=LAST_WORDS)
        text = raw[-LONGEST_WORDS:].decode("utf-8", "replace")
        return tuple(_printable(line) for line in text.splitlines() if line.strip())

    def remove(self, container: str) -> None:
        """Removes it, running or not, with its volumes; one that is gone is no error, nor one that somebody else is
        removing: its end is waited for."""
        with _translated(container[:12]), suppress(docker.errors.NotFound):
            try:
                self._client.remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code != HTTPStatus.CONFLICT or "already in progress" not in str(error.explanation):
                    raise
                if self._client.wait(container, timeout=TIMEOUT, condition="removed").get("Error"):
                    self._client.remove_container(container, force=True, v=True)  # theirs failed

    def labelled(self, labels: Sequence[str]) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """(ID, labels) of the containers that have all of these labels."""
        with _translated("containers"):
            found = self._client.containers(all=True, filters={"label": list(labels)})
        return tuple((str(one["Id"]), dict(one.get("Labels") or {})) for one in found)


_ENGINES_OWN = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv", "/etc/mtab"})
_KERNELS = ("/dev/", "/proc/", "/sys/")


_TOUCHED = frozenset({"/", "/etc", "/run", "/var", "/root"})
"""Folders in which an engine makes its files and mount points."""


def only_own(found: Sequence[tuple[str, int]], mounts: set[str]) -> tuple[Change, ...]:
    """Of an engine's list of changes those that the container's own processes made: mount points and files that the
    engine makes are left out, and folders that are only told because of what is in them."""
    paths = {path for path, _ in found}
    folders = {path[:at] for path in paths for at in _slashes(path)}
    kept = []
    for path, kind in sorted(found):
        if path in _ENGINES_OWN or f"{path}/".startswith(_KERNELS):
            continue
        if any(path == mount or path.startswith(f"{mount}/") for mount in mounts):
            continue
        # A folder above a mount point may have been made for it; one above a change has changed by that.
        if any(mount.startswith(f"{path}/") for mount in mounts) or path in folders:
            continue
        if path in _TOUCHED and kind == 0:
            continue
        kept.append(Change(path=_printable(path), how=_HOWS.get(kind, "changed")))
    return tuple(kept)


def _slashes(path: str) -> Iterator[int]:
    at = path.find("/", 1)
    while at > 0:
        yield at
        at = path.find("/", at + 1)


def remove_trials(
    host: str, labels: Sequence[str], *, tls: Path | None = None, keep: Callable[[Mapping[str, str]], bool]
) -> int:
    """Removes the containers that have these labels (``key`` or ``key=value``), but for those that `keep` says are
    under way; how many. Raises TrialError."""
    with TrialEngine(host, tls) as engine:
        gone = [container for container, said in engine.labelled(labels) if not keep(said)]
        for container in gone:
            engine.remove(container)
        return len(gone)


@contextmanager
def _translated(subject: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise TrialError("image-missing", subject, "the engine has no such image", hint="build or pull it") from error
    except docker.errors.NotFound as error:
        raise TrialError("container-gone", subject, "somebody removed the trial's container") from error
    except docker.errors.APIError as error:
        said = _first_line(error.explanation or str(error))
        raise TrialError("engine-refused", subject, f"the engine refused: {said}") from error
    except (docker.errors.DockerException, *_TRANSPORT) as error:
        raise TrialError(
            "engine-lost", subject, f"the engine stopped answering: {type(error).__name__}", hint="imageforge doctor"
        ) from error


def _knock(host: str) -> None:
    """Opens and closes a Unix socket: where that fails the SDK would leave its own socket open."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(KNOCK_SECONDS)
            door.connect(host.removeprefix("unix://"))


def _client(host: str, tls: Path | None, version: str) -> docker.APIClient:
    return docker.APIClient(base_url=host, version=version, timeout=TIMEOUT, tls=_tls(tls))


def _tls(folder: Path | None) -> TLSConfig | bool:
    if folder is None:
        return False
    certificate, key, authority = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    pair = (str(certificate), str(key)) if certificate.exists() and key.exists() else None
    return TLSConfig(client_cert=pair, ca_cert=str(authority) if authority.exists() else None, verify=True)


def _first_line(text: str) -> str:
    return _printable(text.strip().partition("\n")[0])[:500]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
