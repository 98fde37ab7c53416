"""The hosts and certificates of the running HAProxy, brought to what is wanted without a reload.

A reload ends, a minute later, whatever every application has in flight; so what can be said to the running process is
said to it. The files hold the same, for its next start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from runtime.balancer.config import CERTIFICATES, HOSTS_MAP, Backend, beside, keys_folder
from runtime.balancer.keyring import Entry, Ring
from runtime.balancer.lists import (
    LARGEST_COMMAND,
    Command,
    Line,
    certificates_in_step,
    load_commands,
    map_commands,
    missing_certificates,
    parse_certificates,
    parse_map,
    parse_stores,
    retire_commands,
    serve_command,
)
from runtime.balancer.socket import CommandSocket
from runtime.errors import BalancerError
from runtime.settings import RuntimeSettings

log = logging.getLogger(__name__)


class LiveLists:
    """What the running process holds of the lists. The balancer's lock guards it."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._worker = CommandSocket(settings.balancer_socket)
        self._folder = str(keys_folder(settings))

    def sync(self, backends: Sequence[Backend], ring: Ring) -> None:
        """Bring a process, whose structure is the wanted one, to these hosts and certificates.

        Raises BalancerError: `balancer-refused` where it would not take a change or is not as wanted after it, which a
        reload puts right; `balancer-unreachable`. A certificate comes before its hosts are led to it, and goes after.
        """
        if self._settings.public:
            self._serve_certificates(ring.entries)
        for name, text in beside(self._settings, backends, ring).items():
            # Without a backend there is no rule that looks into the map, so HAProxy has none.
            if name not in (HOSTS_MAP, CERTIFICATES) or (name == HOSTS_MAP and backends):
                self._sync_map(name, text)
        if self._settings.public:
            self._retire_certificates(ring.entries)

    def _sync_map(self, name: str, text: str) -> None:
        wanted, there = parse_map(text), self._map(name)
        if sorted(wanted) == sorted(there):
            return
        log.info("hosts change", extra={"map": name})
        for command in map_commands(name, wanted, there):
            self._carry_out(command)
        _expect(sorted(wanted) == sorted(self._map(name)), name)

    def _map(self, name: str) -> tuple[tuple[str, str], ...]:
        answer = self._worker.ask(f"show map {name}")
        if answer.startswith("Unknown map"):
            raise BalancerError("balancer-refused", f"show map {name}", f"HAProxy answered: {answer}")
        return parse_map(answer)

    def _serve_certificates(self, wanted: Sequence[Entry]) -> None:
        there = self._certificates()
        for entry in missing_certificates(self._folder, wanted, there):
            path = f"{self._folder}/{entry.file}"
            log.info("certificate comes", extra={"file": entry.file})
            if all(line.path != path for line in there):
                self._load(path, entry)
            self._carry_out(serve_command(CERTIFICATES, entry))

    def _retire_certificates(self, wanted: Sequence[Entry]) -> None:
        there = self._certificates()
        if certificates_in_step(self._folder, wanted, there):
            return
        log.info("certificates go")
        for command in retire_commands(CERTIFICATES, self._folder, wanted, there):
            self._carry_out(command)
        _expect(certificates_in_step(self._folder, wanted, self._certificates()), CERTIFICATES)

    def _load(self, path: str, entry: Entry) -> None:
        try:
            pem = (keys_folder(self._settings) / entry.file).read_bytes()
        except OSError as error:
            raise BalancerError("balancer-refused", path, f"the copy cannot be read: {error.strerror}") from error
        for command in load_commands(path, pem, *parse_stores(self._worker.ask("show ssl cert"))):
            self._carry_out(command)

    def _certificates(self) -> tuple[Line, ...]:
        return parse_certificates(self._worker.ask(f"show ssl crt-list -n {CERTIFICATES}"))

    def _carry_out(self, command: Command) -> None:
        if len(command.line) + len(command.payload) > LARGEST_COMMAND:
            raise BalancerError("balancer-refused", command.line, f"it is longer than {LARGEST_COMMAND} bytes")
        answer = self._worker.ask(f"{command.line} <<\n{command.payload}" if command.payload else command.line)
        if (command.answer not in answer) if command.answer else answer:
            raise BalancerError("balancer-refused", command.line, f"HAProxy answered: {answer or 'nothing'}")


def _expect(in_step: bool, name: str) -> None:
    if not in_step:
        raise BalancerError("balancer-refused", name, "HAProxy took each change, and shows another list than asked for")
