"""imageforge apply: make the objects of manifests."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.files import FilesOption, SpaceOption, read_files
from imageforge.cli.output import Format, FormatOption, show
from imageforge.cli.settle import settle_in
from imageforge.cli.state import Workplace


def apply(
    files: FilesOption,
    wait: Annotated[bool, typer.Option("--wait", help="Until every Deployment of them is rolled out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    namespace: SpaceOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make the objects as the manifests say.

    Each file whole or not at all, and none before all of them are found right.
    """
    here = Workplace.here()
    controller = here.controller()
    texts = read_files(files)
    done = [item for file in texts for item in controller.check(file.text, source=file.source, place=namespace)]
    if not dry_run:
        done = [item for file in texts for item in controller.apply(file.text, source=file.source, place=namespace)]
    rows = [
        {"object": f"{item.kind.lower()}/{item.name}", "namespace": item.namespace, "change": item.change}
        for item in done
    ]
    show(rows, columns=("object", "namespace", "change"), form=form)
    if wait and not dry_run:
        for item in done:
            if item.kind == "Deployment":
                settle_in(controller, item.namespace, item.name)
