"""The program of a hook where no runner answers: ``python -m imageforge.git_remote HOOK``, in the repository."""

from __future__ import annotations

import os
import sys

from imageforge.git_remote.program import run_hook

if __name__ == "__main__":
    sys.exit(run_hook(sys.argv[1], holder=os.getppid()))
