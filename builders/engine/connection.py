"""Talking to the engine: the only module of builders that imports the Docker SDK, and where its errors end.

The SDK follows contexts and DOCKER_HOST by itself; here the address is always given.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import requests.exceptions
import urllib3.exceptions
from docker.errors import APIError, DockerException, NotFound, TLSParameterError
from docker.tls import TLSConfig

from builders.engine.endpoint import Endpoint
from builders.errors import BuilderError, DiskFull, EngineError

DEFAULT_TIMEOUT = 60.0  # seconds without a byte
TRANSFER_TIMEOUT = 1800.0  # the same where an engine copies a whole image before it says anything
PING_TIMEOUT = 5.0
_TRANSPORT_ERRORS = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
_ANY_VERSION = "1.41"  # names no request that is made; the SDK wants one
_KNOWN_SCHEMES = ("unix://", "tcp://", "http://", "https://")


class Unreachable(Exception):
    """Nothing answers at an address, and `reason` says why in a few words. `denied`: the socket may not be opened."""

    def __init__(self, reason: str, *, denied: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.denied = denied


VERSION_SECONDS = 60.0
"""How long an engine's API version is not asked for again: a build asks a dozen times for something, and to upgrade an
engine takes longer."""
_versions: dict[str, tuple[str, float]] = {}


def ping(host: str, tls: Path | None = None, *, timeout: float = PING_TIMEOUT) -> None:
    """Returns when an engine answers at `host`; raises Unreachable otherwise."""
    _versions.pop(host, None)
    client = _open(host, tls, timeout)
    client.close()


@contextmanager
def connect(endpoint: Endpoint, *, timeout: float = DEFAULT_TIMEOUT) -> Iterator[Connection]:
    """A connection to `endpoint`. Raises EngineError ``engine-unreachable`` where no engine answers."""
    try:
        client = _open(endpoint.host, endpoint.tls, timeout)
    except Unreachable as error:
        raise EngineError(
            "engine-unreachable",
            f"{endpoint.host} ({endpoint.origin})",
            f"no Docker Engine answers there: {error.reason}",
            hint="start it, or see `imageforge doctor`",
        ) from error
    try:
        yield Connection(client, endpoint)
    finally:
        client.close()


class Connection:
    """The requests that builders makes. Each raises EngineError: ``image-missing`` where the image is not there,
    ``engine-lost`` where the engine stops answering, ``engine-refused`` where it answers with an error."""

    def __init__(self, client: docker.APIClient, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint

    def info(self) -> Mapping[str, Any]:
        """``GET /info``."""
        with self._translated("engine"):
            return self._client.info()

    def version(self) -> Mapping[str, Any]:
        """``GET /version``."""
        with self._translated("engine"):
            return self._client.version()

    def inspect_image(self, reference: str) -> Mapping[str, Any]:
        """``GET /images/{reference}/json``."""
        with self._translated(reference):
            return dict(self._client.inspect_image(reference))  # type: ignore[no-untyped-call]

    def list_images(self, label: str | None = None) -> list[Mapping[str, Any]]:
        """``GET /images/json``, intermediate images left out; those with a label (``key=value``) where one is given."""
        with self._translated("images"):
            return list(self._client.images(filters={"label": label} if label else None))

    def save(self, reference: str, *, chunk: int = 1 << 20) -> Iterator[bytes]:
        """``GET /images/{reference}/get``: the image as a tar archive, in pieces."""
        self.inspect_image(reference)  # engines answer 500, not 404, when asked to save what they lack
        with self._translated(reference):
            yield from self._client.get_image(reference, chunk_size=chunk)

    def load(self, archive: Iterable[bytes], subject: str) -> None:
        """``POST /images/load`` with `archive`, whose pieces are sent as they come."""
        with self._translated(subject):
            answer = self._client.load_image(_Pieces(archive), quiet=True)  # type: ignore[no-untyped-call]
            self._raise_reported(answer, subject)

    def pull(self, reference: str) -> None:
        """``POST /images/create``: what the engine lacks of the image is fetched, and it knows it by that name."""
        with self._translated(reference):
            answer = self._client.pull(reference, stream=True, decode=True)
            self._raise_reported(answer, reference)

    def import_image(self, archive: Iterable[bytes], *, repository: str, tag: str, changes: list[str]) -> None:
        """``POST /images/create?fromSrc=-``: a file tree as tar becomes an image of one layer."""
        subject = f"{repository}:{tag}"
        with self._translated(subject):
            answer = self._client.import_image_from_stream(
                _Pieces(archive), repository=repository, tag=tag, changes=changes
            )
            self._raise_reported((json.loads(line) for line in answer.splitlines() if line.strip()), subject)

    def remove(self, reference: str) -> None:
        """``DELETE /images/{reference}``, never by force."""
        with self._translated(reference):
            self._client.remove_image(reference, force=False)

    def distribution(self, reference: str) -> Mapping[str, Any]:
        """``GET /distribution/{reference}/json``: what the image's registry says of it, asked by the engine."""
        with self._translated(reference):
            return dict(self._client.inspect_distribution(reference))  # type: ignore[no-untyped-call]

    def _raise_reported(self, stream: Iterable[Mapping[str, Any]], subject: str) -> None:
        """Engines report what went wrong after the status line, in the stream. It is read to its end all the same:
        the SDK closes its socket there and nowhere else."""
        errors = [str(message["error"]) for message in stream if message.get("error")]
        if errors:
            raise _refused(errors[0], subject)

    @contextmanager
    def _translated(self, subject: str) -> Iterator[None]:
        try:
            yield
        except BuilderError:
            raise
        except NotFound as error:
            # That engine need not be the one that `docker` asks by itself.
            hint = f"`docker --host={self._endpoint.host} images` shows what it has"
            raise EngineError("image-missing", subject, _missing(_explanation(error)), hint=hint) from error
        except APIError as error:
            raise _refused(_explanation(error), subject) from error
        except requests.exceptions.ReadTimeout as error:
            raise EngineError("engine-timeout", subject, "the engine gave no answer in time") from error
        except (DockerException, *_TRANSPORT_ERRORS) as error:
            raise engine_lost(self._endpoint, subject, _reason(error)) from error


def _missing(explanation: str) -> str:
    """The engine's words, without the name that it gives twice and the error names before it."""
    said = explanation.rpartition(": ")[2] if explanation.lower().startswith("no such image:") else ""
    return f"the engine has no image {said}" if said else explanation


def engine_lost(endpoint: Endpoint, subject: str, reason: str) -> EngineError:
    """The error for an engine that answered before and does not any more."""
    return EngineError(
        "engine-lost",
        subject,
        f"the engine at {endpoint.host} stopped answering: {reason}",
        hint="see its log, start it again, then repeat",
    )


def is_disk_full(text: str) -> bool:
    """Whether an engine's or a tool's message says that a disk is full."""
    return re.search(r"no space left on device|disk quota exceeded|ENOSPC", text, re.IGNORECASE) is not None


class _Pieces:
    """An iterable that requests sends chunked. A bare generator would do, but for the SDK's test of its truth."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


def _open(host: str, tls: Path | None, timeout: float) -> docker.APIClient:
    """A client that speaks the engine's API version, and so has heard from it."""
    if host.startswith("ssh://"):
        raise Unreachable("ssh:// is not supported; forward the socket with `ssh -L` and name it as unix://")
    if not host.startswith(_KNOWN_SCHEMES):
        raise Unreachable(f"not an address; expected {', '.join(_KNOWN_SCHEMES[:2])}…")
    try:
        _knock(host)
        return _client(host, tls, timeout, _known_version(host) or _api_version(host, tls, timeout))
    except TLSParameterError as error:
        raise Unreachable(f"its certificates cannot be used: {error}") from error
    except (DockerException, ValueError, *_TRANSPORT_ERRORS) as error:
        cause = _os_error(error)
        raise Unreachable(_reason(error), denied=isinstance(cause, PermissionError)) from error


def _client(host: str, tls: Path | None, timeout: float, version: str) -> docker.APIClient:
    # The stub wants whole seconds; requests, which gets the timeout, does not.
    return docker.APIClient(base_url=host, version=version, timeout=timeout, tls=_tls(tls))  # type: ignore[arg-type]


def _knock(host: str) -> None:
    """Opens and closes a Unix socket: where that fails the SDK would leave its own socket open."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(PING_TIMEOUT)
            door.connect(host.removeprefix("unix://"))


def _api_version(host: str, tls: Path | None, timeout: float) -> str:
    """What the engine says without being asked in any version. The SDK can do this as it starts, but then a client
    that fails cannot be closed."""
    with closing(_client(host, tls, timeout, _ANY_VERSION)) as client:
        answer = client.version(api_version=False)
    version = answer.get("ApiVersion") if isinstance(answer, Mapping) else None
    if not isinstance(version, str):
        raise Unreachable("what answers is no Docker Engine")
    _versions[host] = (version, time.monotonic())
    return version


def _known_version(host: str) -> str | None:
    """What the engine behind a socket of this machine said a moment ago; that it is there at all, its socket tells."""
    version, at = _versions.get(host, ("", -VERSION_SECONDS))
    return version if host.startswith("unix://") and time.monotonic() - at < VERSION_SECONDS else None


def _tls(folder: Path | None) -> TLSConfig | bool:
    if folder is None:
        return False
    certificate, key, authority = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    pair = (str(certificate), str(key)) if certificate.exists() and key.exists() else None
    return TLSConfig(client_cert=pair, ca_cert=str(authority) if authority.exists() else None, verify=True)


def _refused(message: str, subject: str) -> BuilderError:
    if is_disk_full(message):
        return DiskFull("disk-full", subject, f"the engine's disk is full: {message}", hint="free some, then repeat")
    return EngineError("engine-refused", subject, f"the engine refused: {message}")


def _explanation(error: APIError) -> str:
    return error.explanation or str(error)


def _reason(error: BaseException) -> str:
    cause = _os_error(error)
    if cause is not None and cause.errno:
        with suppress(KeyError):
            return f"{cause.strerror or errno.errorcode[cause.errno]}"
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        return "no answer in time"
    return str(error) or type(error).__name__


def _os_error(error: BaseException) -> OSError | None:
    """The system's own error under layers of libraries, which wrap it as cause, context or argument."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    found: OSError | None = None
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and current.errno:
            found = current
            break
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return found
