"""The build context and the Dockerfile, checked before anything is started."""

from __future__ import annotations

from pathlib import Path

from builders.errors import ContextError


def check_context(context: Path, dockerfile: Path) -> None:
    """Raises ContextError: `context-missing`, `context-not-a-directory`, `dockerfile-missing`."""
    if not context.exists():
        raise ContextError("context-missing", str(context), "there is no such folder", hint="check the path")
    if not context.is_dir():
        raise ContextError(
            "context-not-a-directory", str(context), "expected a folder", hint="name the folder; -f a file"
        )
    if not dockerfile.is_file():
        raise ContextError("dockerfile-missing", str(dockerfile), "there is no such file", hint=_candidates(context))


def _candidates(context: Path) -> str:
    found = sorted(
        {
            str(path.relative_to(context))
            for pattern in ("*Dockerfile*", "Containerfile", "*/Dockerfile")
            for path in context.glob(pattern)
            if path.is_file() and path.suffix != ".dockerignore"
        }
    )
    if found:
        return f"found in the context: {', '.join(found[:5])}; name one with -f"
    return "write a Dockerfile, or name one with -f"
