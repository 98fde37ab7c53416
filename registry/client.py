"""The verbs of the distribution specification that pushing, reading and tidying need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

from registry.auth import Credentials
from registry.errors import LayoutError, RefusedError, TransportError
from registry.manifest import MediaType
from registry.transport import Transport

CHUNK = 1 << 20
"""Bytes read and sent at a time."""
MANIFESTS = ", ".join(
    (MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST, MediaType.OCI_INDEX, MediaType.DOCKER_MANIFEST_LIST)
)
OK, CREATED, ACCEPTED, NOT_FOUND = 200, 201, 202, 404
API_VERSION = "Docker-Distribution-API-Version"


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedManifest:
    """A manifest as the registry gave it."""

    raw: bytes
    digest: str
    media_type: str


class RegistryClient:
    """One registry. Close it, or use it as a context manager. Its methods may be called from several threads."""

    def __init__(self, registry: str, *, credentials: Credentials | None = None) -> None:
        self._transport = Transport(registry, credentials=credentials)
        self.registry = registry

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def ping(self) -> None:
        """Raises TransportError unless a registry answers."""
        response = self._transport.request("GET", "/v2/", expected=(OK,))
        if API_VERSION not in response.headers and response.text.strip() not in ("{}", ""):
            raise TransportError(
                "not-a-registry", self.registry, "something else answers at /v2/", hint="check the port"
            )

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository holds a blob."""
        path = f"/v2/{repository}/blobs/{digest}"
        found = self._transport.request("HEAD", path, expected=(OK, NOT_FOUND), scope=_push_scope(repository))
        return found.status_code == OK

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Take a blob from another repository of the same registry, without sending it; False where it could not be
        (an upload that the registry opened instead is cancelled)."""
        response = self._transport.request(
            "POST",
            f"/v2/{repository}/blobs/uploads/",
            params={"mount": digest, "from": source},
            expected=(CREATED, ACCEPTED),
            scope=_push_scope(repository),
        )
        if response.status_code == CREATED:
            return True
        self._cancel(repository, response.headers.get("Location", ""))
        return False

    def upload_blob(
        self,
        repository: str,
        digest: str,
        file: Path,
        *,
        on_bytes: Callable[[int], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send a blob in one piece, streamed, and have the registry check its digest.

        The bytes are hashed as they leave: a damaged file is refused (LayoutError `blob-damaged`) before the upload is
        closed. `on_bytes` hears how many bytes have left. Raises InterruptedError when `cancelled` says so.
        """
        scope = _push_scope(repository)
        opened = self._transport.request("POST", f"/v2/{repository}/blobs/uploads/", expected=(ACCEPTED,), scope=scope)
        location = urljoin(self._transport.base, opened.headers["Location"])
        hasher = hashlib.sha256()

        def body() -> Iterator[bytes]:
            nonlocal hasher
            hasher = hashlib.sha256()
            sent = 0
            with file.open("rb") as handle:
                while chunk := handle.read(CHUNK):
                    if cancelled():
                        raise InterruptedError("the push was cancelled")
                    hasher.update(chunk)
                    sent += len(chunk)
                    yield chunk
                    on_bytes(sent)

        try:
            patched = self._transport.request(
                "PATCH",
                location,
                body=body,
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)},
                expected=(ACCEPTED,),
                scope=scope,
            )
            location = urljoin(self._transport.base, patched.headers["Location"])
            if f"sha256:{hasher.hexdigest()}" != digest:
                raise LayoutError(
                    "blob-damaged", digest, f"its bytes in {file} have another digest", hint="build again"
                )
            self._transport.request("PUT", location, params={"digest": digest}, expected=(CREATED,), scope=scope)
        except BaseException:
            self._cancel(repository, location)
            raise

    def fetch_blob(self, repository: str, digest: str, into: BinaryIO) -> int:
        """Write a blob's bytes; gives how many. Raises RefusedError (`registry-blob-unknown`) and, when they have
        another digest, TransportError (`digest-mismatch`): what was written is then of no use."""
        hasher, size = hashlib.sha256(), 0
        with self._transport.download(f"/v2/{repository}/blobs/{digest}", scope=_pull_scope(repository)) as pieces:
            for piece in pieces:
                hasher.update(piece)
                into.write(piece)
                size += len(piece)
        if f"sha256:{hasher.hexdigest()}" != digest:
            found = f"the bytes that came are sha256:{hasher.hexdigest()}"
            raise TransportError("digest-mismatch", f"{self.registry}/{repository}@{digest}", found)
        return size

    def put_manifest(self, repository: str, reference: str, raw: bytes, media_type: str) -> str:
        """Store a manifest under a tag or its digest; gives the digest, which must be that of the bytes sent."""
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        response = self._transport.request(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            body=lambda: [raw],
            headers={"Content-Type": media_type, "Content-Length": str(len(raw))},
            expected=(CREATED,),
            scope=_push_scope(repository),
        )
        answered = response.headers.get("Docker-Content-Digest", digest)
        if answered != digest:
            raise TransportError(
                "digest-mismatch",
                f"{self.registry}/{repository}",
                f"stored the manifest as {answered}, expected {digest}",
                hint="something between here and the registry changes what is sent",
            )
        return digest

    def get_manifest(self, repository: str, reference: str) -> FetchedManifest:
        """A manifest by tag or digest. Raises RefusedError (`registry-manifest-unknown`)."""
        response = self._transport.request(
            "GET",
            f"/v2/{repository}/manifests/{reference}",
            headers={"Accept": MANIFESTS},
            expected=(OK,),
            scope=_pull_scope(repository),
        )
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise TransportError("digest-mismatch", f"{repository}@{reference}", f"the bytes that came are {digest}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        return FetchedManifest(raw=response.content, digest=digest, media_type=media_type)

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Whether a tag or digest is there."""
        found = self._transport.request(
            "HEAD",
            f"/v2/{repository}/manifests/{reference}",
            headers={"Accept": MANIFESTS},
            expected=(OK, NOT_FOUND),
            scope=_pull_scope(repository),
        )
        return found.status_code == OK

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest by its digest, and so its tags; False where it was not there."""
        path = f"/v2/{repository}/manifests/{digest}"
        scope = f"repository:{repository}:delete"
        return (
            self._transport.request("DELETE", path, expected=(ACCEPTED, NOT_FOUND), scope=scope).status_code == ACCEPTED
        )

    def repositories(self) -> tuple[str, ...]:
        """The repositories of a registry of one's own, sorted; large public ones do not list theirs. One whose last
        image was deleted is among them."""
        found: list[str] = []
        path = "/v2/_catalog"
        while path:
            response = self._transport.request("GET", path, expected=(OK,), scope="registry:catalog:*")
            found.extend(response.json().get("repositories") or [])
            path = response.links.get("next", {}).get("url", "")
        return tuple(sorted(found))

    def tags(self, repository: str) -> tuple[str, ...]:
        """The tags of a repository, sorted; none where it does not exist."""
        found: list[str] = []
        path = f"/v2/{repository}/tags/list"
        while path:
            response = self._transport.request("GET", path, expected=(OK, NOT_FOUND), scope=_pull_scope(repository))
            if response.status_code == NOT_FOUND:
                break
            found.extend(response.json().get("tags") or [])
            path = response.links.get("next", {}).get("url", "")
        return tuple(sorted(found))

    def _cancel(self, repository: str, location: str) -> None:
        """End an upload that is of no use any more; best effort, because registries drop stale ones themselves."""
        if not location:
            return
        try:
            url = urljoin(self._transport.base, location)
            self._transport.request("DELETE", url, expected=(204, NOT_FOUND), scope=_push_scope(repository))
        except (TransportError, RefusedError):
            return


def _push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"
