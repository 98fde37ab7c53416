"""The supervisor's process: ``python -m imageforge.stack.supervise``; `up` starts it, detached or in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from imageforge.config import Home, load_settings
from imageforge.stack.catalog import services
from imageforge.stack.edition import edition
from imageforge.stack.process import identify, write_pid_file
from imageforge.stack.state import exclusive, supervisor_pid_file
from imageforge.stack.supervisor import Supervisor, install_signals

log = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM, or until SIGUSR1, which leaves everything to the next supervisor. On the descriptor given
    with --tell, one line a service that became ready, then ``ready``; or ``failed`` and the reason, after which
    everything it started is stopped again. Where it has adopted services of an earlier supervisor, it stays and goes on
    trying, after ``trouble`` and the reason."""
    parser = argparse.ArgumentParser(prog="imageforge.stack.supervise")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--foreground", action="store_true", help="somebody starts the next one when this one ends")
    parser.add_argument("--tell", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    home = Home(arguments.home)
    tell = os.fdopen(arguments.tell, "w", buffering=1)
    with exclusive(home.run / "supervisor.lock") as lock:
        if lock is None:
            tell.write("failed another supervisor runs in this home\n")
            return 1
        identity = identify(os.getpid())
        assert identity is not None
        write_pid_file(supervisor_pid_file(home), identity, edition=edition())
        chosen = services(home, load_settings(home.settings_file), engine=arguments.engine, private=arguments.private)
        supervisor = Supervisor(
            home,
            chosen,
            engine=arguments.engine,
            engine_origin=arguments.origin,
            edition=edition(),
            foreground=arguments.foreground,
        )
        install_signals(supervisor)
        waiting = {service.name for service in chosen}
        failures: list[str] = []

        def say(line: str) -> None:
            if not tell.closed:
                try:
                    tell.write(f"{line}\n")
                except BrokenPipeError:
                    tell.close()

        def announce(name: str) -> None:
            waiting.discard(name)
            say(f"up {name}")
            if not waiting and not tell.closed:
                say("ready")
                tell.close()

        def first_failure(reason: str) -> None:
            if supervisor.adopting:
                # What runs already is not given up for one that does not start: it is tried again.
                say(f"trouble {reason}")
                tell.close()
                return
            failures.append(reason)
            supervisor.ask_to_stop()

        supervisor.run(announce=announce, first_failure=first_failure)
        _end(supervisor, failed=bool(failures))
        supervisor_pid_file(home).unlink(missing_ok=True)
        if failures:
            say(f"failed {failures[0]}")
            return 1
    return 0


def _end(supervisor: Supervisor, *, failed: bool) -> None:
    if supervisor.leaving:
        log.info("everything is left to the next supervisor")
    elif failed:
        supervisor.stop_started()
    else:
        supervisor.stop_all()


if __name__ == "__main__":
    sys.exit(main())
