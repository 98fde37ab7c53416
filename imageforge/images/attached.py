"""What a build says of its image, attached to it in the registry: the lint report, the bill, and where it came from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from imageforge import __version__
from registry import Artifact, Descriptor, RegistryClient, as_document, attach, attached
from registry.manifest import canonical_json


class Kind(StrEnum):
    """The documents, by the artifact types under which a registry keeps them."""

    LINT = "application/vnd.imageforge.lint.v1+json"
    BILL = "application/vnd.imageforge.bill.v1+json"
    PROVENANCE = "application/vnd.imageforge.provenance.v1+json"


IN_TOTO = "application/vnd.in-toto+json"
BUILD_TYPE = "https://imageforge.io/build/v1"
_MEDIA_TYPES = {Kind.LINT: "application/json", Kind.BILL: "application/json", Kind.PROVENANCE: IN_TOTO}


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where an image came from. `repository` and `revision` where it was built out of git; `tree` is the digest of all
    that decides the image, where it is known; `arguments` are the names of the build arguments, without their values;
    `bases` the images it was built on, with their IDs in the engine where it has them; `tools` what built it."""

    repository: str | None
    revision: str | None
    dockerfile: str
    dockerfile_digest: str
    target: str | None
    arguments: tuple[str, ...]
    squash: str
    tree: str | None
    bases: Mapping[str, str | None]
    tools: Mapping[str, str]


def provenance(origin: Origin, *, name: str, digest: str) -> dict[str, Any]:
    """An in-toto statement with SLSA's provenance 1, not signed: what the build itself says (slsa.dev/spec/v1.0)."""
    parameters: dict[str, Any] = {
        "repository": origin.repository,
        "revision": origin.revision,
        "dockerfile": origin.dockerfile,
        "target": origin.target,
        "arguments": list(origin.arguments),
        "squash": origin.squash,
    }
    dependencies: list[dict[str, Any]] = [
        {"name": "Dockerfile", "digest": {"sha256": origin.dockerfile_digest.removeprefix("sha256:")}}
    ]
    if origin.repository and origin.revision:
        dependencies.append({"uri": f"git+{origin.repository}", "digest": {"gitCommit": origin.revision}})
    for base, identity in origin.bases.items():
        entry: dict[str, Any] = {"uri": f"docker-image:{base}"}
        if identity:
            entry["digest"] = {"sha256": identity.removeprefix("sha256:")}
        dependencies.append(entry)
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {key: value for key, value in parameters.items() if value is not None},
                "internalParameters": {"tree": origin.tree} if origin.tree else {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": "imageforge",
                    "version": {"imageforge": __version__, "python": platform.python_version(), **origin.tools},
                },
            },
        },
    }


def attach_documents(
    client: RegistryClient, repository: str, subject: Descriptor, documents: Mapping[Kind, Any]
) -> None:
    """Attach them; what an earlier build of the same image attached is replaced. Raises RegistryError's subclasses."""
    artifacts = [
        Artifact(kind=kind, media_type=_MEDIA_TYPES[kind], data=canonical_json(document))
        for kind, document in documents.items()
    ]
    attach(client, repository, subject, artifacts)


def attached_documents(client: RegistryClient, repository: str, digest: str) -> dict[Kind, Any]:
    """What builds attached to an image of a registry, as JSON; nothing of what is absent or unreadable. Raises
    RegistryError's subclasses where the registry does not answer."""
    found = attached(client, repository, digest, [kind.value for kind in Kind])
    return {Kind(one.kind): document for one in found if (document := as_document(one)) is not None}
