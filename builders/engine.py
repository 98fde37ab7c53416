"""The Docker Engine, as a build needs it: the only module of builders that imports its SDK."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from builders.errors import DiskFull, EngineError
from builders.locate import Endpoint, candidates
from builders.model import BuiltImage

CONNECT_SECONDS = 10
STREAM_SECONDS = 600
"""The engine writes a whole image to a temporary folder before the first byte of a save, and of a load's answer."""

FRONTENDS = (
    # Built-in Dockerfile frontend by engine version, from the BuildKit each vendors and that BuildKit's release notes:
    # 20.10 has BuildKit 0.8 (1.2); 23.0 has 0.10 (1.4); 24.0 has 0.11 (1.5); 25.0 has 0.12 (1.6); 26.0 has 0.13 (1.7);
    # 27.0 has 0.14 (1.8); 27.3 has 0.16 (1.10); 28.0 has 0.19 (1.13).
    ((28, 0), (1, 13)),
    ((27, 3), (1, 10)),
    ((27, 0), (1, 8)),
    ((26, 0), (1, 7)),
    ((25, 0), (1, 6)),
    ((24, 0), (1, 5)),
    ((23, 0), (1, 4)),
    ((20, 10), (1, 2)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What an engine says of itself. `frontend` is the version of its built-in Dockerfile frontend; memory in bytes."""

    version: str
    api_version: str
    os: str
    architecture: str
    storage_driver: str
    root_dir: str
    containerd_store: bool
    cpus: int
    memory: int
    frontend: tuple[int, int]


def find_engine(*, private_socket: Path | None, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The first engine that answers, in the order of `locate`.

    Raises EngineError: `engine-unreachable` where one was named (DOCKER_HOST, a context) and does not answer;
    `engine-forbidden` where we may not talk to it; `engine-missing` where there is none.
    """
    forbidden: EngineError | None = None
    for candidate in candidates(private_socket=private_socket, environ=environ):
        socket = candidate.endpoint.socket
        if not candidate.named and socket is not None and not socket.exists():
            continue
        try:
            with _client(candidate.endpoint, timeout=CONNECT_SECONDS) as client:
                client.ping()
        except EngineError as error:
            if error.code == "engine-forbidden":
                forbidden = forbidden or error
            if candidate.named:
                raise
            continue
        return candidate.endpoint
    if forbidden:
        raise forbidden
    raise EngineError(
        "engine-missing",
        "Docker Engine",
        "none answers (tried DOCKER_HOST, the CLI's context and the system socket)",
        hint="start Docker, or as root: imageforge up",
    )


def engine_facts(endpoint: Endpoint) -> EngineFacts:
    """Ask an engine about itself. Raises EngineError."""
    with _client(endpoint) as client:
        info, version = client.info(), client.version()
    status = dict(pair for pair in info.get("DriverStatus") or () if len(pair) == 2)
    return EngineFacts(
        version=str(version["Version"]),
        api_version=str(version["ApiVersion"]),
        os=str(info.get("OSType", "linux")),
        architecture=str(info.get("Architecture", "")),
        storage_driver=str(info.get("Driver", "")),
        root_dir=str(info.get("DockerRootDir", "")),
        containerd_store="io.containerd.snapshotter.v1" in str(status.get("driver-type", "")),
        cpus=int(info.get("NCPU", 1)),
        memory=int(info.get("MemTotal", 0)),
        frontend=frontend_of(str(version["Version"])),
    )


def frontend_of(engine_version: str) -> tuple[int, int]:
    """The Dockerfile frontend built into an engine of this version; the oldest known for one that is older still."""
    found = re.match(r"(\d+)\.(\d+)", engine_version)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return next((frontend for engine, frontend in FRONTENDS if version >= engine), (1, 1))


def inspect_image(endpoint: Endpoint, reference: str) -> BuiltImage:
    """An image in the engine. Raises EngineError (`image-missing`)."""
    with _client(endpoint) as client:
        try:
            raw = client.api.inspect_image(reference)  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound as error:
            raise EngineError("image-missing", reference, "it is not in the engine", hint="build or pull it") from error
    return BuiltImage(
        image_id=str(raw["Id"]),
        size=int(raw["Size"]),
        diff_ids=tuple(raw["RootFS"].get("Layers") or ()),
        config={"config": raw.get("Config") or {}, "architecture": raw["Architecture"], "os": raw["Os"]},
    )


def diff_ids(endpoint: Endpoint, reference: str) -> tuple[str, ...]:
    """The diff-IDs of an image's layers, from the bottom up. Raises EngineError (`image-missing`)."""
    return inspect_image(endpoint, reference).diff_ids


def has_image(endpoint: Endpoint, reference: str) -> bool:
    """Whether the engine has an image of this name or ID."""
    try:
        inspect_image(endpoint, reference)
    except EngineError as error:
        if error.code != "image-missing":
            raise
        return False
    return True


def resolvable(endpoint: Endpoint, reference: str, timeout: float) -> str | None:
    """None when the engine has the image or its registry says that it does; else why not. Asks the engine to ask the
    registry, for it is the engine that would pull, and waits no longer than `timeout` seconds."""
    if has_image(endpoint, reference):
        return None
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with _client(endpoint, timeout=int(timeout)) as client:
                client.api.inspect_distribution(reference)  # type: ignore[no-untyped-call]
        except EngineError as error:
            answer.append(error.message)
        except docker.errors.APIError as error:
            answer.append(_explanation(error))
        else:
            answer.append(None)

    # The SDK's timeout counts from byte to byte; a thread bounds the whole.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else f"its registry did not answer within {timeout:.0f} s"


def tag_image(endpoint: Endpoint, image_id: str, name: str) -> None:
    """Give an image a name."""
    repository, _, tag = name.rpartition(":")
    with _client(endpoint) as client:
        client.api.tag(image_id, repository, tag, force=True)


def remove_tag(endpoint: Endpoint, tag: str) -> None:
    """Take a name of ours away; the image goes with it when that was its last one. Absent is fine, in use too."""
    with contextlib.suppress(docker.errors.ImageNotFound, docker.errors.APIError), _client(endpoint) as client:
        client.api.remove_image(tag, noprune=False)


def labelled_images(endpoint: Endpoint, label: str, value: str) -> tuple[str, ...]:
    """The images that carry a label, by their names, or by ID where they have none."""
    with _client(endpoint) as client:
        found = client.api.images(filters={"label": f"{label}={value}"})
    return tuple(name for image in found for name in _names(image))


def remove_labelled_images(endpoint: Endpoint, label: str, value: str) -> tuple[str, ...]:
    """Remove the images that carry a label; gives what was removed. One that a container still uses is left."""
    removed = []
    for name in labelled_images(endpoint, label, value):
        with contextlib.suppress(docker.errors.APIError), _client(endpoint) as client:
            client.api.remove_image(name, noprune=False)
            removed.append(name)
    return tuple(removed)


def save_image(endpoint: Endpoint, image_id: str) -> Iterator[bytes]:
    """`docker save` as a stream. Raises EngineError; `engine-lost` where it breaks in the middle."""
    with _client(endpoint, timeout=STREAM_SECONDS) as client:
        yield from client.api.get_image(image_id, chunk_size=1 << 20)


def load_archive(endpoint: Endpoint, archive: Iterable[bytes]) -> None:
    """`docker load`. Raises EngineError (`load-refused`)."""
    with _client(endpoint, timeout=STREAM_SECONDS) as client:
        for message in client.api.load_image(archive, quiet=True):  # type: ignore[no-untyped-call]
            if "error" in message:
                _raise_load_error(str(message["error"]))


def import_rootfs(endpoint: Endpoint, stream: Any, name: str, *, changes: Iterable[str]) -> str:
    """`docker import` of a root file system's tar; gives the image's ID."""
    repository, _, tag = name.rpartition(":")
    with _client(endpoint, timeout=STREAM_SECONDS) as client:
        answer = client.api.import_image_from_stream(stream, repository=repository, tag=tag, changes=list(changes))
    found = json.loads(answer.strip().splitlines()[-1])
    if "error" in found:
        _raise_load_error(str(found["error"]))
    return str(found["status"])


@contextlib.contextmanager
def _client(endpoint: Endpoint, timeout: int = 60) -> Iterator[docker.DockerClient]:
    """A client of the SDK, whose exceptions leave as ours."""
    try:
        # Never from_env: recent SDKs follow the CLI's context there, and the endpoint is decided already.
        client = docker.DockerClient(base_url=endpoint.host, version="auto", timeout=timeout)
    except (docker.errors.DockerException, ValueError) as error:
        raise _unreachable(endpoint, error) from error
    try:
        yield client
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError, TimeoutError) as error:
        raise lost(endpoint, str(error)) from error
    except requests.exceptions.Timeout as error:
        raise lost(endpoint, "it does not answer in time") from error
    finally:
        client.close()


def lost(endpoint: Endpoint, reason: str) -> EngineError:
    """The error for an engine that answered and then did not."""
    return EngineError(
        "engine-lost",
        endpoint.host,
        f"the engine ended or broke off: {reason}",
        hint="imageforge doctor; the engine's own log says why",
    )


def _unreachable(endpoint: Endpoint, error: Exception) -> EngineError:
    text = str(error)
    if "PermissionError" in text or "Permission denied" in text:
        return EngineError(
            "engine-forbidden",
            endpoint.host,
            "you may not open this socket",
            hint="use sudo, or join the group docker (which makes you root on this machine)",
        )
    reason = text.rpartition("(")[2].rstrip("')") if "(" in text else text
    return EngineError(
        "engine-unreachable",
        endpoint.host,
        f"no engine answers there ({endpoint.origin}): {reason}",
        hint="start it, or unset DOCKER_HOST or the context that names it",
    )


def _explanation(error: docker.errors.APIError) -> str:
    text = str(error.explanation or error)
    return text.replace("\n", " ")[:300]


def _raise_load_error(text: str) -> None:
    if "no space left" in text:
        raise DiskFull("disk-full", "the engine's disk", text, hint="make room: `docker system df` shows what takes it")
    raise EngineError(
        "load-refused", "image", f"the engine refused it: {text}", hint="report this: it is a bug of imageforge"
    )


def _names(image: Mapping[str, Any]) -> list[str]:
    names = [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    digests = [name for name in image.get("RepoDigests") or () if not name.startswith("<none>")]
    return [*names, *digests] or [str(image["Id"])]
