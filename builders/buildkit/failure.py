"""Why a build failed, from what BuildKit said: pure, from the text to the error."""

from __future__ import annotations

import re
from pathlib import Path

from builders.buildkit.progress import ProgressReader, Step
from builders.errors import BuilderError, ContextError, DiskFull, EngineError, StepFailed
from builders.locate import Endpoint

SHOWN_LINES = 15
_EXIT = re.compile(r"(?:did not complete successfully|returned a non-zero code|exit code): ?(?:exit code: )?(\d+)")
_NOT_FOUND = re.compile(r'"([^"]+)"(?:: not found| not found)')
_PREAMBLE = re.compile(
    r"^(ERROR: |error: )?(failed to solve(?: with frontend \S+)?: )?(rpc error: code = \w+ desc = )?"
)
_LOST = (
    "Cannot connect to the Docker daemon",
    "unexpected EOF",
    "connection refused",
    "error reading from server: EOF",
)


def explain(reader: ProgressReader, *, dockerfile: Path, shown: str, endpoint: Endpoint) -> BuilderError:
    """The error that a failed build is."""
    step = reader.failed
    everything = "\n".join([*(step.lines if step else ()), step.error if step else "", *reader.rest])
    if "no space left on device" in everything:
        return DiskFull(
            "disk-full",
            "the engine's disk",
            f"no space left{f' in step {step.name}' if step else ''}",
            hint="make room: `docker system df` shows what takes it, `docker builder prune` frees old cache",
        )
    if step is None or not step.name.startswith("["):
        return _without_step(everything, shown, endpoint)
    if any(sign in step.error for sign in _LOST):
        return _engine_lost(step.error, endpoint)
    missing = _NOT_FOUND.search(step.error)
    line = line_of(step.name, dockerfile)
    where = f"{shown}:{line}" if line else shown
    if missing and _instruction(step).startswith(("COPY", "ADD")):
        return ContextError(
            "copy-source-missing",
            where,
            f"{missing[1]} is not in the build context: {_instruction(step)}",
            hint="check the path, which is relative to the context, and the .dockerignore that may leave it out",
        )
    return _step_failed(step, where)


def _step_failed(step: Step, where: str) -> StepFailed:
    code = _EXIT.search(step.error)
    ended = f"ended with exit code {code[1]}" if code else f"failed: {step.error}"
    tail = [line for line in step.lines if line.strip()][-SHOWN_LINES:]
    said = "".join(f"\n    | {line}" for line in tail)
    return StepFailed(
        "build-step-failed",
        where,
        f"{_instruction(step)} {ended}{said}",
        hint="run it again with --verbose for the whole output of every step",
    )


def _without_step(everything: str, shown: str, endpoint: Endpoint) -> BuilderError:
    last = next((line for line in reversed(everything.splitlines()) if line.strip()), "it said nothing")
    last = re.sub(
        r"^(ERROR: |error: )?(failed to solve(?: with frontend \S+)?: )?(rpc error: code = \w+ desc = )?", "", last
    )
    if any(sign in everything for sign in _LOST):
        return _engine_lost(last, endpoint)
    line = re.search(r"[Dd]ockerfile parse error(?: on)? line (\d+): (.*)", everything)
    if line:
        return ContextError(
            "dockerfile-syntax", f"{shown}:{line[1]}", line[2], hint="mend the line; imageforge lint says more"
        )
    return StepFailed("build-failed", shown, last, hint="run it again with --verbose")


def _engine_lost(reason: str, endpoint: Endpoint) -> EngineError:
    return EngineError(
        "engine-lost",
        endpoint.host,
        f"the engine ended or broke off during the build: {reason}",
        hint="imageforge doctor; the engine's own log says why",
    )


def _instruction(step: Step) -> str:
    """The step without its ``[stage 2/5]``."""
    return step.name.partition("] ")[2] or step.name


def line_of(step_name: str, dockerfile: Path) -> int | None:
    """The line where a step's instruction begins: BuildKit titles a step by its instruction, joined to one line with
    blanks folded; older ones do not tell the line."""
    wanted = _fold(step_name.partition("] ")[2])
    try:
        lines = dockerfile.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            joined = _fold(_joined(lines[number - 1 :]))
            if joined == wanted or (joined.startswith(wanted) and wanted):
                return number
    first = wanted.split("$")[0]
    return next((n for n, line in enumerate(lines, 1) if first and _fold(line).startswith(first[:30])), None)


def _joined(lines: list[str]) -> str:
    """One instruction with its continuation lines."""
    parts: list[str] = []
    for line in lines:
        if parts and line.lstrip().startswith("#"):
            continue
        text = line.rstrip()
        parts.append(text.removesuffix("\\"))
        if not text.endswith("\\"):
            break
    return "".join(parts)


def _fold(text: str) -> str:
    return " ".join(text.split())
