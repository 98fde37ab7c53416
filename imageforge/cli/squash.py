"""imageforge squash: an image with fewer layers, from anywhere to anywhere."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from builders import BuiltImage, EngineError, Limits, SquashedImage, SquashMode, inspect_image, squash_opened
from imageforge.cli.image_access import CaOption, CompressionOption, PlainOption, access, carrier, telling
from imageforge.cli.image_opening import DEFAULTS, MaxBytes, MaxEntries, MaxRatio, PlatformOption, opener
from imageforge.cli.output import Format, FormatOption, document, facts, say, write
from imageforge.cli.state import Workplace
from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import UsageError
from imageforge.images.carry import Carrier, sending
from imageforge.images.name import ImageName, Transport
from imageforge.images.presence import presence
from imageforge.report.bill import bill_lines, squash_data, squash_line
from imageforge.report.transfer import Transfer
from imageforge.report.units import megabytes
from imageforge.stack.registry_lock import writing_registry
from registry import Platform


def squash(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Where it is; a bare name is the engine's.")],
    target: Annotated[
        str | None,
        typer.Argument(metavar="[DST]", help="Where it goes; without one, the engine, with -squashed at its tag."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="One layer, the base image's merged as well.")] = False,
    from_base: Annotated[bool, typer.Option("--from-base", help="Merge all that is above the base image.")] = False,
    keep_layers: Annotated[
        int | None,
        typer.Option("--keep-layers", metavar="N", min=0, help="Keep the lowest N layers, merge the others."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="IMAGE", help="The base image, or `scratch`; else what the image names."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", metavar="DOCKERFILE", help="Take the base image from its FROM.")
    ] = None,
    replace_source: Annotated[bool, typer.Option("--replace", help="DST may be SRC itself.")] = False,
    platform: PlatformOption = None,
    compression: CompressionOption = None,
    max_entries: MaxEntries = DEFAULTS.entries,
    max_bytes: MaxBytes = DEFAULTS.total,
    max_ratio: MaxRatio = DEFAULTS.ratio,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Merge an image's layers, and prove that its files are the same.

    Without --all, --from-base or --keep-layers the bill decides: by the bytes that the layers waste, and those that
    this push and the next ten would send. SRC stays as it is.
    """
    mode = _mode(everything, from_base, keep_layers)
    name = ImageName.parse(source)
    goal = ImageName.parse(target) if target is not None else _beside(name)
    if _same(name, goal) and not replace_source:
        raise UsageError("same-place", str(goal), "it would take the source's place", hint="name another, or --replace")
    here, given = Workplace.here(), base or (_from(file) if file else None)
    limits = Limits(entries=max_entries, total=max_bytes, ratio=max_ratio)
    with contextlib.ExitStack() as held:
        held.enter_context(telling("interrupted: no name was set; the layers that are packed already are kept"))
        working = held.enter_context(carrier(here, access(ca, plain_http), compression))
        # Whatever the places, the merged layer goes through the store of layers, which is swept.
        held.enter_context(writing_registry(here.home))
        folder = held.enter_context(working.scratch())
        shown = held.enter_context(Transfer(quiet=VERBOSITY.quiet))
        try:
            opening = opener(working, limits, platform, shown)
            image = opening.open(name, folder / "layers")
            ahead = held.enter_context(working.ahead(goal, shown))
            below = opening.base(given, image, name)
            result = squash_opened(
                image,
                mode=mode,
                base=below,
                keep=keep_layers,
                limits=opening.limits,
                present=held.enter_context(presence(working, goal if goal.transport is Transport.REGISTRY else None)),
                layout=folder / "layout",
                blobs=here.home.blobs,
                check=working.check,
                compression=working.compression,
                on_blob=sending(ahead),
            )
            done = ImageName.parse(f"oci:{folder / 'layout'}")
            before = _of_name(goal, working)
            wanted = _platform(image.source.config)
            with working.dropping(folder / "layout"):
                working.carry(done, goal, platform=wanted, on_progress=shown, on_plan=shown.plan, ahead=ahead)
        except InterruptedError:
            raise KeyboardInterrupt from None
    _tell(result, goal, form)
    _tell_moved(goal, before, working)
    if below is None and not result.proved and mode is SquashMode.AUTO:
        say("hint: --base IMAGE or -f DOCKERFILE names the base image; --all needs none")


def _of_name(goal: ImageName, working: Carrier) -> BuiltImage | None:
    """What has the name in the engine now; None where nothing has, or it is of another place."""
    if goal.transport is not Transport.ENGINE or goal.reference is None:
        return None
    try:
        return inspect_image(str(goal.named), endpoint=working.engine())
    except EngineError as error:
        if error.code != "image-missing":
            raise
        return None


def _tell_moved(goal: ImageName, before: BuiltImage | None, working: Carrier) -> None:
    with contextlib.suppress(EngineError):  # it is done, whatever the engine says of it now
        if note := moved(str(goal), before, _of_name(goal, working)):
            say(f"  note: {note}")


def moved(name: str, before: BuiltImage | None, after: BuiltImage | None) -> str:
    """That a name of the engine's was another image's, which has one less from now on, and may have been the smaller;
    empty where it was not. As with `docker tag`, a name goes to whom it was given last."""
    if before is None or after is None or before.image_id == after.image_id:
        return ""
    short = before.image_id.removeprefix("sha256:")[:12]
    smaller = ", smaller than this one" if before.size < after.size else ""
    return (
        f"{name.removeprefix('docker-daemon:')} was {short} until now, {megabytes(before.size)}{smaller}; "
        f"to name that again: imageforge image copy {short} docker-daemon:NAME:TAG"
    )


def _mode(everything: bool, from_base: bool, keep_layers: int | None) -> SquashMode:
    asked = {
        SquashMode.ALL: everything,
        SquashMode.FROM_BASE: from_base,
        SquashMode.KEEP_LAYERS: keep_layers is not None,
    }
    modes = [mode for mode, wanted in asked.items() if wanted]
    if len(modes) > 1:
        names = " and ".join(f"--{mode}" for mode in modes)
        raise UsageError("usage", names, "each says another thing", hint="leave all but one of them out")
    return modes[0] if modes else SquashMode.AUTO


def _beside(name: ImageName) -> ImageName:
    """Where it goes if nobody says."""
    if name.reference is None or name.transport is Transport.LAYOUT:
        raise UsageError(
            "no-name", str(name), "it has no name to make another of", hint=f"name one: imageforge squash {name} DST"
        )
    beside = replace(name.named, tag=f"{name.named.tag or 'latest'}-squashed", digest=None)
    return ImageName.parse(f"docker-daemon:{beside.familiar}")


def _same(one: ImageName, other: ImageName) -> bool:
    if one.transport is not other.transport:
        return False
    if one.transport is Transport.LAYOUT:
        return one.file.resolve() == other.file.resolve() and one.tag == other.tag
    if one.transport is Transport.ARCHIVE:
        return one.file.resolve() == other.file.resolve()
    return one.reference is not None and one.reference == other.reference


def _from(file: Path) -> str:
    """The image that the last stage of a Dockerfile begins with."""
    from linters import check  # noqa: PLC0415 - all rules come with it, and mostly --base or the image names its base

    found = check(file, context=file.parent, target=None, build_args={}, display_name=str(file)).base_image
    if found is None:
        raise UsageError(
            "base-unknown", str(file), "its last FROM hangs on what only the build knows", hint="name it with --base"
        )
    return found


def _platform(config: dict[str, object]) -> Platform | None:
    """The image's own: the engine is given what was squashed, whatever machine it is for."""
    if not config.get("os") or not config.get("architecture"):
        return None
    variant = f"/{config['variant']}" if config.get("variant") else ""
    return Platform.parse(f"{config['os']}/{config['architecture']}{variant}")


def _tell(result: SquashedImage, goal: ImageName, form: Format) -> None:
    name = str(goal)
    if goal.transport is Transport.REGISTRY:
        name = str(goal.named.with_tag(None).with_digest(result.digest))
    data = {"name": name, **squash_data(result)}
    if form in (Format.JSON, Format.YAML):
        document(data, form)
        return
    say(squash_line(result))
    if result.note:
        say(f"  {result.note}")
    if result.bill is not None:
        say("\n".join(bill_lines(result.bill)))
    if form is Format.TABLE:
        write(name)
    else:
        facts({key: value for key, value in data.items() if key != "bill"}, form)
