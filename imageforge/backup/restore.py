"""Bringing an empty home back from a backup."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imageforge.backup.bundle import Bundle, Head
from imageforge.backup.images import Image, local_registry, put_back
from imageforge.config import Home, Settings, load_settings
from imageforge.errors import StackError, UsageError
from imageforge.git_remote.repository import environment
from imageforge.stack.state import running_supervisor
from imageforge.store import Database, Releases
from registry import ImageRef

STAGING = "restoring"
"""A folder in the state: what is in it when a restore begins is of one that was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What was brought back."""

    head: Head
    images: int
    repositories: int


def restore(home: Home, file: Path) -> Restored:
    """Bring a home back. It is whole, or as empty as before: the store is put in its place last.

    Raises UsageError (`home-not-empty`, `backup-…`), StackError (`disk-full`, `restore-failed`), and what the registry
    raises.
    """
    _refuse_used(home)
    bundle = Bundle.verify(file)
    staging = home.state / STAGING
    try:
        home.adopt(bundle.head.instance)
        home.prepare()
        shutil.rmtree(staging, ignore_errors=True)
        _refuse_small_disk(home, file)
        staging.mkdir(mode=0o700)
        bundle.extract(staging)
        images = [Image.from_json(raw) for raw in json.loads((staging / "images.json").read_text())]
        settings = load_settings(staging / "settings.toml")
        _refuse_other_registry(images, staging, settings)
        with local_registry(home, settings) as client:
            put_back(images, staging / "images", client)
        repositories = _bring_back_repositories(home, staging / "git")
        _move(staging, home)
    except OSError as error:
        raise StackError(
            "disk-full" if error.errno == 28 else "restore-failed",
            str(home.path),
            str(error),
            hint="mend that, then restore again",
            kept="no app was brought back",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Restored(head=bundle.head, images=sum(not image.attached for image in images), repositories=repositories)


def _refuse_used(home: Home) -> None:
    # What the controller is to run is put in place before the store; a restore that was killed then left its folder.
    runs = home.runtime_store.exists() and not (home.state / STAGING).exists()
    if running_supervisor(home) or home.store.exists() or runs:
        raise UsageError(
            "home-not-empty",
            str(home.path),
            "it holds apps, or the stack runs in it",
            hint="restore into another home: IMAGEFORGE_HOME; or remove this one: imageforge down --purge",
            kept="nothing was changed",
        )


def _refuse_small_disk(home: Home, file: Path) -> None:
    # Once unpacked, once in the registry.
    needed, free = 2 * file.stat().st_size, shutil.disk_usage(home.state).free
    if free < needed:
        raise StackError(
            "disk-full",
            str(home.path),
            f"{free // 2**20} MiB are free, expected {needed // 2**20}",
            hint="make room, then restore again",
            kept="nothing was changed",
        )


def _refuse_other_registry(images: Iterable[Image], staging: Path, settings: Settings) -> None:
    """References of releases name the registry with its port, which must therefore be the same here."""
    if not images:
        return
    with Database.at(staging / "store.sqlite") as store:
        named = {ImageRef.parse(reference).registry for reference in Releases(store).references()}
    if named and settings.registry not in named:
        raise UsageError(
            "backup-other-registry",
            sorted(named)[0],
            f"the releases name this registry, and the one of this home would be {settings.registry}",
            hint=f"IMAGEFORGE_REGISTRY_PORT={sorted(named)[0].rpartition(':')[2]} imageforge restore …, while no other "
            "home has that port",
            kept="nothing was changed",
        )


def _bring_back_repositories(home: Home, bundles: Path) -> int:
    count = 0
    for bundle in sorted(bundles.glob("*.bundle")):
        home.repositories.mkdir(mode=0o700, exist_ok=True)
        folder = home.repositories / f"{bundle.stem}.git"
        shutil.rmtree(folder, ignore_errors=True)  # of a restore that was killed
        for command in (
            ["git", "init", "--quiet", "--bare", str(folder)],
            ["git", "--git-dir", str(folder), "fetch", "--quiet", str(bundle), "refs/*:refs/*"],
        ):
            done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
            if done.returncode:
                raise StackError(
                    "restore-failed", bundle.stem, done.stderr.strip()[:500], kept="no app was brought back"
                )
        count += 1
    return count


def _move(staging: Path, home: Home) -> None:
    """Into place, the store last: with it the home is one that holds apps."""
    for name, target in home.key_files.items():
        if (staging / "keys" / name).exists():
            (staging / "keys" / name).replace(target)
    for context in (staging / "contexts").glob("*"):
        home.contexts.mkdir(mode=0o700, exist_ok=True)
        context.replace(home.contexts / context.name)
    try:
        for name, target in (
            ("settings.toml", home.settings_file),
            ("runtime.sqlite", home.runtime_store),
            ("store.sqlite", home.store),
        ):
            if (staging / name).exists():
                (staging / name).replace(target)
    except OSError:
        home.runtime_store.unlink(missing_ok=True)  # else the home would count as one that holds apps
        raise
    descriptor = os.open(home.state, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
