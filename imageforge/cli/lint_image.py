"""imageforge lint --image: the rules that are judged from what was built."""

from __future__ import annotations

from builders import Limits, look_through
from imageforge.cli.image_opening import look
from imageforge.images.name import ImageName
from imageforge.pipeline.image_gate import judge
from linters import Budget, LintReport


def lint_image(image: str, *, base: str | None, budget: Budget) -> LintReport:
    """Judge an image wherever it is; a bare name is the engine's. `base` names its base image, or ``scratch``; without
    it what the image itself says. Raises the packages' errors, KeyboardInterrupt."""
    name = ImageName.parse(image)
    limits = Limits()
    with look(limits) as at:
        opened = at.opening.open(name, at.folder / "layers")
        return look_through(
            opened,
            lambda listing: judge(listing, image, budget),
            base=at.opening.base(base, opened, name),
            limits=limits,
            check=at.working.check,
        )
