"""The linter beside hadolint: a file's own rules, one small file, a hundred files, and the help.

BENCH_DOCKERFILES is a folder of Dockerfiles, of which a hundred are taken at equal distances; without one they are the
examples of the rules' pages, which are smaller than what people write.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.pairs import Pair, measure
from linters import DockerfileError, rules
from linters.check import Job, own_findings
from linters.hadolint import answers, find_hadolint
from linters.policy import Profile

COUNT = 100
ROUNDS = 7
SMALL = """\
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
COPY app /app
USER 10001
CMD ["/app"]
"""
ALWAYS: tuple[int, ...] = (0, 1, 2, 3)
"""Exit codes of a linter that did its work: something is found in nearly every file, and one or the other is none."""


def lint_figures() -> tuple[list[Figure], list[Pair]]:
    """Figures of our own, and pairs with hadolint as it comes."""
    with tempfile.TemporaryDirectory(prefix="imageforge-bench-") as folder:
        files, of = _files(Path(folder))
        (Path(folder) / "small").mkdir()
        small = Path(folder) / "small" / "Dockerfile"
        small.write_text(SMALL)
        imageforge, hadolint = Path(sys.executable).with_name("imageforge"), find_hadolint()

        def ours(*words: str | Path) -> Callable[[], None]:
            return _command(Path(folder), imageforge, "--quiet", *words)

        def theirs(*words: str | Path) -> Callable[[], None]:
            return _command(Path(folder), hadolint, "--no-color", "-f", "json", *words)

        name = f"lint, {len(files)} files"
        pairs = [
            measure(name, "hadolint, one call", ours("lint", *files), theirs(*files), rounds=ROUNDS),
            measure("lint, a small file", "hadolint", ours("lint", small), theirs(small), rounds=3 * ROUNDS),
        ]
        texts = [(file.read_text(encoding="utf-8", errors="replace"), Profile.DEFAULT) for file in files]
        alone = "hadolint, a process a core"  # without us: what is left to be had of two cores
        pairs.append(measure(alone, "hadolint, one call", lambda: _answered(texts), theirs(*files), rounds=ROUNDS))
        own, slowest = _own_rules(files)
        one = pairs[1]
        figures = [
            Figure(name="own rules, a file", value=f"{own * 1e3:.2f} ms, the slowest {slowest * 1e3:.0f}", of=of),
            Figure(name="hadolint, a file", value=f"{_alone(files, hadolint) * 1e3:.0f} ms", of=of),
            Figure(name="lint, beyond hadolint", value=f"{(one.ours - one.theirs) * 1e3:.0f} ms", of="one small file"),
            Figure(name="imageforge --help", value=f"{_median(ours('--help')) * 1e3:.0f} ms", of=f"{3 * ROUNDS} calls"),
        ]
        return figures, pairs


def _files(folder: Path) -> tuple[list[Path], str]:
    """A hundred files with names of our own, for hadolint takes options out of others, and what they are."""
    given = os.environ.get("BENCH_DOCKERFILES")
    if given:
        found = [path for path in sorted(Path(given).rglob("*")) if _is_dockerfile(path)]
        texts = [found[at * len(found) // COUNT].read_bytes() for at in range(COUNT)] if len(found) > COUNT else [
            path.read_bytes() for path in found
        ]  # fmt: skip
        of = f"{len(texts)} of {len(found)} Dockerfiles"
    else:
        examples = [text for rule in rules() for text in re.findall(r"```dockerfile\n(.*?)```", rule.page, re.DOTALL)]
        texts = [examples[at % len(examples)].encode() for at in range(COUNT)]
        of = "the pages' examples"
    files = []
    for number, text in enumerate(texts):
        file = folder / f"{number:03}.Dockerfile"
        file.write_bytes(text)
        files.append(file)
    return files, of


def _is_dockerfile(path: Path) -> bool:
    named = path.name in ("Dockerfile", "Containerfile") or path.suffix == ".Dockerfile"
    return (named or path.name.startswith("Dockerfile.")) and path.suffix != ".dockerignore" and path.is_file()


def _command(folder: Path, program: Path, *words: str | Path) -> Callable[[], None]:
    # Compiled modules are kept, as they are where it is installed.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ = {**kept, "IMAGEFORGE_HOME": str(folder / "home")}

    def run() -> None:
        done = subprocess.run(
            [str(program), *map(str, words)], cwd=folder, env=environ, capture_output=True, check=False
        )
        assert done.returncode in ALWAYS, done.stderr.decode(errors="replace")[-2000:]

    return run


def _answered(texts: list[tuple[str, Profile]]) -> None:
    assert len(answers(texts)) == len(texts)


def _own_rules(files: list[Path]) -> tuple[float, float]:
    """Seconds of parser, model and our own rules: the median file's and the slowest one's, each the best of three."""
    costs = []
    for file in files:
        job = Job(dockerfile=file, name=file.name, text=file.read_text(encoding="utf-8", errors="replace"))
        best = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            try:
                own_findings(replace(job))
            except DockerfileError:
                continue
            best = min(best, time.perf_counter() - began)
        costs.append(best)
    known = [cost for cost in costs if cost != float("inf")]
    return statistics.median(known), max(known)


def _alone(files: list[Path], hadolint: Path) -> float:
    """The median of hadolint's seconds for a file, a call each."""
    return statistics.median(_median(_command(file.parent, hadolint, "-f", "json", file), 1) for file in files)


def _median(run: Callable[[], None], rounds: int = 3 * ROUNDS) -> float:
    """The median of a command's seconds."""
    if rounds > 1:
        run()

    def seconds() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return statistics.median(seconds() for _ in range(rounds))
