"""Blobs on their way: on a terminal a bar each, with bytes, rate and time left; else a line for each that is done."""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from imageforge.report.units import megabytes
from registry import Cargo

SHORT = 19
"""Characters of a digest that tell blobs apart, as Docker shows them: the algorithm and twelve digits."""
SMALL = 1_000_000
"""Bytes of a blob that is gone before anybody has read its line."""


class Transfer:
    """Shows a copy on `stream` (stderr where none is given), or nothing where it is `quiet`. Use it as a context
    manager. May be told from several threads."""

    def __init__(self, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._done: set[str] = set()

    def __enter__(self) -> Transfer:
        try:
            self._bars.start()
        except BaseException:  # we were interrupted, and the cursor may be hidden
            self._bars.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def plan(self, cargo: Cargo) -> None:
        """What there is to carry."""
        total = sum(blob.size for blob in cargo.blobs)
        if len(cargo.manifests) > 1:
            self._console.print(f"{len(cargo.manifests)} manifests, {len(cargo.blobs)} blobs, {megabytes(total)}")

    def __call__(self, digest: str, gone: int, total: int) -> None:
        """So many bytes of a blob have gone. They may become fewer, where an upload is begun again."""
        with self._lock:
            if self._console.is_terminal:
                task = self._tasks.get(digest)
                if task is None:
                    task = self._tasks[digest] = self._bars.add_task(digest[:SHORT], total=total)
                self._bars.update(task, completed=gone)
            if gone >= total and digest not in self._done:
                self._done.add(digest)
                if digest in self._tasks:
                    self._bars.update(self._tasks[digest], visible=False)
                if total >= SMALL:
                    self._console.print(f"  {digest[:SHORT]}  {megabytes(total)}")
