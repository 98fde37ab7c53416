"""imageforge backup: one file that brings everything back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from imageforge.backup import Taken, take
from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.report.units import megabytes
from imageforge.store import Audit


def backup(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Where to; - is standard output.")] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Also what opens the secrets: keep such a file as safe as them.")
    ] = False,
) -> None:
    """Write all that `restore` needs to one file.

    That is apps, releases with their images, settings, pushed repositories and waiting builds.
    Everything goes on running meanwhile. Without --with-key the secrets in it stay sealed, and the key file of this
    home must be kept elsewhere.
    """
    here = Workplace.here()
    if not here.home.exists or not here.home.store.exists():
        raise UsageError("home-empty", str(here.home.path), "there is nothing to back up", hint="imageforge up")
    if file == "-":
        taken = take(here.home, here.settings, sys.stdout.buffer, keys=with_key)
        sys.stdout.buffer.flush()
        _tell(taken, "standard output", None)
    else:
        target = Path(file or time.strftime("imageforge-%Y%m%d-%H%M%S.tar"))
        _tell(_to_file(here, target, keys=with_key), str(target), target.stat().st_size)
    with here.database() as database:
        Audit(database).record("command line", "backup", str(here.home.path), keys=with_key)


def _to_file(here: Workplace, target: Path, *, keys: bool) -> Taken:
    if target.exists():
        raise UsageError("file-exists", str(target), "it is there already", hint="name another file, or remove it")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _open(draft) as out:
            taken = take(here.home, here.settings, out, keys=keys)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    return taken


def _open(draft: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise UsageError(
            "file-not-writable", str(draft.parent), str(error.strerror), hint="name another file"
        ) from error


def _tell(taken: Taken, where: str, size: int | None) -> None:
    much = f", {megabytes(size)}" if size is not None else ""
    say(f"backup   {taken.images} images, {taken.repositories} repositories{much}: {where}")
    if taken.sealed and not taken.keys:
        say(f"keys     {taken.sealed} secrets are sealed in it: keep a copy of the key file, or use --with-key")
    for reference in taken.missing:
        say(f"missing  {reference} is not in the registry any more")
