"""imageforge apply: make the objects of manifests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from imageforge.cli.files import FilesOption, SpaceOption, read_files
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.cli.settle import settle_in
from imageforge.cli.state import Workplace
from runtime import Document, load_manifests


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
    documents = [item for file in texts for item in load_manifests(file.text, file.source, namespace)]
    done = [item for file in texts for item in controller.check(file.text, source=file.source, place=namespace)]
    if not dry_run:
        done = [item for file in texts for item in controller.apply(file.text, source=file.source, place=namespace)]
    tell_placement(documents)
    rows = [
        {"object": f"{item.kind.lower()}/{item.name}", "namespace": item.namespace, "change": item.change}
        for item in done
    ]
    show(rows, columns=("object", "namespace", "change"), form=form)
    if wait and not dry_run:
        for item in done:
            if item.kind == "Deployment":
                settle_in(controller, item.namespace, item.name)


def tell_placement(documents: Iterable[Document]) -> None:
    """One line for all that says on which of several machines something is to be."""
    said: dict[str, None] = {}
    for document in documents:
        template = getattr(getattr(document.object, "job", document.object), "template", None)
        said |= dict.fromkeys(template.placement if template is not None else ())
    if said:
        say(f"{', '.join(said)}: without a meaning on one machine; imageforge handoff --check lists where")
