"""Every test, in two runs at once: ``python -m tests.both [PYTEST ARGUMENTS]``.

What needs an engine waits most of its time for containers, so what needs none has a core meanwhile. Its output comes
afterwards.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

PATIENCE = 180.0
"""Seconds that either may take to end in order."""
NEEDS_ENGINE, NEEDS_NONE = "engine and not soak", "not engine and not soak"


def main(arguments: Sequence[str]) -> int:
    """Gives 0 where both runs passed."""
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", "pytest", *arguments, "-m", NEEDS_NONE]
        unit = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        engine = subprocess.Popen([sys.executable, "-m", "tests.sandbox", *arguments, "-m", NEEDS_ENGINE])
        try:
            codes = engine.wait(), unit.wait()
        except BaseException:
            # It takes its namespace and its engine down, and is not to be killed at that.
            engine.send_signal(signal.SIGINT)
            unit.terminate()
            engine.wait(PATIENCE)
            unit.wait(PATIENCE)
            raise
        output.seek(0)
        sys.stdout.write("\nwhat needs no engine:\n" + output.read())
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
