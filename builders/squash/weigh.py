"""What layers weigh on the wire: known where a blob is there, else found by compressing some of each."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from builders.bill import Costs, LayerCost, Past
from builders.squash.blobs import Blob, BlobStore
from builders.squash.source import Layer
from builders.squash.survey import Survey

_SAMPLES = 32
_SAMPLE = 32 << 10  # bytes; deflate's own window
_LEVEL = 1  # of zlib, which packs as ISA-L's level 2 does, within a few percent


def weigh(
    survey: Survey,
    layers: Sequence[Layer],
    store: BlobStore,
    blobs: Mapping[str, Blob],
    present: Callable[[str], bool],
) -> tuple[LayerCost, ...]:
    """Each layer's cost. `blobs` came with the image, `present` tells whether the target has a digest."""
    costs = []
    for found, layer in zip(survey.layers, layers, strict=True):
        blob = blobs.get(layer.diff_id) or store.find(layer.diff_id)
        costs.append(
            LayerCost(
                diff_id=layer.diff_id,
                size=layer.size,
                wasted=found.wasted,
                packed=blob.size if blob else estimate(layer),
                present=blob is not None and present(blob.digest),
            )
        )
    return tuple(costs)


def reckon(
    survey: Survey,
    layers: Sequence[Layer],
    *,
    base: Sequence[str] | None,
    store: BlobStore,
    blobs: Mapping[str, Blob] = MappingProxyType({}),
    history: Sequence[Past] = (),
    present: Callable[[str], bool] = lambda _: False,
) -> Costs:
    """All that a bill is made of; `base` are the base image's diff-IDs, `history` the pushes before, newest first."""
    diff_ids = [layer.diff_id for layer in layers]
    shared = len(base) if base is not None and diff_ids[: len(base)] == list(base) else None
    return Costs(layers=weigh(survey, layers, store, blobs, present), base=shared, history=tuple(history))


def estimate(layer: Layer) -> int:
    """About how many bytes a layer's blob will have, from samples that lie evenly in it: a mebibyte is read at most."""
    if layer.size <= _SAMPLES * _SAMPLE:
        return len(zlib.compress(b"".join(layer.ranges([0], layer.size)), _LEVEL))
    offsets = [number * (layer.size - _SAMPLE) // (_SAMPLES - 1) for number in range(_SAMPLES)]
    packed = sum(len(zlib.compress(sample, _LEVEL)) for sample in layer.ranges(offsets, _SAMPLE))
    return round(layer.size * packed / (_SAMPLES * _SAMPLE))
