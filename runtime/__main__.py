"""``python -m runtime controller|purge --settings FILE``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from runtime.errors import RuntimeFailure
from runtime.instance import purge, run_controller
from runtime.settings import RuntimeSettings

_EXIT = {"failed": 1, "refused": 2, "usage": 3, "environment": 4}


class _Fields(logging.Formatter):
    """A constant text, then the fields of `extra`."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in self._OWN)
        return super().format(record) + (f" {fields}" if fields else "")


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runtime", description=__doc__)
    parser.add_argument("command", choices=("controller", "purge"))
    parser.add_argument("--settings", type=Path, required=True, help="RuntimeSettings as JSON")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_Fields("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, handlers=[handler])
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger("docker").setLevel(logging.WARNING)
    try:
        settings = RuntimeSettings.from_json(options.settings.read_text())
        if options.command == "controller":
            run_controller(settings)
        else:
            sys.stdout.write(f"{purge(settings)} containers removed\n")
    except RuntimeFailure as failure:
        sys.stderr.write(f"error[{failure.code}]: {failure}\n" + (f"  hint: {failure.hint}\n" if failure.hint else ""))
        return _EXIT[failure.kind]
    return 0


if __name__ == "__main__":
    sys.exit(main())
