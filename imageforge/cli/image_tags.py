"""imageforge image tags and rm: the names in a repository or layout, and taking one away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from builders import remove_tag
from imageforge.cli.confirm import confirm
from imageforge.cli.image_access import CaOption, PlainOption, access, carrier, writing
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.images.name import ImageName, Transport
from imageforge.images.removal import refuse_in_engine, remove_from_registry
from imageforge.stack import engine_choice
from imageforge.stack.state import running_supervisor
from registry import ImageRef, OciLayout


def tags(
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="docker://NAME, or oci:DIR.")],
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the tags of a repository, or the names in a layout.

    A name without a registry is Docker Hub's; the local one is 127.0.0.1:PORT, in `imageforge status`.
    """
    found = ImageName.parse(repository, bare=Transport.REGISTRY)
    if found.transport is Transport.LAYOUT:
        names = OciLayout.open(found.file).names()
    elif found.transport is Transport.REGISTRY:
        with (
            carrier(Workplace.here(), access(ca, plain_http)) as working,
            working.client(found.named.registry) as client,
        ):
            names = client.tags(found.named.repository, missing=False)
    else:
        raise UsageError(
            "not-a-repository",
            repository,
            "it has no tags",
            hint="docker://NAME or oci:DIR; image ls shows the engine's",
        )
    show([{"tag": name} for name in names], columns=("tag",), form=form, empty="no tags")


def rm(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="docker://REF, oci:DIR:TAG or docker-daemon:NAME.")],
    all_tags: Annotated[
        bool, typer.Option("--all-tags", help="Where the image has other tags that cannot stay without it, those too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ca: CaOption = None,
    plain_http: PlainOption = None,
) -> None:
    """Remove an image by its name.

    What a release or an applied object has is never removed. Of a registry only the manifest goes; its blobs go when
    it is swept.
    """
    found = ImageName.parse(image)
    here = Workplace.here()
    if found.transport is Transport.ARCHIVE:
        raise UsageError("not-a-repository", image, "an archive is a file", hint=f"rm {found.file}")
    if found.transport is Transport.LAYOUT:
        if found.tag is None:
            raise UsageError(
                "no-name", image, "expected a name in the layout", hint="oci:DIR:TAG; image tags lists them"
            )
        layout = OciLayout.open(found.file)
        layout.manifest_descriptor(found.tag)
        confirm(f"remove {image}", yes=yes)
        layout.remove(found.tag)
    elif found.transport is Transport.ENGINE:
        endpoint = engine_choice.answering(here.home, here.settings)
        refuse_in_engine(endpoint, found, _applied(here))
        confirm(f"remove {image} from the engine", yes=yes)
        remove_tag(endpoint, found.tag or image)
    else:
        confirm(f"remove {image}", yes=yes)
        with (
            carrier(here, access(ca, plain_http)) as working,
            writing(here, found),
            working.client(found.named.registry) as client,
        ):
            gone = remove_from_registry(
                client, found.named, needed=_needed(here), applied=_applied(here), all_tags=all_tags
            )
            say(f"removed {', '.join(gone)}")
            return
    say(f"removed {image}")


def _applied(here: Workplace) -> Mapping[str, str]:
    """What applied objects have, with these; they are known where the stack runs. Raises what the controller raises."""
    if not running_supervisor(here.home):
        return {}
    from imageforge.stack.tidy import applied_users  # noqa: PLC0415 - as above

    return applied_users(here.home)


def _needed(here: Workplace) -> frozenset[ImageRef]:
    """What releases have."""
    if not here.home.store.exists():
        return frozenset()
    from imageforge.store import Releases  # noqa: PLC0415 - most commands never open it

    with here.database() as database:
        return frozenset(ImageRef.parse(reference) for reference in Releases(database).references() if "@" in reference)
