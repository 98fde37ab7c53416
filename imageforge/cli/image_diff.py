"""imageforge image diff: what changes from one image to another."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from builders import ImageDiff, Limits, diff_images, printable
from imageforge.cli.image_access import CaOption, PlainOption
from imageforge.cli.image_opening import DEFAULTS, MaxBytes, MaxEntries, MaxRatio, PlatformOption, look
from imageforge.cli.output import Format, FormatOption, document, say, show
from imageforge.images.name import ImageName
from imageforge.report.units import counted

LONGEST = 60
"""Characters of a value in the table; JSON has all of them."""
DIFFERENT = 1


def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="The image before; a bare name is the engine's.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The image after.")],
    times: Annotated[bool, typer.Option("--times", help="Compare the times of files as well.")] = False,
    platform: PlatformOption = None,
    max_entries: MaxEntries = DEFAULTS.entries,
    max_bytes: MaxBytes = DEFAULTS.total,
    max_ratio: MaxRatio = DEFAULTS.ratio,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compare two images, path by path, and their configurations.

    Paths are added, removed or changed: in type, content, mode, owner, group, hard links, target, device or extended
    attributes. Exit code 1 where there is a difference.
    """
    names = ImageName.parse(one), ImageName.parse(other)
    limits = Limits(entries=max_entries, total=max_bytes, ratio=max_ratio)
    with look(limits, platform, ca=ca, plain_http=plain_http) as at:
        images = [at.opening.open(name, at.folder / str(number)) for number, name in enumerate(names)]
        found = diff_images(*images, times=times, limits=limits, check=at.working.check)
    _tell(found, form)
    if found:
        raise typer.Exit(DIFFERENT)


def _tell(found: ImageDiff, form: Format) -> None:
    if form in (Format.JSON, Format.YAML):
        document(_data(found), form)
        return
    rows: list[dict[str, Any]] = [
        {"change": path.change.value, "path": path.path, "what": ", ".join(path.what)} for path in found.paths
    ]
    rows += [
        {
            "change": setting.change.value,
            "path": printable(setting.name),
            "what": f"{_text(setting.before)} -> {_text(setting.after)}",
        }
        for setting in found.settings
    ]
    show(rows, columns=("change", "path", "what"), form=form, empty="no difference")
    if found:
        say(f"{counted(len(found.paths), 'path')}, {counted(len(found.settings), 'setting')}")


def _data(found: ImageDiff) -> dict[str, Any]:
    return {
        "paths": [{**asdict(path), "change": path.change.value, "what": list(path.what)} for path in found.paths],
        "config": [{**asdict(setting), "change": setting.change.value} for setting in found.settings],
    }


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
