"""What an image that a file builds on says of itself, where the caller has it at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseConfig:
    """The part of an image's configuration that a stage on it inherits. `triggers` are its ONBUILD instructions."""

    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BaseConfig:
        """From the `config` of an OCI image, or the `Config` that an engine tells."""
        pairs = (text.partition("=") for text in config.get("Env") or ())
        return cls(
            user=str(config.get("User") or ""),
            env={name: value for name, _, value in pairs},
            workdir=str(config.get("WorkingDir") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
            shell=tuple(config.get("Shell") or ()),
            ports=tuple(config.get("ExposedPorts") or ()),
            volumes=tuple(config.get("Volumes") or ()),
            triggers=tuple(config.get("OnBuild") or ()),
        )


Bases = Callable[[str], BaseConfig | None]
"""The configuration of an image by its reference; None where it is not at hand."""


def no_bases(_reference: str) -> BaseConfig | None:
    """Nothing is at hand."""
    return None
