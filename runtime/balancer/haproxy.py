"""HAProxy's runtime API over its Unix sockets: commands in, text out."""

from __future__ import annotations

import csv
import io
import socket
import subprocess
import time
from pathlib import Path

from runtime.errors import BalancerError

TIMEOUT = 5.0
RELOAD_SECONDS = 10.0
DELETE_TRIES = 20
DELETE_PAUSE = 0.05


class HAProxy:
    """One HAProxy in master-worker mode."""

    def __init__(self, runtime_socket: Path, master_socket: Path) -> None:
        self._runtime_socket = runtime_socket
        self._master_socket = master_socket

    def command(self, line: str) -> str:
        """Send a command to the worker. Raises BalancerError (`balancer-unreachable`)."""
        return _ask(self._runtime_socket, line)

    def stats(self) -> dict[tuple[str, str], dict[str, str]]:
        """`show stat` by (backend, server); the server ``BACKEND`` is the backend's own row."""
        text = self.command("show stat").removeprefix("# ")
        rows = csv.DictReader(io.StringIO(text))
        return {(row["pxname"], row["svname"]): row for row in rows if row.get("svname")}

    def addresses(self) -> dict[tuple[str, str], str]:
        """Every server's ``address:port`` by (backend, server)."""
        lines = self.command("show servers state").splitlines()
        header = next((line.removeprefix("# ").split() for line in lines if line.startswith("# ")), [])
        found = {}
        for line in lines:
            fields = dict(zip(header, line.split(), strict=False))
            if line and not line.startswith("#") and "srv_name" in fields:
                found[fields["be_name"], fields["srv_name"]] = f"{fields['srv_addr']}:{fields['srv_port']}"
        return found

    def add(self, backend: str, server: str, address: str, options: str) -> None:
        """Add a server and enable it. Raises BalancerError (`server-refused`)."""
        said = self.command(f"add server {backend}/{server} {address} {options}")
        if "New server registered" not in said and "Already exists" not in said and "already exists" not in said:
            raise BalancerError("server-refused", f"{backend}/{server}", f"HAProxy said: {said.strip()}")
        self.set_state(backend, server, "ready")

    def set_state(self, backend: str, server: str, state: str) -> None:
        """`ready` gives a server traffic, `maint` takes it away; what it is answering goes on."""
        said = self.command(f"set server {backend}/{server} state {state}").strip()
        if said and "No such" not in said:
            raise BalancerError("server-refused", f"{backend}/{server}", f"HAProxy said: {said}")

    def delete(self, backend: str, server: str) -> bool:
        """Delete a server in maintenance; its last connections may take a moment to go. False where they do not."""
        for _ in range(DELETE_TRIES):
            said = self.command(f"del server {backend}/{server}")
            if "Server deleted" in said or "No such" in said:
                return True
            time.sleep(DELETE_PAUSE)
        return False

    def reload(self) -> None:
        """Have the master start a new worker with the file as it is now. Raises BalancerError (`reload-failed`)."""
        before = self._worker()
        _ask(self._master_socket, "reload", until_closed=False)
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline:
            # The master itself starts anew, and for a moment nobody answers.
            try:
                if self._worker() not in (before, ""):
                    return
            except BalancerError:
                pass
            time.sleep(0.01)
        raise BalancerError(
            "reload-failed", "HAProxy", f"no new worker within {RELOAD_SECONDS:.0f} s", hint="see its log"
        )

    def _worker(self) -> str:
        """The pid of the worker that answers on the runtime socket."""
        for line in self.command("show info").splitlines():
            if line.startswith("Pid:"):
                return line.partition(":")[2].strip()
        return ""


def check_config(file: Path) -> None:
    """Have HAProxy read a configuration. Raises BalancerError (`config-refused`)."""
    try:
        done = subprocess.run(
            [_program(), "-c", "-q", "-f", str(file)], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BalancerError("balancer-missing", "haproxy", str(error), hint="imageforge doctor") from error
    if done.returncode != 0:
        raise BalancerError(
            "config-refused", str(file), done.stderr.strip()[-500:], hint="report this: a bug of imageforge"
        )


def _program() -> str:
    for folder in ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/usr/local/bin"):
        if (Path(folder) / "haproxy").exists():
            return f"{folder}/haproxy"
    return "haproxy"


def _ask(path: Path, line: str, *, until_closed: bool = True) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(path))
            connection.sendall(f"{line}\n".encode())
            answer = bytearray()
            while chunk := connection.recv(1 << 16):
                answer += chunk
                if not until_closed:
                    break
    except OSError as error:
        if not until_closed and isinstance(error, ConnectionResetError):
            return ""
        raise BalancerError(
            "balancer-unreachable",
            str(path),
            f"HAProxy does not answer: {error}",
            hint="imageforge status; the supervisor starts it again",
        ) from error
    return answer.decode(errors="replace")
