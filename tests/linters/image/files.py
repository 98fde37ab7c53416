"""Images described, not built: facts and files for the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linters import Budget, FileKind, Finding, ImageFacts, ImageLayer, LayerFile, check_image


def entry(
    path: str,
    content: bytes | str = b"",
    *,
    mode: int = 0o644,
    layer: int = 1,
    kept: bool = True,
    size: int | None = None,
    uid: int = 0,
    kind: FileKind = FileKind.FILE,
) -> LayerFile:
    """A file in the layer above the base, seen, unless said otherwise."""
    data = content.encode() if isinstance(content, str) else content
    return LayerFile(
        path=path,
        kind=kind,
        mode=mode,
        uid=uid,
        gid=0,
        size=len(data) if size is None else size,
        layer=layer,
        kept=kept,
        read=(lambda limit: data[:limit]) if kind is FileKind.FILE else None,
    )


def image(
    *files: LayerFile,
    base: int | None = 1,
    user: str = "10001",
    budget: Budget | None = None,
    history: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] = ((1000, 0), (1000, 0)),
    **config: Any,
) -> tuple[Finding, ...]:
    """What the rules say of an image of two layers, one of them the base's."""
    inner: Mapping[str, Any] = {"User": user, **config}
    layers = tuple(
        ImageLayer(diff_id=f"sha256:{number:064x}", size=size, wasted=wasted)
        for number, (size, wasted) in enumerate(sizes)
    )
    whole = {"os": "linux", "config": inner, "history": [{"created_by": text} for text in history]}
    return check_image(ImageFacts.of("shop:1", whole, layers, base=base, budget=budget), files).findings


def told(found: tuple[Finding, ...], rule: str) -> list[tuple[str, str]]:
    """(severity, excerpt) of one rule's findings."""
    return [(one.severity.value, one.excerpt) for one in found if one.rule == rule]
