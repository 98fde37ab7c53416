"""Every test, in several runs at once: ``python -m tests.both [PYTEST OPTIONS]``.

What needs an engine waits most of its time for containers. So it runs in two halves, each in a sandbox with an engine
of its own, and what needs none runs beside them. Where an engine answers there is one run: two would be in each other's
way. The output of all but the first comes afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.sandbox import SHARED, engine_answers

PATIENCE = 180.0
"""Seconds that each may take to end in order."""
NEEDS_ENGINE, NEEDS_NONE = "engine and not soak", "not engine and not soak"
HERE = Path(__file__).parent
WHOLE = HERE / "e2e"
RUNTIME = HERE / "runtime"


def halves() -> tuple[list[str], list[str]]:
    """The end to end tests file by file in turn, as they take the longest; the runtime's with the second half, and all
    the others with the first."""
    files = sorted(WHOLE.glob("test_*.py"))
    folders = sorted(folder for folder in HERE.iterdir() if (folder / "__init__.py").exists())
    others = [folder for folder in folders if folder not in (WHOLE, RUNTIME)]
    return [str(path) for path in (*files[::2], *others)], [str(path) for path in (*files[1::2], RUNTIME)]


def main(options: Sequence[str]) -> int:
    """Gives 0 where all runs passed."""
    sandbox = [sys.executable, "-m", "tests.sandbox", *options, "-m", NEEDS_ENGINE]
    commands = [sandbox] if engine_answers() else [[*sandbox, *half] for half in halves()]
    commands.append([sys.executable, "-m", "pytest", *options, "-m", NEEDS_NONE])
    runs: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        shared = {**os.environ, SHARED: folder, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        outputs = [Path(folder) / str(number) for number in range(1, len(commands))]
        try:
            runs.append(subprocess.Popen(commands[0], env=shared))
            for command, output in zip(commands[1:], outputs, strict=True):
                with output.open("wb") as handle:
                    runs.append(subprocess.Popen(command, stdout=handle, stderr=subprocess.STDOUT, env=shared))
            codes = [run.wait() for run in runs]
        except BaseException:
            # They take their namespaces and engines down, and are not to be killed at that.
            for run in runs:
                run.send_signal(signal.SIGINT)
            for run in runs:
                run.wait(PATIENCE)
            raise
        for command, output in zip(commands[1:], outputs, strict=True):
            what = "the other half" if "tests.sandbox" in command else "what needs no engine"
            sys.stdout.write(f"\n{what}:\n{output.read_text(errors='replace')}")
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
