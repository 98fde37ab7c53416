"""What layers cost: bytes wasted in them, bytes that a push sends, and which merge is the cheapest. Pure.

A merge from layer `s` on makes one layer of what is still seen of the layers from there up. It saves what they waste
and sends all of that one layer whenever any of them has changed. What stays as it is, a target that has it need not be
sent. So a merge that is the smallest today can be the dearest over ten deployments, and the other way round: `choose`
adds up this push and the next `HORIZON`, which are expected to change what the pushes before have changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HORIZON = 10
"""Deployments to come that a choice is made for. Changing one's mind costs about one push of all that is above the
base, so it must be clearly more than one; releases more than ten before say little about the next."""
LAYER_COST = 64 << 10
"""Bytes that a layer is reckoned to cost besides its own: the requests that ask for it, open, send and close it, once
at the push and once at the pull, at a few milliseconds each and 10 MB/s."""
MOST_LAYERS = 100
"""More than that are merged whatever it costs: overlay file systems end at 127 layers, and images are built on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """A layer: `size` bytes as a tar, of which `wasted` are files that layers above rewrote or deleted; `packed` bytes
    compressed (an estimate where it has not been done yet); `present` where the target of the push has it."""

    diff_id: str
    size: int
    wasted: int
    packed: int
    present: bool = False

    @property
    def kept(self) -> int:
        """Compressed bytes of what is still seen of it."""
        return round(self.packed * (self.size - self.wasted) / self.size) if self.size else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """An earlier push: the layers as they were built (diff-IDs), and from which on they were merged, if any were."""

    layers: tuple[str, ...]
    start: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """All that a choice is made of. `base` is how many layers at the bottom are the base image's, None where it is not
    known. `history` begins with the push before this one."""

    layers: tuple[LayerCost, ...]
    base: int | None
    history: tuple[Past, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One way to ship the image: layers merged from `start` on (None for none). Compressed bytes: `push` of this push,
    `next_push` of those to come, as a mean; `total` of this one and the next `HORIZON`, with what layers cost besides.
    `layers` is their number, `wasted` the bytes that stay wasted, uncompressed."""

    start: int | None
    layers: int
    push: int
    next_push: int
    total: int
    wasted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The cheapest way, and why in words."""

    start: int | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What the image costs as it was built and as it is shipped. Bytes of `before`, `after` and `wasted` are
    uncompressed, all others compressed. `shared_with_base` are those of the base's layers that are kept,
    `base_lost` and `previous_lost` those that the base and the release before have and this image shares no longer."""

    built: Offer
    shipped: Offer
    before: int
    after: int
    shared_with_base: int
    base_lost: int
    previous_lost: int
    estimated: bool = True

    @property
    def wasted(self) -> int:
        """Bytes that the image as it was built carries for nothing."""
        return self.built.wasted


def offers(costs: Costs) -> tuple[Offer, ...]:
    """Every way that `auto` may take: as built, merged from the base or from any layer above it on, all merged."""
    count = len(costs.layers)
    lowest = costs.base if costs.base is not None else count
    starts = [0, *range(max(lowest, 1), count - 1)] if count > 1 else []
    return tuple(offer(costs, start) for start in (None, *starts))


def offer(costs: Costs, start: int | None) -> Offer:
    """What it costs to merge from `start` on."""
    count = len(costs.layers)
    kept, merged = costs.layers[:start], costs.layers[count if start is None else start :]
    size = sum(layer.kept for layer in merged)
    unchanged = bool(costs.history) and _same(costs, start)
    sent = [layer.packed for layer in kept if not layer.present] if not unchanged else []
    if merged and not unchanged:
        sent.append(size)
    coming = [_coming(costs, start, size, shared) for shared in _shared_prefixes(costs)]
    next_push = round(sum(bytes_ for bytes_, _ in coming) / len(coming))
    weight = sum(bytes_ + number * LAYER_COST for bytes_, number in coming) / len(coming)
    return Offer(
        start=start,
        layers=len(kept) + bool(merged),
        push=sum(sent),
        next_push=next_push,
        total=sum(sent) + len(sent) * LAYER_COST + round(HORIZON * weight),
        wasted=sum(layer.wasted for layer in kept),
    )


def choose(costs: Costs) -> Choice:
    """The cheapest way over this push and the next `HORIZON`; of equals the one that leaves more as it is."""
    built, *others = offers(costs)
    if built.layers > MOST_LAYERS:
        others = [other for other in others if other.layers <= MOST_LAYERS]
        best = min(others, key=lambda other: (other.total, -(other.start or 0)))
        return Choice(start=best.start, reason=f"{built.layers} layers are more than {MOST_LAYERS}")
    best = min((built, *others), key=lambda other: (other.total, other.start is not None, -(other.start or 0)))
    if best.start is None:
        least = min(others, key=lambda other: other.total, default=None)
        if least is None:
            return Choice(start=None, reason="nothing to merge")
        # Either it sends more at once, or it shares less with what comes after.
        what = "the next pushes" if least.next_push > built.next_push else "this push"
        return Choice(start=None, reason=f"left as built: merged, {what} would send more")
    saved = built.wasted - best.wasted
    if saved * 20 > sum(layer.size for layer in costs.layers):
        return Choice(start=best.start, reason="merged for the bytes that it wasted")
    return Choice(start=best.start, reason="merged: fewer layers, and the next pushes send no more for it")


def price(costs: Costs, start: int | None) -> Bill:
    """The bill for a way that was chosen, by whomever."""
    count, base = len(costs.layers), costs.base or 0
    end = count if start is None else start
    previous = _shared_with_previous(costs)
    return Bill(
        built=offer(costs, None),
        shipped=offer(costs, start),
        before=sum(layer.size for layer in costs.layers),
        after=sum(layer.size for layer in costs.layers[:end])
        + sum(layer.size - layer.wasted for layer in costs.layers[end:]),
        shared_with_base=sum(layer.packed for layer in costs.layers[: min(base, end)]),
        base_lost=sum(layer.packed for layer in costs.layers[min(base, end) : base]),
        previous_lost=sum(layer.packed for layer in costs.layers[end:previous]),
    )


def _coming(costs: Costs, start: int | None, merged: int, shared: int) -> tuple[int, int]:
    """Bytes and layers of a push that comes after a change which leaves the lowest `shared` layers alone."""
    count = len(costs.layers)
    if shared >= count:
        return 0, 0
    end = count if start is None else start
    again = [layer.packed for layer in costs.layers[shared:end]]
    if start is not None:
        again.append(merged)
    return sum(again), len(again)


def _shared_prefixes(costs: Costs) -> list[int]:
    """For each step from one push to the next, how many layers stayed; and one step more, in which only the last layer
    changed: it is where a Dockerfile puts what changes most. Without that one, a single step would be all that is known
    of the next ten: after a base image was made anew, a base that stays would be worth nothing."""
    stacks = [tuple(layer.diff_id for layer in costs.layers), *(past.layers for past in costs.history[:HORIZON])]
    return [max(len(costs.layers) - 1, 0), *(_common(newer, older) for newer, older in _steps(stacks))]


def _shared_with_previous(costs: Costs) -> int:
    """How many layers the push before has as they are here."""
    if not costs.history:
        return 0
    previous = costs.history[0]
    there = previous.layers if previous.start is None else previous.layers[: previous.start]
    return _common(tuple(layer.diff_id for layer in costs.layers), there)


def _same(costs: Costs, start: int | None) -> bool:
    """Whether the push before was of the same layers, merged in the same way."""
    return costs.history[0] == Past(layers=tuple(layer.diff_id for layer in costs.layers), start=start)


def _steps(stacks: Sequence[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    return itertools.pairwise(stacks)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
