"""What the commands that look into images share: limits on what is believed, the platform, progress."""

from __future__ import annotations

from typing import Annotated

import typer

from builders import Limits
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
