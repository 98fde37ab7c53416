"""Which files `imageforge lint` checks, and for what build of each: flags over the folder's file over defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imageforge.errors import UsageError
from linters import Job, Policy, Profile
from linters.dockerfile import LARGEST, decode, printable

if TYPE_CHECKING:
    from imageforge.config import RepositoryConfig

STDIN = "-"
PATTERNS = ("Dockerfile", "*.Dockerfile", "Dockerfile.*", "Containerfile")
CONFIGS = ("imageforge.toml", "pyproject.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the command line says, over what a folder's file does."""

    context: Path | None
    target: str | None
    build_args: dict[str, str]
    profile: Profile | None
    comments: bool


def dockerfiles(path: Path) -> list[Path]:
    """The Dockerfiles that a path means. Raises UsageError (`dockerfile-missing`)."""
    if not path.is_dir():
        return [path]
    found = _below(path)
    if not found:
        raise UsageError("dockerfile-missing", str(path), "no Dockerfile in this folder or below", hint="name the file")
    return found


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for above, folders, files in os.walk(folder):
        # Not what others keep in the folder: .git, .venv, node_modules.
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        # Dockerfile.dockerignore is BuildKit's name for an ignore file.
        found += [
            path
            for path in (Path(above, name) for name in files)
            if any(path.match(pattern) for pattern in PATTERNS) and path.suffix != ".dockerignore" and path.is_file()
        ]
    return sorted(found)


def texts(paths: Sequence[Path], stdin_name: str) -> list[tuple[Path, str, str | None]]:
    """Path, name and, of stdin, text of everything that is to be checked, each once."""
    found: dict[str, tuple[Path, str, str | None]] = {}
    for path in paths:
        if str(path) == STDIN:
            text = decode(sys.stdin.buffer.read(LARGEST + 1), subject=stdin_name)
            found[STDIN] = (Path(STDIN), stdin_name, text)
            continue
        build = _build_of(path)
        for file in build or dockerfiles(path):
            found[str(file)] = (file, printable(str(file)), None)
    return list(found.values())


def _build_of(folder: Path) -> list[Path]:
    """The Dockerfiles of a folder, that which its imageforge.toml names among them."""
    if not folder.is_dir() or not (folder / CONFIGS[0]).is_file():
        return []
    config = _load(folder)
    named = _dockerfile_of(folder, config)
    files = _below(folder)
    # One that the file names is checked, and missed where it is not there.
    return files if named in files or not (config.build.dockerfile or named.is_file()) else [named, *files]


def _load(folder: Path) -> RepositoryConfig:
    # It brings pydantic along, which a folder without a file has no use for.
    from imageforge.config import load_repository  # noqa: PLC0415

    return load_repository(folder)


def _dockerfile_of(folder: Path, config: RepositoryConfig) -> Path:
    build = config.build
    if build.dockerfile:
        return folder / build.dockerfile
    return (folder / build.context if build.context else folder) / "Dockerfile"


class Configs:
    """What the folders say that files lie in: the nearest file above, not beyond the repository or this folder."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Path, RepositoryConfig] | None] = {}

    def of(self, path: Path) -> tuple[Path, RepositoryConfig] | None:
        """The folder that a file is told about by, and what it is told."""
        return self._at(Path() if str(path) == STDIN else path.parent)

    def _at(self, folder: Path) -> tuple[Path, RepositoryConfig] | None:
        real = folder.resolve()
        if real not in self._known:
            self._known[real] = self._look(folder, real)
        return self._known[real]

    def _look(self, folder: Path, real: Path) -> tuple[Path, RepositoryConfig] | None:
        if any((real / name).is_file() for name in CONFIGS):
            config = _load(folder)
            if (real / CONFIGS[0]).is_file() or "lint" in config.model_fields_set:
                return folder, config
        top = real in (Path.cwd(), real.parent) or (real / ".git").exists()
        return None if top else self._at(folder.parent if folder.name not in ("", "..") else folder / "..")


def job_of(path: Path, name: str, text: str | None, asked: Asked, configs: Configs) -> Job:
    """What is checked of one file."""
    found = configs.of(path)
    policy, target, context, build_args = Policy(), None, path.parent, {}
    if found is not None:
        folder, config = found
        policy = config.lint.policy()
        if text is None and _same(path, _dockerfile_of(folder, config)):
            target, build_args = config.build.target, dict(config.build.args)
            context = folder / config.build.context if config.build.context else folder
    policy = replace(policy, profile=asked.profile or policy.profile, comments=policy.comments and asked.comments)
    return Job(
        dockerfile=path,
        name=name,
        text=text,
        context=asked.context or (None if text is not None else context),
        target=asked.target or target,
        build_args={**build_args, **asked.build_args},
        policy=policy,
    )


def _same(one: Path, other: Path) -> bool:
    return one == other or one.resolve() == other.resolve()
