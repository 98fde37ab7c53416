"""Whether a registry has a blob, for a bill: asked of the one that was named, whose errors are the user's to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imageforge.images.carry import Carrier
from imageforge.images.name import ImageName


@contextmanager
def presence(carrier: Carrier, target: ImageName | None) -> Iterator[Callable[[str], bool]]:
    """A question, by digest; without a target nothing is there. Raises TransportError and RefusedError when asked."""
    if target is None:
        yield lambda _: False
        return
    with carrier.client(target.named.registry) as client:
        yield lambda digest: client.has_blob(target.named.repository, digest)
