"""imageforge apply: make the objects of manifests."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.applying import show_following, show_objects
from imageforge.cli.files import FilesOption, read_files
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption
from imageforge.report.apply import ObjectRow


def apply(
    files: FilesOption,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until every Deployment of them is rolled out; then report how it went.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make the objects as the manifests say.

    Each file whole or not at all, and none before all of them are found right. With --wait it exits 1 where a rollout
    comes to no end, or a request was lost in it.
    """
    texts = [(file.source, file.text) for file in read_files(files)]
    there = objects()
    if wait and not dry_run:
        show_following(there.follow_apply(texts), form)
        return
    done = [item for source, text in texts for item in there.check(text, source=source)]
    if not dry_run:
        done = [item for source, text in texts for item in there.apply(text, source=source)]
    show_objects((ObjectRow(kind=i.kind, namespace=i.namespace, name=i.name, change=i.change) for i in done), form)
