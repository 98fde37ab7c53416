"""Which layers become one: pure, from the mode and the diff-IDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from builders.bill import Costs, choose
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


def make_plan(
    mode: SquashMode, *, layers: Sequence[str], base: Sequence[str] | None, subject: str, keep: int | None = None
) -> Plan:
    """The plan for an image of `layers` (diff-IDs, lowest first) on a `base` (its own diff-IDs; empty for an image FROM
    scratch; None where it is not known). `keep` is the number of layers that stay with `SquashMode.KEEP_LAYERS`. What
    ``auto`` may merge at most is planned for it; whether that is worth its bytes, the bill decides.

    Raises SquashError ``base-unknown``, ``base-mismatch`` or ``too-few-layers``.
    """
    if mode is SquashMode.NONE:
        return Plan(mode=SquashMode.NONE, start=None)
    if mode is SquashMode.ALL:
        return _merge_from(0, layers, SquashMode.ALL)
    if mode is SquashMode.KEEP_LAYERS:
        return _keep(keep or 0, layers, subject)
    if base is None or list(layers[: len(base)]) != list(base):
        return _no_base(mode, subject) if base is None else _other_base(mode, subject)
    if not base:
        return _merge_from(0, layers, SquashMode.ALL if mode is SquashMode.AUTO else mode)
    return _merge_from(len(base), layers, SquashMode.FROM_BASE)


def decided(plan: Plan, costs: Costs) -> Plan:
    """What ``auto`` makes of a plan that could be carried out: the cheapest way, with the reason as its note."""
    choice = choose(costs)
    if choice.start is None:
        return Plan(mode=SquashMode.NONE, start=None, note=choice.reason)
    if choice.start == 0:
        return Plan(mode=SquashMode.ALL, start=0, note=choice.reason)
    mode = SquashMode.FROM_BASE if choice.start == costs.base else SquashMode.KEEP_LAYERS
    return replace(plan, mode=mode, start=choice.start, note=choice.reason)


def _merge_from(start: int, layers: Sequence[str], mode: SquashMode) -> Plan:
    count = len(layers) - start
    if count >= 2:
        return Plan(mode=mode, start=start)
    kept = f"the {start} that stay" if mode is SquashMode.KEEP_LAYERS else "the base"
    above = f" above {kept}" if start else ""
    return Plan(mode=SquashMode.NONE, start=None, note=f"nothing to merge: {count} layer{'s' * (count != 1)}{above}")


def _keep(keep: int, layers: Sequence[str], subject: str) -> Plan:
    if not 0 <= keep <= len(layers):
        raise SquashError(
            "too-few-layers", subject, f"it has {len(layers)} layers, and {keep} were to be kept", hint="keep fewer"
        )
    return _merge_from(keep, layers, SquashMode.KEEP_LAYERS)


def _no_base(mode: SquashMode, subject: str) -> Plan:
    if mode is SquashMode.AUTO:
        return Plan(mode=SquashMode.NONE, start=None, note="the base image is not known")
    raise SquashError(
        "base-unknown",
        subject,
        "squashing from the base needs the base image, and none is known",
        hint="name it (--base IMAGE, or -f DOCKERFILE), or squash all layers (--all)",
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
