"""imageforge image copy, push and pull: an image from one place to another."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from builders import Compression, Limits
from imageforge.cli.image_access import CaOption, CompressionOption, PlainOption, access, carrier, telling, writing
from imageforge.cli.image_opening import DEFAULTS, MaxBytes, MaxRatio, PlatformOption
from imageforge.cli.output import Format, FormatOption, document, facts, say, write
from imageforge.cli.state import Workplace
from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import UsageError
from imageforge.images.name import ImageName, Transport
from imageforge.report.transfer import Transfer
from imageforge.report.units import counted, megabytes
from registry import CopyResult, ImageRef, Platform

AllOption = Annotated[bool, typer.Option("--all-platforms", help="All images, their index and attestations.")]
SourceArgument = Annotated[str, typer.Argument(metavar="SRC", help="Where it is; a bare name is the engine's.")]


def copy(
    source: SourceArgument,
    target: Annotated[str, typer.Argument(metavar="DST", help="Where it goes; a bare name is the engine's.")],
    platform: PlatformOption = None,
    all_platforms: AllOption = False,
    compression: CompressionOption = None,
    max_bytes: MaxBytes = DEFAULTS.total,
    max_ratio: MaxRatio = DEFAULTS.ratio,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Copy an image.

    What is there already is not sent. An index goes whole, with its attestations, unless --platform chooses; the
    engine and archives take one image. What is attached to it (lint report, bill, provenance, signatures) goes along to
    docker://REF and oci:DIR:TAG. An interrupted copy goes on where it was.
    """
    found, place = ImageName.parse(source), ImageName.parse(target)
    limits = replace(DEFAULTS, total=max_bytes, ratio=max_ratio)
    _carry(found, place, platform, all_platforms, ca, plain_http, form, compression, limits)


def push(
    source: SourceArgument,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[REF]", help="The name there; without one, the image's own."),
    ] = None,
    platform: PlatformOption = None,
    compression: CompressionOption = None,
    max_bytes: MaxBytes = DEFAULTS.total,
    max_ratio: MaxRatio = DEFAULTS.ratio,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Push an image to a registry.

    A name without a registry means the local one, as with build.
    """
    found = ImageName.parse(source)
    named = target or (str(found.reference) if found.transport is Transport.ENGINE and found.reference else None)
    if named is None:
        raise UsageError("no-name", source, "it has no name to push it under", hint="name one: image push SRC REF")
    local = Workplace.here().settings.registry
    place = ImageName.parse(named, bare=Transport.REGISTRY)
    if place.transport is not Transport.REGISTRY:
        raise UsageError("not-a-registry-name", named, "images are pushed to registries", hint="image copy SRC DST")
    if _without_registry(target or (found.tag or ""), place.named):
        place = ImageName.parse(f"docker://{local}/{place.named.familiar}")
    limits = replace(DEFAULTS, total=max_bytes, ratio=max_ratio)
    _carry(found, place, platform, False, ca, plain_http, form, compression, limits)


def pull(
    source: Annotated[str, typer.Argument(metavar="REF", help="The image in a registry.")],
    target: Annotated[
        str | None,
        typer.Argument(metavar="[DST]", help="Where it goes; without one, the engine, under the same name."),
    ] = None,
    platform: PlatformOption = None,
    all_platforms: AllOption = False,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Pull an image from a registry.

    Into the engine, or into oci:DIR[:TAG] or docker-archive:FILE. A name without a registry is Docker Hub's, as
    docker pull has it; the local one is 127.0.0.1:PORT, in `imageforge status`. Of an index it is this machine's
    image, unless --platform or --all-platforms says otherwise.
    """
    found = ImageName.parse(source, bare=Transport.REGISTRY)
    if found.transport is not Transport.REGISTRY:
        raise UsageError("not-a-registry-name", source, "images are pulled from registries", hint="image copy SRC DST")
    if target is None and found.named.tag is None:
        raise UsageError(
            "no-name",
            source,
            "a digest is no name for the engine",
            hint=f"image pull {source} docker-daemon:NAME:TAG",
        )
    place = ImageName.parse(target or f"docker-daemon:{found.named.with_digest(None).familiar}")
    wanted = platform or (None if all_platforms else str(Platform.here()))
    _carry(found, place, wanted, all_platforms, ca, plain_http, form)


def _carry(
    source: ImageName,
    target: ImageName,
    platform: str | None,
    all_platforms: bool,
    ca: Path | None,
    plain_http: list[str] | None,
    form: Format,
    compression: Compression | None = None,
    limits: Limits = DEFAULTS,
) -> None:
    if compression and source.transport not in (Transport.ENGINE, Transport.ARCHIVE):
        raise UsageError(
            "packed-already",
            str(source),
            "its layers are copied as they are packed, and --compression is for those of an engine or a docker-archive",
            hint="leave --compression out",
        )
    if platform and all_platforms:
        raise UsageError("usage", "--platform", "--all-platforms takes all of them", hint="leave one of the two out")
    chosen = Platform.parse(platform) if platform else None
    here = Workplace.here()
    with contextlib.ExitStack() as held:
        held.enter_context(telling("interrupted: no name was set; the same command goes on where it was"))
        working = held.enter_context(carrier(here, access(ca, plain_http), compression))
        working = replace(working, limits=limits)
        held.enter_context(writing(here, source, target))
        shown = held.enter_context(Transfer(quiet=VERBOSITY.quiet))
        try:
            result = working.carry(
                source, target, platform=chosen, all_platforms=all_platforms, on_progress=shown, on_plan=shown.plan
            )
        except InterruptedError:
            raise KeyboardInterrupt from None
    _tell(result, target, form)


def _tell(result: CopyResult, target: ImageName, form: Format) -> None:
    name = str(target)
    if target.transport is Transport.REGISTRY:
        name = str(target.named.with_tag(None).with_digest(result.digest))
    said = [
        f"{megabytes(result.sent_bytes)} in {counted(result.sent_blobs, 'blob')}",
        *([f"{megabytes(result.mounted_bytes)} taken from other repositories"] if result.mounted_blobs else []),
        *([f"{megabytes(result.there_bytes)} already there"] if result.there_blobs else []),
    ]
    if result.attached:
        said.append(f"with {counted(result.attached, 'document')} attached to it")
    say(f"copied {', '.join(said)}")
    if result.note:
        say(f"  note: {result.note}")
    data = {
        "name": name,
        "digest": result.digest,
        "media_type": result.media_type,
        "manifests": result.manifests,
        "sent_bytes": result.sent_bytes,
        "mounted_bytes": result.mounted_bytes,
        "there_bytes": result.there_bytes,
        "attached": result.attached,
    }
    if form in (Format.JSON, Format.YAML):
        document(data, form)
    elif form is Format.TABLE:
        write(name)
    else:
        facts(data, form)


def _without_registry(written: str, named: ImageRef) -> bool:
    """Whether the hub is meant only because nothing else was said."""
    bare = written.removeprefix("docker-daemon:")
    return named.registry == "docker.io" and not bare.startswith(("docker://", "docker.io/", "index.docker.io/"))
