"""Why a build failed, from what BuildKit printed: pure, from the parsed progress to one error."""

from __future__ import annotations

import re
from pathlib import Path

from builders.buildkit.progress import TAIL_LINES, ProgressParser, Step
from builders.engine.connection import is_disk_full
from builders.errors import BuilderError, ContextError, DiskFull, StepFailed
from builders.instructions import find_image, find_step, syntax_line

_EXIT_CODE = re.compile(r"exit code:? (?P<code>\d+)")
_PARSE_ERROR = re.compile(r"(?:dockerfile )?parse error(?: on)? line (?P<line>\d+):? (?P<why>.*)")
_PRINTED_LINE = re.compile(r"(?P<name>\S+):(?P<line>\d+)")
_NOT_FOUND = re.compile(r'"(?P<path>/[^"]*)":? not found|lstat (?P<lstat>\S+): no such file')
_INSIDE_ENGINE = re.compile(r"/.*/(?:merged|diff)(?=/)")  # where an engine keeps the tree that COPY --from reads
_NO_TARGET = re.compile(r"target stage (?P<name>\S+) could not be found|failed to reach build target (?P<other>\S+)")
_METADATA = "[internal] load metadata for "
_RESOLVE = "resolve image config for "
_BROKE_OFF = re.compile(r"did not provide an image ID|error reading from server|transport is closing")
_REFUSED = re.compile(r"\b(40[13]|[Uu]nauthorized|[Ff]orbidden|denied|authorization failed|no basic auth)\b")


def broke_off(parser: ProgressParser) -> bool:
    """Whether the client's own last words are that its engine ended in the middle. Asking the engine is not enough: one
    that is watched has been started again before it is asked."""
    return parser.failed is None and _BROKE_OFF.search("\n".join(parser.summary)) is not None


def explain(parser: ProgressParser, *, dockerfile: Path, exit_code: int) -> BuilderError:
    """The error for a build whose client ended with `exit_code`. The Dockerfile is read to find the line."""
    text = _read(dockerfile)
    step = parser.failed
    said = "\n".join([*parser.summary, *(step.tail if step else ()), (step.error or "") if step else ""])
    if is_disk_full(said):
        return DiskFull(
            "disk-full",
            _where(dockerfile, text, step, parser),
            "no space is left on the engine's disk",
            hint="free some (`docker system df` shows what is used), then build again",
        )
    if unusable := _dockerfile_unusable(said, dockerfile):
        return unusable
    if step is not None and step.name.startswith((_METADATA, _RESOLVE)):
        return _no_image(step, dockerfile, text)
    if step is None or step.name.startswith("[internal]"):
        return _unexplained(parser, dockerfile, exit_code, (step.error or "") if step else "")
    return _step_failed(parser, step, dockerfile, text)


def _dockerfile_unusable(said: str, dockerfile: Path) -> ContextError | None:
    if match := _PARSE_ERROR.search(said):
        return ContextError("dockerfile-invalid", f"{dockerfile.name}:{match['line']}", match["why"].strip())
    if match := _NO_TARGET.search(said):
        name = (match["name"] or match["other"]).strip('":')
        return ContextError("target-missing", dockerfile.name, f"it has no stage named {name}")
    return None


def _step_failed(parser: ProgressParser, step: Step, dockerfile: Path, text: str) -> BuilderError:
    where = _where(dockerfile, text, step, parser)
    command = step.name.partition("] ")[2] or step.name
    error = step.error or ""
    if code := _EXIT_CODE.search(error):
        tail = "\n".join(f"    {line}" for line in step.tail)
        said = f"; it last said:\n{tail}" if tail else ", and said nothing"
        return StepFailed(
            "build-step-failed",
            where,
            f"`{command}` ended with exit code {code['code']}{said}",
            hint=_exit_hint(int(code["code"])),
        )
    if missing := _NOT_FOUND.search(error):
        path = _INSIDE_ENGINE.sub("", missing["path"] or missing["lstat"])
        if "--from=" in command:
            return StepFailed("build-step-failed", where, f"`{command}`: {path} is not in what it copies from")
        return StepFailed(
            "build-step-failed",
            where,
            f"`{command}`: {path.lstrip('/')} is not in the build context",
            hint="paths count from the context's root; .dockerignore may leave it out",
        )
    return StepFailed("build-step-failed", where, f"`{command}`: {error}")


def _exit_hint(code: int) -> str:
    if code == 127:
        return "exit code 127: the command was not found in the image"
    if code == 126:
        return "exit code 126: the file is there and cannot be executed"
    if code == 137:
        return "exit code 137: the process was killed, mostly for want of memory"
    return "--verbose shows all that every step wrote"


def _no_image(step: Step, dockerfile: Path, text: str) -> BuilderError:
    image = step.name.removeprefix(_METADATA).removeprefix(_RESOLVE)
    if step.name.startswith(_RESOLVE):
        line = syntax_line(text)
    else:
        found = find_image(text, image)
        line = found.line if found else None
    where = f"{dockerfile.name}:{line}" if line else dockerfile.name
    return StepFailed(
        "image-unavailable",
        where,
        f"the image {image} is neither in the engine nor to be had from its registry: {step.error}",
        hint=(
            "if it is private, its registry asks for a login: `imageforge secret set APP HOST --for registry`"
            if _REFUSED.search(step.error or "")
            else "load or build it first, or name one that this engine can reach"
        ),
    )


def _unexplained(parser: ProgressParser, dockerfile: Path, exit_code: int, error: str = "") -> BuilderError:
    tail = parser.summary[-TAIL_LINES:]
    said = error or "\n".join(tail) or "it said nothing"
    return StepFailed("build-failed", str(dockerfile), f"the client ended with exit code {exit_code}: {said}")


def _where(dockerfile: Path, text: str, step: Step | None, parser: ProgressParser) -> str:
    """``Dockerfile:12`` where the line is known. Newer BuildKits print it in the summary."""
    for line in parser.summary:
        printed = _PRINTED_LINE.fullmatch(line.strip())
        if printed and printed["name"] == dockerfile.name:
            return f"{dockerfile.name}:{printed['line']}"
    found = find_step(text, step.name) if step else None
    return f"{dockerfile.name}:{found.line}" if found else dockerfile.name


def _read(dockerfile: Path) -> str:
    try:
        return dockerfile.read_text(errors="replace")
    except OSError:
        return ""
