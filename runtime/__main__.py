"""``python -m runtime controller --settings FILE``: the controller's process."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from runtime.controller import Controller
from runtime.purge import purge
from runtime.server import ControlServer
from runtime.settings import RuntimeSettings

log = logging.getLogger("runtime")


def main() -> int:
    """Exit code 1 where another controller runs."""
    parser = argparse.ArgumentParser(prog="runtime")
    parser.add_argument("what", choices=("controller", "purge"))
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = RuntimeSettings.from_json(arguments.settings.read_text())
    with settings.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.error("another controller of instance %s runs", settings.instance)
            return 1
        if arguments.what == "purge":
            log.info("removed %s containers", purge(settings))
            return 0
        _serve(settings)
    return 0


def _serve(settings: RuntimeSettings) -> None:
    controller = Controller(settings, pid=os.getpid())
    server = ControlServer(settings.socket, controller)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: controller.stop())
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    controller.run()
    server.shutdown()
    server.server_close()
    settings.socket.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
