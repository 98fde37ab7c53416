"""Taking an image out of a registry by its name, and nothing else with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from builders import Endpoint, has_image, inspect_image
from imageforge.errors import UsageError
from imageforge.images.name import ImageName
from registry import ImageRef, InvalidReference, RefusedError, RegistryClient


def remove_from_registry(
    client: RegistryClient,
    reference: ImageRef,
    *,
    needed: Collection[ImageRef],
    applied: Mapping[str, str],
    all_tags: bool,
) -> tuple[str, ...]:
    """Delete a tag, or what a digest names with all of its tags; the names that went. `needed` is what releases have,
    `applied` what objects name, with the objects.

    Registries of before OCI's distribution 1.1 delete manifests alone, and with one all of its tags: there an image
    that has other tags is refused, unless `all_tags`. Raises UsageError (`image-in-use`, `other-tags`), RefusedError.
    """
    repository = reference.repository
    digest = client.get_manifest(repository, reference.digest or reference.tag or "latest").digest
    if any((ref.registry, ref.repository, ref.digest) == (client.registry, repository, digest) for ref in needed):
        raise UsageError(
            "image-in-use",
            str(reference),
            "a release has it",
            hint=f"imageforge releases {repository} shows which; it goes when the app is deleted or has newer ones",
            kept="nothing was removed",
        )
    for image, user in applied.items():
        used = _in_engine(image)
        ref = used.reference if used else None
        if ref is None or (ref.registry, ref.repository) != (client.registry, repository):
            continue
        if digest == (ref.digest or client.manifest_digest(repository, ref.tag or "latest")):
            raise _applied(str(reference), user)
    named = f"{client.registry}/{repository}"
    others = [] if reference.digest or all_tags else _others(client, reference, digest)
    if others:
        try:
            client.delete_manifest(repository, reference.tag or "latest")
        except RefusedError as error:
            if error.code not in ("registry-unsupported", "registry-digest-invalid", "registry-tag-invalid"):
                raise
            raise UsageError(
                "other-tags",
                str(reference),
                f"the image has the tags {', '.join(others)} too, and this registry deletes them all or none",
                hint="--all-tags removes them with it",
                kept="nothing was removed",
            ) from error
        return (f"{named}:{reference.tag}",)
    client.delete_manifest(repository, digest)
    return (f"{named}@{digest}",)


def refuse_in_engine(endpoint: Endpoint, name: ImageName, applied: Mapping[str, str]) -> None:
    """Raise UsageError (`image-in-use`) where an object that is applied has the engine's image by this name, or where
    it is named by its ID, by any; EngineError (`image-missing`) where the engine does not have it."""
    image_id = inspect_image(name.tag or str(name), endpoint=endpoint).image_id
    for image, user in applied.items():
        used = _in_engine(image)
        if used is None:
            continue
        if name.reference is not None and used.reference is not None:
            found = name.reference == used.reference
        else:
            found = has_image(endpoint, image) and inspect_image(image, endpoint=endpoint).image_id == image_id
        if found:
            raise _applied(str(name), user)


def _in_engine(image: str) -> ImageName | None:
    """What an object names; None where that is no image's name, as its pod says, and so has none."""
    try:
        return ImageName.parse(f"docker-daemon:{image}")
    except (InvalidReference, UsageError):
        return None


def _applied(image: str, user: str) -> UsageError:
    return UsageError(
        "image-in-use",
        image,
        f"{user} has it",
        hint="it can go once that is deleted or has another image",
        kept="nothing was removed",
    )


def _others(client: RegistryClient, reference: ImageRef, digest: str) -> list[str]:
    repository = reference.repository
    tags = [tag for tag in client.tags(repository) if tag != reference.tag]
    return [tag for tag in tags if client.manifest_digest(repository, tag) == digest]
