"""Taking an image out of a registry by its name, and nothing else with it."""

from __future__ import annotations

from collections.abc import Collection

from imageforge.errors import UsageError
from registry import ImageRef, RefusedError, RegistryClient


def remove_from_registry(
    client: RegistryClient, reference: ImageRef, *, needed: Collection[ImageRef], all_tags: bool
) -> tuple[str, ...]:
    """Delete a tag, or what a digest names with all of its tags; the names that went.

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


def _others(client: RegistryClient, reference: ImageRef, digest: str) -> list[str]:
    repository = reference.repository
    tags = [tag for tag in client.tags(repository) if tag != reference.tag]
    return [tag for tag in tags if client.manifest_digest(repository, tag) == digest]
