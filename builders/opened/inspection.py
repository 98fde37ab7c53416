"""What an image is made of and what it costs: the survey of its layers, their instructions, and the bill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.bill import Bill, Costs, LayerCost, price
from builders.limits import Limits
from builders.model import SquashMode
from builders.opened.model import OpenedImage
from builders.squash.blobs import BlobStore
from builders.squash.plan import decided, make_plan
from builders.squash.source import SourceImage, whole
from builders.squash.survey import Survey, survey_layers
from builders.squash.weigh import reckon


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """`commands` are the instructions of the layers from the bottom up, None where the history does not tell; `costs`
    what each weighs. `bill` compares the image as it is with what ``auto`` would make of it, `advice` says why."""

    survey: Survey
    commands: tuple[str | None, ...]
    costs: tuple[LayerCost, ...]
    base_layers: int | None
    bill: Bill
    advice: str


def inspect_opened(
    image: OpenedImage,
    *,
    base: Sequence[str] | None,
    blobs: Path,
    present: Callable[[str], bool] = lambda _: False,
    limits: Limits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Inspection:
    """Reads the headers of all layers. `base` are the base's diff-IDs, None where it is not known; `blobs` the folder
    of compressed layers, whose sizes are known; `present` tells whether the target of a push has a digest.

    Raises SquashError ``layer-damaged`` and the like, ImageError ``too-many-entries``.
    """
    blobs.mkdir(parents=True, exist_ok=True)
    store = BlobStore(blobs)

    def act(source: SourceImage) -> tuple[Survey, Costs]:
        survey = survey_layers(source.layers, subject=image.name, check=check, limits=limits)
        return survey, reckon(survey, source.layers, base=base, store=store, blobs=image.blobs, present=present)

    survey, costs = whole(image.source, act)
    plan = make_plan(SquashMode.AUTO, layers=image.diff_ids, base=base, subject=image.name)
    if plan.start is not None:
        plan = decided(plan, costs)
    return Inspection(
        survey=survey,
        commands=commands(image.source.config.get("history"), len(survey.layers)),
        costs=costs.layers,
        base_layers=costs.base,
        bill=price(costs, plan.start),
        advice=plan.note,
    )


def commands(history: Any, count: int) -> tuple[str | None, ...]:
    """The instruction of each of `count` layers, out of a configuration's history; None for all where the two do not
    agree."""
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    told = [str(entry.get("created_by") or "") for entry in entries if not entry.get("empty_layer")]
    return tuple(_plain(text) or None for text in told) if len(told) == count else (None,) * count


def _plain(text: str) -> str:
    """Without what engines and BuildKit put around an instruction."""
    text = text.removesuffix(" # buildkit").strip()
    if "#(nop)" in text:
        return text.partition("#(nop)")[2].strip()
    for shell in ("/bin/sh -c ", "RUN /bin/sh -c "):
        if text.startswith(shell):
            return f"RUN {text.removeprefix(shell)}"
    return text
