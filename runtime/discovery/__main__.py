"""``python -m runtime.discovery --settings FILE``: the resolver, as a process."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from runtime.discovery.resolver import run_resolver
from runtime.errors import RuntimeFailure
from runtime.settings import RuntimeSettings


def main(arguments: list[str] | None = None) -> int:
    """Run it until it is told to end; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runtime.discovery", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="RuntimeSettings as JSON")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run_resolver(RuntimeSettings.from_json(options.settings.read_text()))
    except RuntimeFailure as failure:
        sys.stderr.write(f"error[{failure.code}]: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
