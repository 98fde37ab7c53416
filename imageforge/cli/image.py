"""imageforge image: images in the engine, in layouts, archives and registries."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from imageforge.cli.later import Later, absent

MODULES = {
    "ls": "image_ls",
    "inspect": "image_inspect",
    "diff": "image_diff",
    "copy": "image_copy",
    "push": "image_copy",
    "pull": "image_copy",
    "tags": "image_tags",
    "rm": "image_tags",
    "gc": "image_gc",
}
"""Where each command is."""


class _Images(TyperGroup):
    """Its commands; a push needs nothing of what sweeps and lists the releases' images."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Later({name: _maker(name) for name in MODULES})


app = typer.Typer(
    cls=_Images,
    no_args_is_help=True,
    help="""Look into, compare, copy and tidy images.

    docker-daemon:NAME, docker-archive:FILE[:NAME], oci:DIR[:TAG], docker://REF.""",
)


@app.callback()
def group() -> None:
    """Without it Typer finds nothing in a group that has no command yet."""


def _maker(name: str) -> Callable[[], Any]:
    def make() -> Any:
        around = typer.Typer(add_completion=False, rich_markup_mode=None)
        around.callback()(group)
        try:
            command = getattr(importlib.import_module(f"imageforge.cli.{MODULES[name]}"), name)
        except (ImportError, AttributeError):
            if platform.system() == "Linux":
                raise
            command = absent(f"image {name}")
        around.command(name)(command)
        return get_group(around).commands[name]

    return make
