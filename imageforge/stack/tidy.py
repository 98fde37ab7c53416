"""Tidying the registry: images that no release needs go, and the blobs that only they had.

CNCF Distribution removes blobs only while nobody writes: one that is uploaded meanwhile would be taken for garbage. Our
builds are held back by a lock; whoever else pushes is refused, for the registry is read-only for as long as it takes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imageforge.backup.images import collect
from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack.catalog import registries
from imageforge.stack.process import identify, read_pid_file, stop, write_pid_file
from imageforge.stack.registry_lock import sweeping_registry
from imageforge.stack.service import Service
from imageforge.store import Builds, Database, Releases
from registry import ImageRef, RegistryClient

YOUNG_SECONDS = 3600.0
"""Age below which a build's image stays though no release has it: somebody may be about to use it."""
PATIENCE = 15.0
READY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidied:
    """How many images went, and the bytes of disk that came free."""

    images: int
    bytes: int


def tidy(home: Home, settings: Settings, database: Database) -> Tidied:
    """Remove what no release that is kept, no build under way and no young build has.

    Raises Busy (`registry-busy`), StackError (`tidy-failed`), and what the registry raises; what was not removed then
    is removed the next time.
    """
    with sweeping_registry(home, patience=PATIENCE), RegistryClient(settings.registry) as client:
        wanted = (*Releases(database).references(), *Builds(database).references(young=time.time() - YOUNG_SECONDS))
        images, _ = collect(wanted, client)
        kept = {(image.repository, image.digest) for image in images}
        removed = {
            (repository, digest)
            for repository in client.repositories()
            for digest in (client.get_manifest(repository, tag).digest for tag in client.tags(repository))
            if (repository, digest) not in kept
        }
        for repository, digest in sorted(removed):
            client.delete_manifest(repository, digest)
        root = home.state / "registry"
        before = _size(root)
        with _read_only(home, settings) as service:
            program, config = service.argv[0], service.argv[-1]
            done = subprocess.run(
                [program, "garbage-collect", config],
                env={**os.environ, **service.environ},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise StackError("tidy-failed", "the registry", done.stderr.strip()[-500:], hint=f"look at {service.log}")
    return Tidied(images=len(removed), bytes=max(0, before - _size(root)))


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
        return sum(client.delete_manifest(app, digest) for digest in sorted(found - kept))


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
        identity = read_pid_file(service.pid_file)
        if identity is not None:
            stop(identity, first=service.stop_signal, seconds=service.stop_seconds)
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
