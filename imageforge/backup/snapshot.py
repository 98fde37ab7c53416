"""Taking a backup while everything runs."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imageforge import __version__
from imageforge.backup.bundle import Head, Writer
from imageforge.backup.images import Image, as_json, collect, collect_attached, local_registry
from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.git_remote.repository import environment
from imageforge.store import Builds, Database, Releases, SealedSecrets
from registry import RegistryClient

BUSY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What is in a backup: `sealed` secrets, and whether what opens them; `missing` are images of old releases that the
    registry does not hold any more."""

    images: int
    repositories: int
    missing: tuple[str, ...]
    sealed: int
    keys: bool


def take(home: Home, settings: Settings, out: IO[bytes], *, keys: bool) -> Taken:
    """Write a backup of a home to a stream.

    First the store, as it is at one moment; then what it names: images of its releases, sources of builds that wait,
    the repositories that were pushed to. What is made meanwhile is in the next backup. Raises StackError
    (`backup-failed`), and what the registry raises.
    """
    with tempfile.TemporaryDirectory(prefix="backup-", dir=home.scratch) as scratch, _failures(home):
        folder = Path(scratch)
        # The store first: a release that it knows may be one that the controller runs by then, never the other way.
        copy_database(home.store, folder / "store.sqlite")
        copy_database(home.runtime_store, folder / "runtime.sqlite")
        head = Head(version=__version__, instance=home.instance, created_at=time.time(), keys=keys)
        writer = Writer(out, head)
        for name in ("store.sqlite", "runtime.sqlite"):
            if (folder / name).exists():
                writer.add_file(name, folder / name)
        if home.settings_file.exists():
            writer.add("settings.toml", home.settings_file.read_bytes())
        for name, file in home.key_files.items() if keys else ():
            if file.exists():
                writer.add(f"keys/{name}", file.read_bytes())
        with Database.at(folder / "store.sqlite") as store:
            references = Releases(store).references()
            contexts = sorted(Builds(store).open_archives())
            sealed = SealedSecrets(store).count()
        for digest in contexts:
            kept = home.contexts / digest.removeprefix("sha256:")
            if kept.exists():
                writer.add_file(f"contexts/{kept.name}", kept)
        repositories = _add_repositories(home, folder, writer)
        with local_registry(home, settings) as client:
            images, missing = collect(references, client)
            everything = (*images, *collect_attached(images, client))
            writer.add("images.json", as_json(everything))
            _add_blobs(everything, client, folder / "blob", writer)
        writer.finish()
    return Taken(images=len(images), repositories=repositories, missing=missing, sealed=sealed, keys=keys)


def copy_database(file: Path, into: Path) -> None:
    """A SQLite database as it is at one moment, whoever writes to it; nothing where there is none."""
    if not file.exists():
        return
    with (
        closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(into)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")


def _add_repositories(home: Home, folder: Path, writer: Writer) -> int:
    count = 0
    for repository in sorted(home.repositories.glob("*.git")):
        file = folder / "repository"
        command = ["git", "--git-dir", str(repository), "bundle", "create", "--quiet", str(file), "--all"]
        done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            writer.add_file(f"git/{repository.stem}.bundle", file)
            file.unlink()
            count += 1
        elif "empty bundle" not in done.stderr:
            raise StackError("backup-failed", str(repository), done.stderr.strip()[:500], hint="git fsck there")
    return count


def _add_blobs(images: tuple[Image, ...], client: RegistryClient, file: Path, writer: Writer) -> None:
    blobs = {digest: image.repository for image in images for digest in image.blobs}
    for digest, repository in blobs.items():
        with file.open("wb") as out:
            client.fetch_blob(repository, digest, out)
        writer.add_file(f"images/{digest.removeprefix('sha256:')}", file)
        file.unlink()


@contextmanager
def _failures(home: Home) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        full = isinstance(error, OSError) and error.errno == 28
        free = shutil.disk_usage(home.state).free // 2**20
        raise StackError(
            "disk-full" if full else "backup-failed",
            str(home.path),
            str(error),
            hint=f"{free} MiB are free in the home; a backup needs room for its largest layer there" if full else None,
            kept="no backup was written",
        ) from error
