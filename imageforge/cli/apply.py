"""imageforge apply: make the objects of manifests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from imageforge.cli.applying import show_following, show_objects
from imageforge.cli.files import FilesOption, SpaceOption, read_files
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, say
from imageforge.report.apply import ObjectRow
from runtime import Document, load_manifests


def apply(
    files: FilesOption,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until every Deployment of them is rolled out; then report how it went.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    namespace: SpaceOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make the objects as the manifests say.

    Each file whole or not at all, and none before all of them are found right. With --wait it exits 1 where a rollout
    comes to no end, or a request was lost in it.
    """
    texts = [(file.source, file.text) for file in read_files(files)]
    documents = [item for source, text in texts for item in load_manifests(text, source, namespace)]
    there = objects()
    if wait and not dry_run:
        tell_placement(documents)
        show_following(there.follow_apply(texts, place=namespace), form)
        return
    done = [item for source, text in texts for item in there.check(text, source=source, place=namespace)]
    if not dry_run:
        done = [item for source, text in texts for item in there.apply(text, source=source, place=namespace)]
    tell_placement(documents)
    show_objects((ObjectRow(kind=i.kind, namespace=i.namespace, name=i.name, change=i.change) for i in done), form)


def tell_placement(documents: Iterable[Document]) -> None:
    """One line for all that says on which of several machines something is to be."""
    said: dict[str, None] = {}
    for document in documents:
        template = getattr(getattr(document.object, "job", document.object), "template", None)
        said |= dict.fromkeys(template.placement if template is not None else ())
    if said:
        say(f"{', '.join(said)}: without a meaning on one machine; imageforge handoff --check lists where")
