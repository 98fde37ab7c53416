"""imageforge lint --image: the rules that are judged from what was built."""

from __future__ import annotations

import contextlib

from builders import Limits, look_through
from imageforge.cli.image_access import access, carrier
from imageforge.cli.image_opening import opener
from imageforge.cli.state import Workplace
from imageforge.cli.verbosity import VERBOSITY
from imageforge.images.name import ImageName
from imageforge.pipeline.image_gate import judge
from imageforge.report.transfer import Transfer
from linters import Budget, LintReport


def lint_image(image: str, *, base: str | None, budget: Budget) -> LintReport:
    """Judge an image wherever it is; a bare name is the engine's. `base` names its base image, or ``scratch``; without
    it what the image itself says. Raises the packages' errors, KeyboardInterrupt."""
    name = ImageName.parse(image)
    limits = Limits()
    here = Workplace.here()
    with contextlib.ExitStack() as held:
        working = held.enter_context(carrier(here, access(None, None)))
        folder = held.enter_context(working.scratch())
        shown = held.enter_context(Transfer(quiet=VERBOSITY.quiet))
        try:
            opening = opener(working, limits, None, shown)
            opened = opening.open(name, folder / "layers")
            return look_through(
                opened,
                lambda listing: judge(listing, image, budget),
                base=opening.base(base, opened, name),
                limits=limits,
                check=working.check,
            )
        except InterruptedError:
            raise KeyboardInterrupt from None
