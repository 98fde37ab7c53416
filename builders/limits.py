"""How much of an image from elsewhere is believed: what a small file may claim to become."""

from __future__ import annotations

from dataclasses import dataclass

from builders.errors import ImageError

_FREE = 64 << 20
"""Bytes that any layer may expand to, whatever its ratio: a layer of one empty log is 1000:1, and harmless."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`entries` of an image in all its layers; `total` bytes of all its layers, uncompressed; `ratio` of a layer's
    bytes to those of its blob. Deflate cannot do better than 1032, ordinary layers have 2 to 5."""

    entries: int = 5_000_000
    total: int = 64 << 30
    ratio: float = 400.0

    def check_entries(self, count: int, subject: str) -> None:
        """Raises ImageError ``too-many-entries``."""
        if count > self.entries:
            raise ImageError(
                "too-many-entries",
                subject,
                f"its layers have more than {self.entries:,} entries",
                hint="--max-entries N, if you trust it",
            )

    def check_expanded(self, expanded: int, packed: int, *, before: int, subject: str) -> None:
        """Of a layer that gave `expanded` bytes out of `packed`, after layers of `before` bytes. Raises ImageError
        ``image-too-large`` and ``layer-bomb``."""
        if before + expanded > self.total:
            raise ImageError(
                "image-too-large",
                subject,
                f"its layers have more than {self.total:,} bytes",
                hint="--max-bytes N, if you trust it",
            )
        if expanded > _FREE and expanded > self.ratio * packed:
            raise ImageError(
                "layer-bomb",
                subject,
                f"{packed:,} bytes of a layer became {expanded:,}, more than {self.ratio:g} times as many",
                hint="--max-ratio N, if you trust it",
            )
