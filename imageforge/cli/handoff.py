"""imageforge handoff: files of this machine for a cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from imageforge.cli.files import FilesOption, SpaceOption, read_files
from imageforge.cli.output import Format, FormatOption, show
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.handoff import Level
from imageforge.handoff import check as look
from runtime import load_manifests

DIFFERENT = 1


def handoff(
    files: FilesOption,
    check: Annotated[bool, typer.Option("--check", help="Say what there is to do, and do nothing.")] = False,
    namespace: SpaceOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Say what a cluster reads otherwise in files, or must have.

    Exit 1 where there is something to change or to provide. Nothing needs to run.
    """
    if not check:
        raise UsageError(
            "not-yet",
            "handoff",
            "pushing the images to a registry and writing the files for it is not built yet",
            hint="imageforge handoff -f FILE --check",
        )
    documents = [item for file in read_files(files) for item in load_manifests(file.text, file.source, namespace)]
    found = look(documents, frozenset({Workplace.here().settings.registry}))
    order = list(Level)
    rows = [asdict(item) for item in sorted(found, key=lambda item: order.index(item.level))]
    columns = ("level", "where", "object", "field", "what", "do")
    show(rows, columns=columns, form=form, empty="nothing to do: a cluster takes the files as they are")
    if any(item.level is not Level.NOTE for item in found):
        raise typer.Exit(DIFFERENT)
