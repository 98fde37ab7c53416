"""The program of a hook where no runner answers: ``python -m imageforge.git_remote HOOK``, in the repository."""

from __future__ import annotations

import os
import sys

from imageforge.git_remote.program import run_hook, server_ended

if __name__ == "__main__":
    # No runner tells when the service stops, so it is seen by the process that the pusher is told through.
    sys.exit(run_hook(sys.argv[1], holder=os.getppid(), stopping=server_ended))
