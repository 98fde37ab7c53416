"""An app's hosts: its own name and its domains. They lead to its Service, whichever release that belongs to.

Whoever changes what is stored or what is applied holds the app's hosts for that moment, and reads what is stored within
it: so the last to apply has seen the last that was stored, and a rollout never takes a domain away.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from imageforge.config import Home, Settings
from imageforge.config.domain import is_below, parse_domain
from imageforge.errors import UsageError
from imageforge.pipeline.manifests import HOST, with_hosts
from imageforge.store import Domain, Domains
from imageforge.store.database import Database
from runtime import ControllerClient, ControllerUnreachable, NotFound, RuntimeFailure, dump_manifests

NAMESPACE = "default"
MOST = 100
"""Domains of one app: each is an order of the one account at the authority."""


class DomainInvalid(UsageError):
    """A domain that there cannot be, or that is not an app's to have."""


def checked_domain(text: str, settings: Settings) -> str:
    """The domain as DNS has it. Raises DomainInvalid (`domain-invalid`)."""
    try:
        name = parse_domain(text)
    except ValueError as error:
        raise DomainInvalid("domain-invalid", text[:100], str(error), hint="such as www.example.org") from error
    if name == settings.public_host:
        raise DomainInvalid("domain-invalid", name, "it is the service's own host", hint="choose another name")
    if is_below(name, settings.host_suffix):
        raise DomainInvalid(
            "domain-invalid",
            name,
            f"names below {settings.host_suffix} are given to the apps by their names",
            hint="choose a name elsewhere, or the app of that name",
        )
    return name


def add_domain(
    app: str, text: str, *, home: Home, settings: Settings, database: Database, controller: ControllerClient
) -> tuple[Domain, bool]:
    """Have a domain lead to an app, from now on and without a rollout; and whether it is new.

    Raises UsageError (`domain-invalid`, `domain-taken`, `too-many-domains`), or what the controller refuses it with,
    such as Conflict (`host-taken`) where something that is no app has the name; then it is not stored. Where the
    controller does not answer it is stored, and led there once it does.
    """
    name = checked_domain(text, settings)
    with holding_hosts(home, app):
        there = [domain.name for domain in Domains(database).of(app)]
        if name not in there and len(there) >= MOST:
            raise UsageError(
                "too-many-domains",
                app,
                f"it has {MOST} domains",
                hint=f"remove one first: imageforge domains rm {app} DOMAIN",
                kept="nothing was changed",
            )
        domain, new = Domains(database).add(app, name)
        with _undone_where_refused((lambda: Domains(database).remove(app, name)) if new else None):
            _apply_hosts(app, settings, database, controller)
    return domain, new


def remove_domain(
    app: str, text: str, *, home: Home, settings: Settings, database: Database, controller: ControllerClient
) -> Domain:
    """Have a domain lead to an app no longer. Raises UsageError (`no-such-domain`), or what the controller refuses it
    with; then it is still the app's. Where the controller does not answer it is done once it does."""
    # What was stored once can be removed, though it would not be taken today.
    with contextlib.suppress(ValueError):
        text = parse_domain(text)
    with holding_hosts(home, app):
        found = next((domain for domain in Domains(database).of(app) if domain.name == text), None)
        if found is None or not Domains(database).remove(app, text):
            raise UsageError(
                "no-such-domain", text[:100], f"{app} has no domain of this name", hint=f"imageforge domains ls {app}"
            )
        with _undone_where_refused(partial(Domains(database).put_back, found)):
            _apply_hosts(app, settings, database, controller)
    return found


def hosts_of(app: str, settings: Settings, database: Database) -> tuple[str, ...]:
    """The app's own name, then its domains."""
    return (f"{app}.{settings.host_suffix}", *(domain.name for domain in Domains(database).of(app)))


def apply_with_hosts(
    app: str,
    manifests: str,
    source: str,
    *,
    home: Home,
    settings: Settings,
    database: Database,
    controller: ControllerClient,
) -> None:
    """Apply a release's manifests with the hosts that the app has now, whatever they were when it was made."""
    with holding_hosts(home, app):
        controller.apply(with_hosts(manifests, app, hosts_of(app, settings, database)), source=source)


def settle_hosts(app: str, *, home: Home, settings: Settings, database: Database, controller: ControllerClient) -> bool:
    """Finish what a crash between storing and applying left behind; whether there was anything. Where somebody holds
    the app's hosts nothing is done: it is about to apply what is stored, or is stuck, and must not hold up the one who
    ends it."""
    with contextlib.suppress(BlockingIOError), holding_hosts(home, app, wait=False):
        return _apply_hosts(app, settings, database, controller)
    return False


@contextlib.contextmanager
def holding_hosts(home: Home, app: str, *, wait: bool = True) -> Iterator[None]:
    """Hold an app's hosts; waits for who holds them, which is rarely long, or raises BlockingIOError."""
    with (home.locks / f"{app}.hosts").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextlib.contextmanager
def _undone_where_refused(undo: Callable[[], object] | None) -> Iterator[None]:
    """What was stored is to be applied within this block: taken back by `undo` where that is refused, kept where nobody
    answers, for `settle_hosts` applies it later. A crash in between leaves it stored, as if nobody had answered."""
    try:
        yield
    except ControllerUnreachable:
        return
    except BaseException as error:
        if undo is not None:
            undo()
        if isinstance(error, RuntimeFailure) and error.kept is None:
            error.kept = "the app's domains are as they were"
        raise


def _apply_hosts(app: str, settings: Settings, database: Database, controller: ControllerClient) -> bool:
    service = _service(app, controller)
    wanted = ", ".join(hosts_of(app, settings, database))
    if service is None or (service["metadata"].get("annotations") or {}).get(HOST) == wanted:
        return False
    service["metadata"].setdefault("annotations", {})[HOST] = wanted
    controller.apply(dump_manifests([service]), source=f"the hosts of {app}")
    return True


def _service(app: str, controller: ControllerClient) -> dict[str, Any] | None:
    """The app's Service as it stands; None where it has none, for it was never deployed."""
    try:
        documents: list[Mapping[str, Any]] = list(yaml.safe_load_all(controller.manifests(NAMESPACE, app)))
    except NotFound:
        return None
    return next(
        (dict(item) for item in documents if item["kind"] == "Service" and item["metadata"]["name"] == app), None
    )
