"""imageforge diff: what an apply would change."""

from __future__ import annotations

import difflib

import typer

from imageforge.cli.files import FilesOption, SpaceOption, read_files
from imageforge.cli.objects import objects
from imageforge.cli.output import write
from runtime import ObjectChange

DIFFERENT = 1


def diff(files: FilesOption, namespace: SpaceOption = None) -> None:
    """Show what an apply would change. Exit 1 where there is a difference."""
    controller = objects()
    changes = [
        item
        for file in read_files(files)
        for item in controller.preview(file.text, source=file.source, place=namespace)
    ]
    different = [item for item in changes if item.change != "unchanged"]
    for item in different:
        write("\n".join(lines(item)))
    if different:
        raise typer.Exit(DIFFERENT)


def lines(change: ObjectChange) -> list[str]:
    """The unified diff of one object."""
    name = f"{change.namespace}/{change.kind.lower()}/{change.name}"
    return list(
        difflib.unified_diff(
            change.before.splitlines(), change.after.splitlines(), f"live/{name}", f"applied/{name}", lineterm=""
        )
    )
