"""What the commands that look into images share: limits on what is believed, the platform, progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from builders import Limits
from imageforge.cli.image_access import access, carrier
from imageforge.cli.state import Workplace
from imageforge.cli.verbosity import VERBOSITY
from imageforge.images.carry import Carrier
from imageforge.images.opening import Opener
from imageforge.report.transfer import Transfer
from registry import Platform

DEFAULTS = Limits()
PlatformOption = Annotated[
    str | None, typer.Option("--platform", help="Of several images, the one for OS/ARCHITECTURE[/VARIANT].")
]
MaxEntries = Annotated[
    int, typer.Option("--max-entries", min=1, metavar="N", help="Entries that all layers together may have.")
]
MaxBytes = Annotated[
    int, typer.Option("--max-bytes", min=1, metavar="N", help="Bytes that all layers may have, uncompressed.")
]
MaxRatio = Annotated[
    float, typer.Option("--max-ratio", min=1, metavar="N", help="Bytes that a compressed byte may become.")
]


def opener(working: Carrier, limits: Limits, platform: str | None, shown: Transfer) -> Opener:
    """What opens images for a command."""
    return Opener(
        carrier=working,
        limits=limits,
        platform=Platform.parse(platform) if platform else None,
        on_progress=shown,
        on_plan=shown.plan,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A look into images: what opens them, a folder for what is opened, and where we are."""

    here: Workplace
    working: Carrier
    opening: Opener
    folder: Path


@contextmanager
def look(
    limits: Limits, platform: str | None = None, *, ca: Path | None = None, plain_http: list[str] | None = None
) -> Iterator[Look]:
    """For the block's length; progress is shown. Raises KeyboardInterrupt where it is interrupted."""
    here = Workplace.here()
    with ExitStack() as held:
        working = held.enter_context(carrier(here, access(ca, plain_http)))
        folder = held.enter_context(working.scratch())
        shown = held.enter_context(Transfer(quiet=VERBOSITY.quiet))
        try:
            yield Look(here=here, working=working, opening=opener(working, limits, platform, shown), folder=folder)
        except InterruptedError:
            raise KeyboardInterrupt from None
