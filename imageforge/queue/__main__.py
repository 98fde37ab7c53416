"""A worker's process: ``python -m imageforge.queue --home HOME``; the supervisor starts as many as may run at once."""

from __future__ import annotations

import argparse
import gc
import logging
import os
from pathlib import Path

from imageforge.config import Home
from imageforge.queue import job, wake

NICE = 10
"""What a build leaves to others who want the processors: a delivery is answered first, and applications serve first."""


def main() -> None:
    """Wait for builds and carry them out, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="imageforge.queue")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--sign", type=Path, required=True, help="the file to write our pid to once we wait for builds")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A job names its function only; what it works on is this worker's home.
    os.environ["IMAGEFORGE_HOME"] = str(arguments.home)
    os.nice(NICE)
    job.warm()
    # What each build is forked with is no garbage: its collector need not go through it, nor copy its pages.
    gc.freeze()
    assert job.work.__name__ == wake.JOB.rpartition(".")[2]
    wake.serve(Home(arguments.home).redis_socket, arguments.sign)


if __name__ == "__main__":
    main()
