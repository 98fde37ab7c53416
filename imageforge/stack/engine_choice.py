"""Which engine a home uses, once and for all: the first that answers, or a private one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from builders import Endpoint, EngineError, find_engine
from imageforge.config import Home, Settings
from imageforge.stack import private_engine, probes

PRIVATE_ORIGIN = "private engine"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineChoice:
    """An engine's endpoint, where it came from, and whether `up` starts it."""

    host: str
    origin: str
    private: bool

    @property
    def endpoint(self) -> Endpoint:
        """As builders takes it."""
        return Endpoint(host=self.host, origin=self.origin)


def choose(home: Home, settings: Settings, environ: Mapping[str, str] = os.environ) -> EngineChoice:
    """The engine that `up` is to use.

    The setting `engine = "private"` wins, then DOCKER_HOST. Otherwise a home that once started a private engine keeps
    it, since its images are there; else the first that answers; else a private one. Raises builders' EngineError where
    none can be had.
    """
    if settings.engine == "private":
        reason = private_engine.unavailable()
        if reason:
            hint = 'set engine = "auto" in settings.toml, and start Docker'
            raise EngineError("engine-missing", "private engine", f"it cannot be started: {reason}", hint=hint)
        return _private(home)
    if uses_private(home) and not environ.get("DOCKER_HOST") and private_engine.unavailable() is None:
        return _private(home)
    try:
        found = find_engine(private_socket=home.engine_socket, environ=environ)
    except EngineError as error:
        reason = private_engine.unavailable()
        if error.code != "engine-missing":
            raise
        if reason is not None:
            hint = f"start Docker, or set DOCKER_HOST; a private engine cannot be started: {reason}"
            raise EngineError(error.code, error.subject, error.message, hint=hint) from error
        return _private(home)
    if found.host == _private(home).host:
        return _private(home)
    return EngineChoice(host=found.host, origin=found.origin, private=False)


def remember(home: Home, choice: EngineChoice) -> None:
    """Keep the choice for the next `up`."""
    (home.state / "engine.json").write_text(json.dumps({"private": choice.private}))


def answering(home: Home, settings: Settings, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The engine for a build that needs nothing else: the private one if it runs, else the first that answers."""
    wanted = settings.engine == "private" or (uses_private(home) and not environ.get("DOCKER_HOST"))
    if wanted and probes.engine_ok(home.engine_socket) is None:
        return _private(home).endpoint
    if settings.engine == "private":
        raise EngineError(
            "engine-missing", str(home.engine_socket), "the private engine does not run", hint="imageforge up"
        )
    return find_engine(private_socket=home.engine_socket, environ=environ)


def _private(home: Home) -> EngineChoice:
    return EngineChoice(host=f"unix://{home.engine_socket}", origin=PRIVATE_ORIGIN, private=True)


def uses_private(home: Home) -> bool:
    """Whether this home once started an engine of its own."""
    try:
        return bool(json.loads((home.state / "engine.json").read_text())["private"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
