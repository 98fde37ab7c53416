"""Manifests as they are named by -f: files, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from imageforge.errors import UsageError

SUFFIXES = (".yaml", ".yml", ".json")
FilesOption = Annotated[
    list[str],
    typer.Option("--filename", "-f", metavar="FILE", help="A file, a folder of them, or - for standard input."),
]

SpaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Where objects are that name no namespace; none names another.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestFile:
    """A text and the name by which errors call it."""

    source: str
    text: str = field(repr=False)


def read_files(names: Sequence[str]) -> tuple[ManifestFile, ...]:
    """All of them, folders in the order of their files' names. Raises UsageError (`no-manifest`, `unreadable`)."""
    return tuple(_read(path) for name in names for path in _paths(name))


def _paths(name: str) -> Iterator[str]:
    folder = Path(name)
    if name == "-" or not folder.is_dir():
        yield name
        return
    found = sorted(str(path) for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if not found:
        raise UsageError("no-manifest", name, f"no file there ends in {', '.join(SUFFIXES)}")
    yield from found


def _read(name: str) -> ManifestFile:
    try:
        if name == "-":
            return ManifestFile(source="stdin", text=sys.stdin.buffer.read().decode())
        return ManifestFile(source=name, text=Path(name).read_bytes().decode())
    except FileNotFoundError as error:
        raise UsageError("no-manifest", name, "there is no such file", hint="-f FILE, -f FOLDER or -f -") from error
    except OSError as error:
        raise UsageError("unreadable", name, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise UsageError("unreadable", name, f"byte {error.start} is not UTF-8", hint="save it as UTF-8") from error
