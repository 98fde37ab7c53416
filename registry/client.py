"""The verbs of the distribution specification that pushing, reading and tidying need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from registry.access import Access
from registry.answers import json_object, number
from registry.auth import Credentials
from registry.errors import RefusedError, TransportError
from registry.manifest import LARGEST_MANIFEST, Descriptor, ImageIndex, MediaType, digest_of
from registry.patience import ONCE, Patience
from registry.subject import subject_of_tag
from registry.transport import Body, Cancelled, Transport, Trial, never

MANIFESTS = ", ".join(
    (MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST, MediaType.OCI_INDEX, MediaType.DOCKER_MANIFEST_LIST)
)
OK, CREATED, ACCEPTED, NO_CONTENT, BAD, NOT_FOUND, NOT_ALLOWED = 200, 201, 202, 204, 400, 404, 405
MOST_PAGES = 100
MOST_LIST_PAGES = 1000
MOST_LISTED = 1_000_000
"""Pages and names of a list of tags or repositories: registries give a hundred names a page or more, and no list that
ends has so many."""
API_VERSION = "Docker-Distribution-API-Version"


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedManifest:
    """A manifest as the registry gave it."""

    raw: bytes
    digest: str
    media_type: str


class RegistryClient:
    """One registry. Close it, or use it as a context manager. Its methods may be called from several threads."""

    def __init__(
        self,
        registry: str,
        *,
        credentials: Credentials | None = None,
        access: Access | None = None,
        patience: Patience = ONCE,
        cancelled: Cancelled = never,
    ) -> None:
        self._transport = Transport(
            registry, credentials=credentials, access=access, patience=patience, cancelled=cancelled
        )
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
        if API_VERSION not in response.headers and response.content.strip() not in (b"{}", b""):
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
        opened = self.begin_upload(repository, mount=digest, source=source)
        if opened is None:
            return True
        self.cancel_upload(repository, opened.location)
        return False

    def begin_upload(self, repository: str, *, mount: str | None = None, source: str | None = None) -> Opened | None:
        """Open an upload; None where the blob `mount` was there to be taken from the repository `source`."""
        params = {"mount": mount, "from": source} if mount and source else {}
        response = self._transport.request(
            "POST",
            f"/v2/{repository}/blobs/uploads/",
            params=params,
            expected=(CREATED, ACCEPTED) if mount else (ACCEPTED,),
            headers={"Content-Length": "0"},
            scope=_push_scope(repository) + (f" repository:{source}:pull" if mount else ""),
        )
        if response.status_code == CREATED:
            return None
        least = number(response.headers.get("OCI-Chunk-Min-Length", ""))
        return Opened(self._transport.going_on(response), 0, least or 0)

    def upload_offset(self, repository: str, location: str) -> Opened | None:
        """How far an upload is, and where it goes on; None where the registry knows nothing of it any more."""
        try:
            response = self._transport.request(
                "GET", location, expected=(OK, NO_CONTENT, ACCEPTED), scope=_push_scope(repository)
            )
        except RefusedError as error:
            if error.status in (BAD, NOT_FOUND, 410, 416):
                return None
            raise
        return Opened(self._transport.going_on(response, location), _received(response.headers), 0)

    def send_chunk(
        self, repository: str, location: str, body: Body, *, offset: int, length: int, whole: bool
    ) -> Opened:
        """Send `length` bytes of an upload, once; where it goes on. One that is `whole` says nothing of its range."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        if not whole:
            headers["Content-Range"] = f"{offset}-{offset + length - 1}"
        response = self._transport.request(
            "PATCH",
            location,
            body=body,
            headers=headers,
            expected=(ACCEPTED,),
            scope=_push_scope(repository),
            once=True,
        )
        there = _received(response.headers) if "Range" in response.headers else offset + length
        return Opened(self._transport.going_on(response, location), there, 0)

    def finish_upload(
        self, repository: str, location: str, digest: str, *, body: Body | None = None, length: int = 0
    ) -> None:
        """Close an upload, once; with a `body` of `length` bytes, where they are its last or only ones. The registry
        checks the digest."""
        self._transport.request(
            "PUT",
            location,
            params={"digest": digest},
            body=body,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(length)},
            expected=(CREATED, NO_CONTENT),
            scope=_push_scope(repository),
            once=True,
        )

    def trial(self) -> Trial:
        """For one thing of several requests that is to be tried again as a whole."""
        return Trial(self._transport)

    @contextmanager
    def open_blob(self, repository: str, digest: str, *, offset: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """A blob's bytes as they come, not checked, and the offset at which they begin: `offset`, or 0 where the
        registry knows no ranges. Not tried again."""
        path = f"/v2/{repository}/blobs/{digest}"
        with self._transport.download(path, scope=_pull_scope(repository), offset=offset) as found:
            yield found

    def fetch_blob(self, repository: str, digest: str, into: BinaryIO) -> int:
        """Write a blob's bytes; gives how many. Raises RefusedError (`registry-blob-unknown`) and, when they have
        another digest, TransportError (`digest-mismatch`): what was written is then of no use."""
        hasher, size = hashlib.sha256(), 0
        with self.open_blob(repository, digest) as (_, pieces):
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
        if len(response.content) > LARGEST_MANIFEST:
            raise TransportError(
                "manifest-too-large",
                f"{self.registry}/{repository}",
                f"{reference} has {len(response.content)} bytes, expected at most {LARGEST_MANIFEST}",
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

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag names; None where it is not there."""
        found = self._transport.request(
            "HEAD",
            f"/v2/{repository}/manifests/{reference}",
            headers={"Accept": MANIFESTS},
            expected=(OK, NOT_FOUND),
            scope=_pull_scope(repository),
        )
        if found.status_code == NOT_FOUND:
            return None
        return found.headers.get("Docker-Content-Digest") or self.get_manifest(repository, reference).digest

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest by its digest, and so its tags; False where it was not there."""
        path = f"/v2/{repository}/manifests/{digest}"
        scope = f"repository:{repository}:delete"
        return (
            self._transport.request("DELETE", path, expected=(ACCEPTED, NOT_FOUND), scope=scope).status_code == ACCEPTED
        )

    def repositories(self) -> tuple[str, ...]:
        """The repositories of a registry of one's own, sorted; large public ones do not list theirs. One whose last
        image was deleted is among them. Raises TransportError (`list-without-end`)."""
        return self._listed("/v2/_catalog", "repositories", expected=(OK,), scope="registry:catalog:*")

    def tags(self, repository: str, *, referrers: bool = False, missing: bool = True) -> tuple[str, ...]:
        """The tags of a repository, sorted; none where it is `missing`, which else raises RefusedError
        (`registry-name-unknown`). Those that stand for an image's `referrers` are names of nothing, and only given
        where asked for. Raises TransportError (`list-without-end`)."""
        expected = (OK, NOT_FOUND) if missing else (OK,)
        path = f"/v2/{repository}/tags/list"
        found = self._listed(path, "tags", expected=expected, scope=_pull_scope(repository))
        return tuple(tag for tag in found if referrers or subject_of_tag(tag) is None)

    def put_blob(self, repository: str, digest: str, data: bytes) -> None:
        """Store a few bytes, where they are not there already."""
        if self.has_blob(repository, digest):
            return
        opened = self.begin_upload(repository)
        assert opened is not None
        self.finish_upload(repository, opened.location, digest, body=lambda: [data], length=len(data))

    def read_blob(self, repository: str, blob: Descriptor) -> bytes:
        """A small blob, checked. Raises TransportError (`size-mismatch`, `digest-mismatch`)."""
        pieces, size = [], 0
        with self.open_blob(repository, blob.digest) as (_, coming):
            for piece in coming:
                pieces.append(piece)
                size += len(piece)
                if size > blob.size:
                    break
        data = b"".join(pieces)
        subject = f"{self.registry}/{repository}@{blob.digest}"
        if size != blob.size:
            raise TransportError("size-mismatch", subject, f"other than {blob.size} bytes came")
        if digest_of(data) != blob.digest:
            raise TransportError("digest-mismatch", subject, f"the bytes that came are {digest_of(data)}")
        return data

    def referrers(self, repository: str, digest: str) -> tuple[Descriptor, ...] | None:
        """What refers to a manifest, as the registry keeps it; None where it does not."""
        path, found = f"/v2/{repository}/referrers/{digest}", list[Descriptor]()
        for _ in range(MOST_PAGES):
            response = self._transport.request(
                "GET",
                path,
                headers={"Accept": MediaType.OCI_INDEX},
                expected=(OK, BAD, NOT_FOUND, NOT_ALLOWED),
                scope=_pull_scope(repository),
            )
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            if response.status_code != OK or kind != MediaType.OCI_INDEX:
                return None
            found.extend(ImageIndex.parse(response.content).manifests)
            path = response.links.get("next", {}).get("url", "")
            if not path:
                break
        return tuple(found)

    def cancel_upload(self, repository: str, location: str) -> None:
        """End an upload that is of no use any more; best effort, because registries drop stale ones themselves."""
        if not location:
            return
        try:
            self._transport.request(
                "DELETE", location, expected=(NO_CONTENT, NOT_FOUND), scope=_push_scope(repository), once=True
            )
        except (TransportError, RefusedError):
            return

    def _listed(self, path: str, key: str, *, expected: tuple[int, ...], scope: str) -> tuple[str, ...]:
        """All pages of a list, sorted; nothing of one that is not there. Raises TransportError (`list-without-end`)
        where a page leads to one that was read, or there are more than any registry has."""
        found, first, read = list[str](), path, set[str]()
        while path:
            read.add(path)
            response = self._transport.request("GET", path, expected=expected, scope=scope)
            if response.status_code == NOT_FOUND:
                break
            found.extend(self._names(response.content, key))
            path = response.links.get("next", {}).get("url", "")
            if path in read or (path and len(read) >= MOST_LIST_PAGES) or len(found) > MOST_LISTED:
                raise TransportError(
                    "list-without-end",
                    f"{self.registry}{first}",
                    "a page leads to one that was read before"
                    if path in read
                    else f"more than {len(found):,} {key} on {len(read):,} pages, expected an end",
                    hint="see what its administrator can delete, or name the image, which needs no list",
                )
        return tuple(sorted(found))

    def _names(self, raw: bytes, key: str) -> list[str]:
        """The names that a list of the registry's holds. Raises TransportError (`not-a-registry`)."""
        found = json_object(raw)
        names = None if found is None else found.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TransportError(
                "not-a-registry",
                self.registry,
                f"answered with no list of {key}",
                hint="check the address: something else listens there, or a proxy answers for it",
            )
        return names


@dataclass(frozen=True, slots=True)
class Opened:
    """An upload that goes on at `location` with the byte `offset`, by chunks of at least `least` bytes."""

    location: str
    offset: int
    least: int


def _received(headers: Mapping[str, str]) -> int:
    """How many bytes a Range says are there; `0-0` is what registries say of none."""
    first, _, last = headers.get("Range", "0-0").rpartition("=")[2].partition("-")
    there = number(last) if first == "0" else None
    return there + 1 if there else 0


def _push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"
