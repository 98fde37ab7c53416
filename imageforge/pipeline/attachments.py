"""What a build attaches to the image that it pushed. The image is there and right without it: a registry that does not
take it fails no build."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from builders import BuilderError, Endpoint, EngineError, engine_facts, find_build_client, inspect_image
from imageforge.images.attached import Kind, Origin, attach_documents, provenance
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.gate import shown_dockerfile
from imageforge.pipeline.plan import Plan
from imageforge.vault import Mask
from linters import LintReport
from linters.reporters.document import report_data
from registry import Descriptor, ImageRef, OciLayout, Patience, RegistryClient, RegistryError

PATIENCE = Patience(tries=3, hangs=1, silence=30.0)


def attach_reports(
    plan: Plan,
    report: LintReport,
    bill: Mapping[str, Any],
    *,
    tree: str | None,
    reference: ImageRef,
    layout: OciLayout,
    endpoint: Endpoint,
    mask: Mask,
    log: StageLog,
) -> None:
    """Attach the lint report, the bill and the provenance to the image at `reference`, which names its digest; secrets
    are masked in them. Where the registry does not take them, a note says so."""
    manifest = layout.manifest_descriptor()
    subject = Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=manifest.size)
    try:
        origin = origin_of(plan, report, tree=tree, endpoint=endpoint)
        name = f"{reference.registry}/{reference.repository}"
        documents = {
            Kind.LINT: report_data(report),
            Kind.BILL: dict(bill),
            Kind.PROVENANCE: provenance(origin, name=name, digest=manifest.digest),
        }
        with RegistryClient(reference.registry, patience=PATIENCE) as client:
            attach_documents(client, reference.repository, subject, mask.data(documents))
    except (RegistryError, BuilderError) as error:
        log.emit(EventKind.NOTE, f"lint report, bill and provenance are not attached to the image: {error.message}")


def origin_of(plan: Plan, report: LintReport, *, tree: str | None, endpoint: Endpoint) -> Origin:
    """Where the image of a plan comes from."""
    facts = engine_facts(endpoint)
    client = find_build_client(endpoint, facts)
    names = report.images if report.images is not None else tuple(filter(None, (report.base_image,)))
    return Origin(
        repository=without_login(plan.repository) if plan.repository else None,
        revision=plan.revision,
        dockerfile=shown_dockerfile(plan),
        dockerfile_digest=f"sha256:{hashlib.sha256(plan.dockerfile.read_bytes()).hexdigest()}",
        target=plan.target,
        arguments=tuple(sorted(plan.build_args)),
        squash=plan.squash.value,
        tree=tree,
        bases={name: _identity(name, endpoint) for name in names if name != "scratch"},
        tools={"engine": facts.version, client.kind.value: client.version},
    )


def without_login(url: str) -> str:
    """A repository's address without what may be a token: the user of ssh is none."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return url


def _identity(name: str, endpoint: Endpoint) -> str | None:
    try:
        return inspect_image(name, endpoint=endpoint).image_id
    except EngineError:
        return None
