"""The build context and the Dockerfile: there, and of the right kind, before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

from builders.errors import ContextError
from builders.instructions import instructions, syntax_line

_SEARCH_DEPTH = 2  # folders below the context in which a Dockerfile is suggested
_SKIPPED = frozenset({".git", "node_modules", ".venv", "__pycache__"})
_SUGGESTIONS = 5


def check_context(context: Path, dockerfile: Path) -> tuple[Path, Path]:
    """Both as absolute paths. `dockerfile`, where relative, is looked for in the context first and then in the working
    directory; it may lie outside the context. Raises ContextError."""
    if not context.exists():
        raise ContextError("context-missing", str(context), "the build context does not exist")
    if not context.is_dir():
        raise ContextError(
            "context-not-a-directory",
            str(context),
            "the build context is a file; a directory was expected",
            hint=f"name the directory: {context.absolute().parent}",
        )
    if not os.access(context, os.R_OK | os.X_OK):
        raise ContextError("context-unreadable", str(context), "this user may not read the build context")
    root = context.resolve()
    found = _find_dockerfile(root, dockerfile)
    _check_stages(found)
    return root, found


def _find_dockerfile(root: Path, dockerfile: Path) -> Path:
    for candidate in (root / dockerfile, dockerfile.absolute()):
        if candidate.is_file():
            if not os.access(candidate, os.R_OK):
                raise ContextError("dockerfile-unreadable", str(candidate), "this user may not read the Dockerfile")
            return candidate.resolve()
    if (root / dockerfile).is_dir():
        raise ContextError("dockerfile-missing", str(root / dockerfile), "it is a directory; a Dockerfile was expected")
    found = candidates(root)
    raise ContextError(
        "dockerfile-missing",
        str(root / dockerfile),
        "there is no Dockerfile of that name",
        hint=f"found {', '.join(found)}: name one of them" if found else "write one, or name another context",
    )


def _check_stages(dockerfile: Path) -> None:
    """Refuses a Dockerfile without any FROM: BuildKit in engines of 20.10 does not check, and takes the whole engine
    down with it (index out of range in dockerfile2llb). A frontend named by ``# syntax=`` runs apart from the engine,
    and may have another grammar."""
    text = dockerfile.read_text(errors="replace")
    if syntax_line(text) or any(item.keyword == "FROM" for item in instructions(text)):
        return
    raise ContextError(
        "dockerfile-invalid",
        str(dockerfile),
        "it has no FROM, so there is nothing to build",
        hint="begin with FROM and a base image, or FROM scratch",
    )


def candidates(root: Path) -> list[str]:
    """Files in and near `root` that look like Dockerfiles, as paths relative to it, the nearest first; at most five."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if name not in _SKIPPED) if len(here.parts) < _SEARCH_DEPTH else []
        found += [here / name for name in files if _looks_like_dockerfile(name)]
    return [str(path) for path in sorted(found, key=lambda path: (len(path.parts), str(path)))[:_SUGGESTIONS]]


def _looks_like_dockerfile(name: str) -> bool:
    lowered = name.lower()
    if lowered.endswith(".dockerignore"):
        return False
    return lowered.startswith(("dockerfile", "containerfile")) or lowered.endswith((".dockerfile", ".containerfile"))
