"""imageforge image: images in the engine, in layouts, archives and registries."""

from __future__ import annotations

import typer

from imageforge.cli.image_copy import copy, pull, push
from imageforge.cli.image_diff import diff
from imageforge.cli.image_gc import gc
from imageforge.cli.image_inspect import inspect
from imageforge.cli.image_ls import ls
from imageforge.cli.image_tags import rm, tags

app = typer.Typer(
    no_args_is_help=True,
    help="""Look into, compare, copy and tidy images.

    docker-daemon:NAME, docker-archive:FILE[:NAME], oci:DIR[:TAG], docker://REF.""",
)
app.command("ls")(ls)
app.command("inspect")(inspect)
app.command("diff")(diff)
app.command("copy")(copy)
app.command("push")(push)
app.command("pull")(pull)
app.command("tags")(tags)
app.command("rm")(rm)
app.command("gc")(gc)
