"""What builds left on this machine besides the registry: images in the engine, and compressed layers."""

from __future__ import annotations

import time

from builders import Endpoint, EngineImage, labelled, stored_blobs
from imageforge.backup.images import collect
from imageforge.config import Home, Settings
from imageforge.images.retention import BUILD_NAME, Stored, engine_spare
from imageforge.stack.tidy import YOUNG_SECONDS
from imageforge.store import Builds, Database, Releases
from registry import RegistryClient
from runtime import Label


def engine_images(
    home: Home,
    settings: Settings,
    database: Database,
    endpoint: Endpoint,
    applied: frozenset[str],
    *,
    newest: int | None = None,
) -> tuple[tuple[Stored, EngineImage], ...]:
    """The images that this home made, and which of them are needed: by a release, a young build or an object that is
    `applied`. What a container uses the engine keeps by itself. With `newest` as if all but so many releases of each
    app were forgotten. Raises EngineError."""
    young = time.time() - YOUNG_SECONDS
    needed = Releases(database).images(newest=newest) | Builds(database).images(young=young)
    return tuple(
        (
            Stored(
                name=image.names[0] if image.names else image.image_id,
                parts={image.image_id: image.size},
                used_at=image.created,
                ours=engine_spare(image.names, registry=settings.registry, build_name=BUILD_NAME),
                needed=image.image_id in needed or image.created >= young or not applied.isdisjoint(image.names),
            ),
            image,
        )
        for image in labelled(endpoint, Label.INSTANCE.value, home.instance)
    )


def layers(home: Home, settings: Settings, database: Database, *, newest: int | None = None) -> tuple[Stored, ...]:
    """The compressed layers that builds share; those of images that releases have are needed, for the next build is
    likely to begin with them. `newest` as for `engine_images`. Raises what the registry raises."""
    with RegistryClient(settings.registry) as client:
        images, _ = collect(Releases(database).references(newest=newest), client)
    needed = {digest for image in images for digest in image.blobs}
    return tuple(
        Stored(
            name=blob.digest,
            parts={blob.digest: blob.size},
            used_at=blob.used_at,
            ours=True,
            needed=blob.linked or blob.digest in needed,
        )
        for blob in stored_blobs(home.blobs)
    )
