"""The API's process: ``python -m imageforge.api --home HOME``; started by the supervisor."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from pathlib import Path
from typing import Any

import uvicorn

from imageforge.api.app import create_app
from imageforge.api.server import Server
from imageforge.config import Home, load_settings
from imageforge.stack.takeover import inherited_listener

GRACE_SECONDS = 5
"""How long requests may go on after SIGTERM; a reader of events would otherwise hold up `down` for a whole build."""
COLLECT = (20_000, 50, 100)
"""Objects made, and the collections of the younger ones, before a collection (`gc.set_threshold`)."""
OPTIONS: dict[str, Any] = {
    "access_log": False,
    "log_level": "warning",
    "server_header": False,
    # Everybody who gets here comes from this machine, and could name another address for each guess of a token.
    "proxy_headers": False,
    # The options of an upload come in its query: 65,536 characters, of up to twelve bytes each as they are sent. With
    # uvicorn's 64 KiB a longer one would be refused before it gets here, and not as a problem.
    "http": "h11",
    "h11_max_incomplete_event_size": 1024 * 1024,
    "timeout_graceful_shutdown": GRACE_SECONDS,
}


def _settle_memory() -> None:
    """What is there once the program has started stays: the collector, which stops every thread while it looks, does
    not look at it again, and looks more seldom at what comes and goes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="imageforge.api")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = Home(arguments.home)
    settings = load_settings(home.settings_file)
    config = uvicorn.Config(create_app(home, settings), host="127.0.0.1", port=settings.api_port, **OPTIONS)
    listener = inherited_listener()
    _settle_memory()
    server = Server(config)
    server.run(sockets=[listener] if listener else None)
    if not server.started:
        sys.exit(3)  # as `uvicorn.run` does: the port, or the start of the application


if __name__ == "__main__":
    main()
