"""Which layers become one: pure, from the mode and the diff-IDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from builders.errors import SquashError
from builders.model import SquashMode

SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The layers from number `start` on (counted from 0, at the bottom) become one; `start` is None where all stay as
    they are. `mode` is what is done, never ``auto``; `note` says why, where it was not asked for."""

    mode: SquashMode
    start: int | None
    note: str = ""


def make_plan(mode: SquashMode, *, layers: Sequence[str], base: Sequence[str] | None, subject: str) -> Plan:
    """The plan for an image of `layers` (diff-IDs, lowest first) on a `base` (its own diff-IDs; empty for an image FROM
    scratch; None where it is not known). Raises SquashError ``base-unknown`` or ``base-mismatch``.
    """
    if mode is SquashMode.NONE:
        return Plan(mode=SquashMode.NONE, start=None)
    if mode is SquashMode.ALL:
        return _merge_from(0, layers, SquashMode.ALL)
    if base is None:
        return _no_base(mode, subject)
    if list(layers[: len(base)]) != list(base):
        return _other_base(mode, subject)
    if not base:
        return _merge_from(0, layers, SquashMode.ALL if mode is SquashMode.AUTO else mode)
    return _merge_from(len(base), layers, SquashMode.FROM_BASE)


def _merge_from(start: int, layers: Sequence[str], mode: SquashMode) -> Plan:
    count = len(layers) - start
    if count >= 2:
        return Plan(mode=mode, start=start)
    above = " above the base" if start else ""
    return Plan(mode=SquashMode.NONE, start=None, note=f"nothing to merge: {count} layer{'s' * (count != 1)}{above}")


def _no_base(mode: SquashMode, subject: str) -> Plan:
    if mode is SquashMode.AUTO:
        return Plan(mode=SquashMode.NONE, start=None, note="the base image is not known")
    raise SquashError(
        "base-unknown",
        subject,
        "squashing from the base needs the base image, and none is known",
        hint="name it, or squash all layers",
    )


def _other_base(mode: SquashMode, subject: str) -> Plan:
    if mode is SquashMode.AUTO:
        return Plan(mode=SquashMode.NONE, start=None, note="the image does not begin with the base image's layers")
    raise SquashError(
        "base-mismatch",
        subject,
        "the image does not begin with the layers of the base image, which may have been rebuilt since",
        hint="build again on the base as it is now, or squash all layers",
    )
