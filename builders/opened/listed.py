"""Looking through the files of an image that was brought here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from builders.limits import Limits
from builders.opened.model import OpenedImage
from builders.squash.listing import Listing
from builders.squash.source import SourceImage, whole
from builders.squash.survey import survey_trees

Result = TypeVar("Result")


def look_through(
    image: OpenedImage,
    look: Callable[[Listing], Result],
    *,
    base: Sequence[str] | None,
    limits: Limits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Result:
    """What `look` makes of the image's files. `base` are the base's diff-IDs, None where it is not known. `look` may be
    called twice, where the engine's folders cannot be read to their end.

    Raises SquashError ``layer-damaged`` and the like, ImageError ``too-many-entries``, and what `look` raises.
    """

    def act(source: SourceImage) -> Result:
        survey, trees = survey_trees(source.layers, subject=image.name, check=check, limits=limits)
        return look(Listing.of(source, survey, trees, base=base))

    return whole(image.source, act)
