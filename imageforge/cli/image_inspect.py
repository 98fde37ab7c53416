"""imageforge image inspect: what an image is made of, who wasted what, and what a push would cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from builders import Limits, OpenedImage, inspect_opened
from imageforge.cli.image_access import CaOption, PlainOption
from imageforge.cli.image_opening import DEFAULTS, MaxBytes, MaxEntries, MaxRatio, PlatformOption, look
from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.errors import UsageError
from imageforge.images.attached import attached_documents
from imageforge.images.carry import Carrier
from imageforge.images.name import ImageName, Transport
from imageforge.images.presence import presence
from imageforge.report.inspection import inspection_data, inspection_lines, inspection_rows


def inspect(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Where it is; a bare name is the engine's.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="REF", help="What a push there would send; what it has is not sent.")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="IMAGE", help="The base image, or `scratch`; else what it names.")
    ] = None,
    platform: PlatformOption = None,
    max_entries: MaxEntries = DEFAULTS.entries,
    max_bytes: MaxBytes = DEFAULTS.total,
    max_ratio: MaxRatio = DEFAULTS.ratio,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what an image's layers hold and waste.

    Each with its command and size. Wasted is what layers above rewrote or deleted, each byte counted once. Shown as
    well: the largest files, setuid files, files with the names of secrets that were deleted and are still in a layer,
    and what a push would send.
    """
    name = ImageName.parse(image)
    target = ImageName.parse(to, bare=Transport.REGISTRY) if to else None
    if target is not None and target.transport is not Transport.REGISTRY:
        raise UsageError("not-a-registry-name", str(to), "images are pushed to registries", hint="--to docker://REF")
    limits = Limits(entries=max_entries, total=max_bytes, ratio=max_ratio)
    with (
        look(limits, platform, ca=ca, plain_http=plain_http) as at,
        presence(at.working, target) as present,
    ):
        opened = at.opening.open(name, at.folder / "layers")
        found = inspect_opened(
            opened,
            base=at.opening.base(base, opened, name),
            blobs=at.here.home.blobs,
            present=present,
            limits=limits,
            check=at.working.check,
        )
        attached = _attached(at.working, name, opened)
    goal = str(target.named) if target else None
    if form in (Format.JSON, Format.YAML):
        document(inspection_data(opened, found, target=goal, attached=attached), form)
        return
    show(
        inspection_rows(found),
        columns=("layer", "size", "compressed", "wasted", "wastes", "command"),
        wide=("files", "diff_id"),
        form=form,
        empty="no layers",
    )
    write("\n".join(inspection_lines(found, target=goal)))
    if attached:
        write(f"attached: {', '.join(attached)} (-o json)")


def _attached(working: Carrier, name: ImageName, image: OpenedImage) -> dict[str, Any]:
    """The documents that its build attached to an image of a registry, by the last word of their kinds."""
    if name.transport is not Transport.REGISTRY or image.manifest is None:
        return {}
    with working.client(name.named.registry) as client:
        found = attached_documents(client, name.named.repository, image.manifest.digest)
    return {kind.name.lower(): document for kind, document in found.items()}
