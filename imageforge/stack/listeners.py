"""Which addresses and ports the daemons of a home listen on, and who is in their way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack.ports import Holder, holder, unbindable
from imageforge.stack.process import read_pid_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One place where a service listens; `key` is the setting of its port, `name` what `doctor` calls it."""

    name: str
    service: str
    address: str
    port: int
    key: str

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def variable(self) -> str:
        """The environment variable that sets the port."""
        return f"IMAGEFORGE_{self.key.upper()}"

    def pid_file(self, home: Home) -> Path:
        """Of the service."""
        return home.run / f"{self.service}.pid"


def listeners(settings: Settings) -> tuple[Listener, ...]:
    """Every one of them; Unix sockets are the home's own and in nobody's way."""
    local, world = "127.0.0.1", settings.public_address

    def one(name: str, service: str, address: str, key: str) -> Listener:
        return Listener(name=name, service=service, address=address, port=getattr(settings, key), key=key)

    found = [
        one("entry port", "balancer", settings.http_address, "http_port"),
        one("api port", "api", local, "api_port"),
        one("registry port", "registry", local, "registry_port"),
    ]
    if settings.public:
        found += [
            one("https port", "balancer", world, "https_port"),
            one("public port", "balancer", world, "public_http_port"),
            one("public registry", "registry-public", local, "public_registry_port"),
        ]
    return tuple(found)


def unusable(listener: Listener, settings: Settings) -> str | None:
    """Why nobody could listen there, if so; only an address that the user chose can be such a one."""
    return unbindable(listener.address, listener.port) if listener.address == settings.public_address else None


def is_ours(found: Holder, listener: Listener, home: Home) -> bool:
    """Whether the service of this home is who listens: it, or a child of it such as HAProxy's workers."""
    identity = read_pid_file(listener.pid_file(home))
    if identity is None:
        return False
    if found.pid in (0, identity.pid):
        return True
    try:
        return os.getsid(found.pid) == identity.pid  # each of our services leads a session of its own
    except OSError:
        return False


def refuse_taken(wanted: Iterable[Listener], settings: Settings) -> None:
    """Raise StackError (`address-unusable`, `port-taken`) where somebody listens; all of the taken ones are named."""
    taken: list[tuple[Listener, Holder]] = []
    for listener in wanted:
        reason = unusable(listener, settings)
        if reason:
            raise StackError(
                "address-unusable",
                str(listener),
                reason,
                hint=f"choose another: public_address and {listener.key} in settings.toml; `ip address` shows what "
                "there is",
            )
        found = holder(listener.address, listener.port)
        if found:
            taken.append((listener, found))
    if not taken:
        return
    variables = " ".join(f"{listener.variable}=…" for listener, _ in taken)
    keys = " and ".join(listener.key for listener, _ in taken)
    if len(taken) == 1:
        listener, found = taken[0]
        message = f"the {listener.service} needs it, but {found.has_it}"
        hint = f"stop that, or choose another: {variables}, or {keys} in settings.toml"
    else:
        message = "; ".join(f"the {one.service} needs {one.port}, but {found.has_it}" for one, found in taken)
        hint = f"stop those, or choose others: {variables}, or {keys} in settings.toml"
    raise StackError("port-taken", ", ".join(str(listener) for listener, _ in taken), message, hint=hint)
