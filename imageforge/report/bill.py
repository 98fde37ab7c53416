"""The bill of an image: what its layers cost as built and as shipped, as data, as a table and as one line."""

from __future__ import annotations

from typing import Any

from builders import Bill, Offer, SquashedImage
from imageforge.report.units import megabytes

WORTH_A_WORD = 0.05
"""The share of an image's bytes that must be wasted for a build's line to say so: every base has a little."""


def bill_data(bill: Bill) -> dict[str, Any]:
    """As JSON has it; all sizes in bytes. Of pushes they are compressed, and estimates where a layer was not yet
    compressed when the bill was made."""
    return {
        "bytes_before": bill.before,
        "bytes_after": bill.after,
        "wasted": bill.built.wasted,
        "wasted_after": bill.shipped.wasted,
        "shared_with_base": bill.shared_with_base,
        "base_lost": bill.base_lost,
        "previous_lost": bill.previous_lost,
        "as_built": _offer(bill.built),
        "as_shipped": _offer(bill.shipped),
    }


def bill_lines(bill: Bill) -> list[str]:
    """For people."""
    rows = [
        ("", "as built", "as shipped"),
        ("layers", str(bill.built.layers), str(bill.shipped.layers)),
        ("size", megabytes(bill.before), megabytes(bill.after)),
        ("wasted", megabytes(bill.built.wasted), megabytes(bill.shipped.wasted)),
        ("this push", megabytes(bill.built.push), megabytes(bill.shipped.push)),
        ("a later push", megabytes(bill.built.next_push), megabytes(bill.shipped.next_push)),
    ]
    lines = [f"  {name:<14}{built:>10}  {shipped:>10}" for name, built, shipped in rows]
    if bill.base_lost:
        lines.append(f"  no longer shared with the base: {megabytes(bill.base_lost)}")
    if bill.previous_lost:
        lines.append(f"  no longer shared with the push before: {megabytes(bill.previous_lost)}")
    return lines


def bill_line(squashed: SquashedImage) -> str:
    """In a few words, for a stage's line; empty without a bill."""
    bill = squashed.bill
    if bill is None:
        return ""
    left = f", {megabytes(bill.shipped.wasted)} wasted" if bill.shipped.wasted > bill.after * WORTH_A_WORD else ""
    return f"{left}, next push {megabytes(bill.shipped.next_push)}"


def squash_data(squashed: SquashedImage) -> dict[str, Any]:
    """What a squash did, as JSON has it."""
    return {
        "digest": squashed.digest,
        "image_id": squashed.image_id,
        "mode": squashed.mode.value,
        "note": squashed.note,
        "layers_before": squashed.layers_before,
        "layers_after": squashed.layers_after,
        "bytes_before": squashed.bytes_before,
        "bytes_after": squashed.bytes_after,
        "compressed_bytes": squashed.compressed_bytes,
        "proved": squashed.proved,
        "bill": bill_data(squashed.bill) if squashed.bill else None,
    }


def squash_line(squashed: SquashedImage) -> str:
    """What a squash did, in one line."""
    if squashed.layers_after == squashed.layers_before:
        return (
            f"left as built, {squashed.layers_before} layers, {megabytes(squashed.bytes_before)}{bill_line(squashed)}"
        )
    trees = ", trees equal" if squashed.proved else ""
    before, after = megabytes(squashed.bytes_before, unit=False), megabytes(squashed.bytes_after)
    layers = f"{squashed.layers_before} -> {squashed.layers_after} layers"
    return f"{layers}, {before} -> {after}{trees}{bill_line(squashed)}"


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "merged_from": offer.start,
        "layers": offer.layers,
        "push": offer.push,
        "next_push": offer.next_push,
        "total": offer.total,
    }
