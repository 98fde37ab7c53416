"""What the commands for images share: how registries are reached, where copies work, what the store knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from builders import Compression
from imageforge.cli.failure import EXIT_INTERRUPTED
from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.images.carry import Carrier
from imageforge.images.name import ImageName, Transport
from imageforge.pipeline.interrupt import cancelled_by_interrupt
from imageforge.stack import engine_choice
from imageforge.stack.registry_lock import writing_registry
from registry import Access, ImageRef

CaOption = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Authorities (PEM) to believe besides the system's and Docker's."),
]
PlainOption = Annotated[
    list[str] | None,
    typer.Option("--plain-http", metavar="REGISTRY", help="Speak plain HTTP to this registry; loopback needs it not."),
]
CompressionOption = Annotated[
    Compression | None,
    typer.Option("--compression", help="How layers are packed that are not; without it, as in settings.toml."),
]


def access(ca: Path | None, plain: list[str] | None) -> Access:
    """How registries are reached. Raises UsageError (`ca-missing`, `invalid-registry`)."""
    if ca is not None and not ca.is_file():
        raise UsageError("ca-missing", str(ca), "there is no such file", hint="name a file of certificates in PEM")
    for name in plain or ():
        if ImageRef.parse(f"{name}/name").registry != name:
            raise UsageError(
                "invalid-registry", name, "it is no registry's name", hint="as in a reference: registry.lan:5000"
            )
    return Access(ca=ca, plain_http=frozenset(plain or ()))


@contextmanager
def carrier(here: Workplace, reached: Access, compression: Compression | None = None) -> Iterator[Carrier]:
    """What copies work with. Ctrl-C cancels; the second one ends us at once, and waits for no registry that hangs: what
    has gone is on the disk."""
    here.home.prepare()
    with cancelled_by_interrupt(second=_leave) as cancelled:
        yield Carrier(
            home=here.home,
            engine=lambda: engine_choice.answering(here.home, here.settings),
            access=reached,
            cancelled=cancelled,
            compression=compression or Compression(here.settings.compression),
            mount_from=lambda registry: _repositories(here, registry),
        )


@contextmanager
def telling(said: str) -> Iterator[None]:
    """Say what is true after Ctrl-C, once progress is off the screen: enter it before that."""
    try:
        yield
    except KeyboardInterrupt:
        say(said)
        raise


@contextmanager
def writing(here: Workplace, *names: ImageName) -> Iterator[None]:
    """Hold off the sweep, where one of the places is of what it sweeps: the local registry, or the store of layers, by
    which the engine's images and archives go."""
    swept = any(
        name.named.registry == here.settings.registry
        if name.transport is Transport.REGISTRY
        else name.transport is not Transport.LAYOUT
        for name in names
    )
    with writing_registry(here.home) if swept else contextlib.nullcontext():
        yield


def _repositories(here: Workplace, registry: str) -> tuple[str, ...]:
    """The repositories of a registry that releases and builds are of."""
    if not here.home.store.exists():
        return ()
    from imageforge.images.known import known_references, known_repositories  # noqa: PLC0415 - a fifth of a second

    with here.database() as database:
        return known_repositories(known_references(database), registry)


def _leave() -> None:
    os._exit(EXIT_INTERRUPTED)
