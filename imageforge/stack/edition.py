"""Which imageforge this is: two of the same version number that differ in a line are two."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from imageforge import __version__

PACKAGES = ("imageforge", "linters", "builders", "registry", "runtime")


@cache
def edition() -> str:
    """The version and a digest of the source that this process would start its services from, such as
    ``0.1.0+3f9c2b7a01de``."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        found = find_spec(package)
        assert found is not None
        for folder in sorted(found.submodule_search_locations or ()):
            for file in sorted(Path(folder).rglob("*")):
                if "__pycache__" in file.parts or not file.is_file():
                    continue
                digest.update(f"{package}/{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
