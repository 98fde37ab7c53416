"""Tidying the registry: images that no release needs go, and the blobs that only they had.

CNCF Distribution removes blobs only while nobody writes: one that is uploaded meanwhile would be taken for garbage. Our
builds are held back by a lock; whoever else pushes is refused, for the registry is read-only for as long as it takes.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imageforge.backup.images import collect
from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.images.known import known_references
from imageforge.images.retention import Stored, images_in, is_ours, left, surplus
from imageforge.stack.catalog import registries
from imageforge.stack.process import identify, read_pid_file, write_pid_file
from imageforge.stack.registry_lock import sweeping_registry
from imageforge.stack.service import Service, ask_for_restart
from imageforge.store import Builds, Database, Releases
from registry import (
    Descriptor,
    ImageIndex,
    ImageManifest,
    ImageRef,
    InvalidReference,
    LayoutError,
    RefusedError,
    RegistryClient,
    RegistrySource,
    fallback_tag,
    parse_manifest,
)
from registry import collect as collect_cargo
from runtime import ControllerClient

YOUNG_SECONDS = 3600.0
"""Age below which a build's image stays though no release has it: somebody may be about to use it."""
PATIENCE = 15.0
READY_SECONDS = 30.0
_ELIGIBLE = re.compile(r"(\d+) blobs and (\d+) manifests eligible for deletion")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidied:
    """How many images went and which, the bytes of disk that came free, and those that the images left have; `swept` is
    whether there was anything to sweep."""

    images: int
    bytes: int
    swept: bool
    gone: tuple[Stored, ...] = ()
    left: int = 0


def tidy(home: Home, settings: Settings, database: Database, *, budget: int | None = None) -> Tidied:
    """Remove what builds made and no release that is kept, no object that is applied, no build under way and no young
    build has; with a `budget`, the oldest of it, until the registry has no more than that many bytes. What somebody
    gave a name of his own stays.

    Where nothing goes and no blob is nobody's, the registry is not touched: a sweep would restart it twice for nothing.

    Raises Busy (`registry-busy`), StackError (`tidy-failed`), and what the registry and the controller raise; what was
    not removed then is removed the next time.
    """
    with sweeping_registry(home, patience=PATIENCE), RegistryClient(settings.registry) as client:
        stored = stored_images(home, database, client, applied_images(home))
        gone = surplus(stored, budget=budget)
        for image in gone:
            remove_image_of(client, image)
        root = home.state / "registry"
        # What others push meanwhile looks like garbage until its manifest is there, and is found on the next look too.
        service = registries(home, settings)[0]
        if not gone and not has_garbage(service.argv[0], service.argv[-1], root, environ=service.environ):
            return Tidied(images=0, bytes=0, swept=False, left=left(stored, gone))
        before = _size(root)
        with _read_only(home, settings) as service:
            done = _collect_garbage(service.argv[0], service.argv[-1], environ=service.environ)
        if done.returncode:
            raise StackError("tidy-failed", "the registry", done.stderr.strip()[-500:], hint=f"look at {service.log}")
    freed = max(0, before - _size(root))
    return Tidied(images=len(gone), bytes=freed, swept=True, gone=gone, left=left(stored, gone))


def has_garbage(program: str, config: str, root: Path, *, environ: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether a sweep would remove anything of a registry with this program and configuration, whose files are below
    `root`: by its own look, which changes nothing. What cannot be looked at counts as garbage; the sweep then says what
    is amiss."""
    if not (root / "docker" / "registry" / "v2" / "repositories").is_dir():
        return False  # nothing was ever pushed there, which a sweep takes for a failure
    done = _collect_garbage(program, "--dry-run", config, environ=environ)
    found = _ELIGIBLE.search(done.stdout)
    return done.returncode != 0 or found is None or (int(found[1]), int(found[2])) != (0, 0)


def _collect_garbage(program: str, *arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "garbage-collect", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def applied_images(home: Home) -> frozenset[str]:
    """What applied objects name. Raises what the controller raises: without it nobody knows what is needed."""
    return frozenset(applied_users(home))


def applied_users(home: Home) -> Mapping[str, str]:
    """The images that applied objects name, each with one of these, such as ``deployment/web``. Raises as above."""
    return {
        image: f"{view.kind.lower()}/{view.name}" + ("" if view.namespace == "default" else f" of {view.namespace}")
        for view in ControllerClient(home.controller_socket, patience=PATIENCE).views()
        for image in images_in([view.manifest])
    }


def stored_images(
    home: Home, database: Database, client: RegistryClient, applied: Iterable[str], *, newest: int | None = None
) -> tuple[Stored, ...]:
    """The images of the local registry, by ``REPOSITORY@DIGEST``, and which of them are needed; `applied` are those
    that objects name. With `newest` as if all but so many releases of each app were forgotten. Raises what the registry
    raises."""
    needed = collect(_wanted(database, client, applied, newest), client)[0]
    kept = {(image.repository, image.digest) for image in needed}
    found: list[Stored] = []
    for repository in client.repositories():
        tags: dict[str, list[str]] = {}
        for tag in client.tags(repository):
            digest = client.manifest_digest(repository, tag)
            if digest is not None:
                tags.setdefault(digest, []).append(tag)
        for digest, names in tags.items():
            found.append(
                Stored(
                    name=f"{repository}@{digest}",
                    parts=_parts(client, f"{client.registry}/{repository}@{digest}"),
                    used_at=_pushed_at(home, repository, digest),
                    ours=is_ours(names),
                    needed=(repository, digest) in kept,
                )
            )
    return tuple(found)


def elsewhere(
    database: Database, client: RegistryClient, applied: Iterable[str], *, newest: int | None = None
) -> tuple[Stored, ...]:
    """What builds pushed to a registry that is not ours, by ``REPOSITORY@DIGEST``, where it still is. What has a tag
    that no build makes by itself is its namer's. `newest` as for `stored_images`. Raises what the registry raises."""
    pushed = [
        named for name in known_references(database) if (named := ImageRef.parse(name)).registry == client.registry
    ]
    needed = {
        (named.repository, named.digest)
        for named in map(ImageRef.parse, _wanted(database, client, applied, newest))
        if named.digest
    }
    tags: dict[str, dict[str | None, list[str]]] = {}
    for repository in {named.repository for named in pushed}:
        of = tags.setdefault(repository, {})
        for tag in client.tags(repository):
            of.setdefault(client.manifest_digest(repository, tag), []).append(tag)
    return tuple(
        Stored(
            name=f"{named.repository}@{named.digest}",
            parts=_parts(client, str(named)),
            used_at=0.0,
            ours=is_ours(tags[named.repository].get(named.digest, [])),
            needed=(named.repository, named.digest) in needed,
        )
        for named in pushed
        if client.has_manifest(named.repository, named.digest or "")
    )


def remove_image_of(client: RegistryClient, image: Stored) -> bool:
    """Delete an image's manifest and what is attached to it; its blobs go when the registry is swept."""
    return _remove(client, *image.name.split("@"))


def forget_images(app: str, home: Home, settings: Settings, database: Database, *, since: float) -> int:
    """Remove the images in the repository of a deleted app, so that the next app of its name does not find them; how
    many went. Those that another app's release or a build since `since` (Unix time) has stay. The blobs go with the
    next tidying.

    Raises Busy (`registry-busy`) at once where builds are at it, and what the registry raises; the next tidying removes
    the images then.
    """
    with sweeping_registry(home, patience=0.0), RegistryClient(settings.registry) as client:
        wanted = (*Releases(database).references(), *Builds(database).references(young=since))
        images, _ = collect((name for name in wanted if ImageRef.parse(name).repository == app), client)
        kept = {image.digest for image in images if image.repository == app}
        found = {client.get_manifest(app, tag).digest for tag in client.tags(app)}
        return sum(_remove(client, app, digest) for digest in sorted(found - kept))


def _wanted(
    database: Database, client: RegistryClient, applied: Iterable[str], newest: int | None = None
) -> tuple[str, ...]:
    """What releases, builds and applied objects have, by digest."""
    young = time.time() - YOUNG_SECONDS
    found: list[str] = []
    for name in applied:
        with contextlib.suppress(InvalidReference):  # its pod says so; here it names nothing
            named = ImageRef.parse(name)
            if named.registry == client.registry:
                digest = named.digest or client.manifest_digest(named.repository, named.tag or "latest")
                found.extend([str(named.with_tag(None).with_digest(digest))] if digest else [])
    return (*Releases(database).references(newest=newest), *Builds(database).references(young=young), *found)


def _remove(client: RegistryClient, repository: str, digest: str) -> bool:
    """An image, and what is attached to it: its tag first, so that nobody is led to what is gone. Whoever may push may
    have written the list, so what it names goes only if that says of itself that it is attached to the image."""
    tag = fallback_tag(digest)
    attached = client.manifest_digest(repository, tag)
    if attached is not None:
        named = _named(client.get_manifest(repository, attached).raw)
        gone = [entry.digest for entry in named if _subject(client, repository, entry.digest) == digest]
        client.delete_manifest(repository, attached)
        for document in gone:
            client.delete_manifest(repository, document)
    return client.delete_manifest(repository, digest)


def _named(raw: bytes) -> tuple[Descriptor, ...]:
    try:
        index = parse_manifest(raw, "")
    except LayoutError:
        return ()
    return index.manifests if isinstance(index, ImageIndex) else ()


def _subject(client: RegistryClient, repository: str, digest: str) -> str | None:
    try:
        found = parse_manifest(client.get_manifest(repository, digest).raw, "")
    except (LayoutError, RefusedError):
        return None
    return found.subject.digest if isinstance(found, ImageManifest) and found.subject else None


def _parts(client: RegistryClient, reference: str) -> dict[str, int]:
    """The blobs of an image, with their sizes."""
    source = RegistrySource(client=client, reference=ImageRef.parse(reference))
    try:
        cargo = collect_cargo(source, None)
    except LayoutError:
        return {}  # an image of a kind that we do not carry
    return {blob.digest: blob.size for blob in cargo.blobs}


def _pushed_at(home: Home, repository: str, digest: str) -> float:
    """When a manifest came, by the file that the registry wrote for it; the beginning of time where there is none."""
    algorithm, _, encoded = digest.partition(":")
    root = home.state / "registry" / "docker" / "registry" / "v2" / "repositories"
    link = root / repository / "_manifests" / "revisions" / algorithm / encoded / "link"
    try:
        return link.stat().st_mtime
    except OSError:
        return 0.0


def end_interrupted(home: Home, settings: Settings) -> None:
    """After a process that tidied was killed: have the registry take pushes again."""
    if home.registry_read_only.exists() and read_pid_file(home.registry_read_only) is None:
        home.registry_read_only.unlink()
        _restart(home, settings)


@contextlib.contextmanager
def _read_only(home: Home, settings: Settings) -> Iterator[Service]:
    myself = identify(os.getpid())
    assert myself is not None
    write_pid_file(home.registry_read_only, myself)
    try:
        yield _restart(home, settings)
    finally:
        home.registry_read_only.unlink()
        _restart(home, settings)


def _restart(home: Home, settings: Settings) -> Service:
    """End the registries, so that the supervisor starts them again as they are to be now; gives the first."""
    chosen = registries(home, settings)
    for service in chosen:
        ask_for_restart(service)
    deadline = time.monotonic() + READY_SECONDS
    for service in chosen:
        while (amiss := service.ready()) is not None:
            if time.monotonic() > deadline:
                raise StackError(
                    "tidy-failed", service.name, f"it did not come back: {amiss}", hint="imageforge status"
                )
            time.sleep(0.05)
    return chosen[0]


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total
