"""What an app's last pushes were made of: which layers changed from one to the next, and which were merged.

A file an app in the home. It is worth bytes and nothing else: without it a build expects its last layer to change.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builders import BuiltImage, Past, SquashedImage
from imageforge.config import Home
from registry import ImageRef, RegistryClient, RegistryError

KEPT = 10


def history(home: Home, app: str) -> tuple[Past, ...]:
    """The pushes before, newest first; what cannot be read counts as none."""
    try:
        records = json.loads(_file(home, app).read_bytes())
        return tuple(_past(record) for record in records)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def remember(home: Home, app: str, built: BuiltImage, squashed: SquashedImage) -> None:
    """Note a push. Where two end at once one note may be lost, and where the disk is full both."""
    bill = squashed.bill
    latest = Past(layers=built.diff_ids, start=bill.shipped.start if bill else None)
    records = [{"layers": past.layers, "start": past.start} for past in (latest, *history(home, app))[:KEPT]]
    file = _file(home, app)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            draft.write_text(json.dumps(records))
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def target(reference: ImageRef | None) -> Iterator[Callable[[str], bool]]:
    """Whether the repository that will be pushed to has a blob, by its digest; nothing is there where no image will be
    pushed, or nobody answers: the push itself will say so."""
    if reference is None:
        yield lambda _: False
        return
    answers = True
    with RegistryClient(reference.registry) as client:

        def present(digest: str) -> bool:
            nonlocal answers
            try:
                return answers and client.has_blob(reference.repository, digest)
            except RegistryError:
                answers = False
                return False

        yield present


def _past(record: dict[str, object]) -> Past:
    layers, start = record["layers"], record["start"]
    if not isinstance(layers, list) or not (start is None or isinstance(start, int)):
        raise TypeError("no record of a push")
    return Past(layers=tuple(str(layer) for layer in layers), start=start)


def _file(home: Home, app: str) -> Path:
    return home.shipped / f"{app}.json"
