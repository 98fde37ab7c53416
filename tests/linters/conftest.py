"""What the engine tests of this package share."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def buildkit_cli() -> str:
    """A docker that drives BuildKit: one of version 28 without its plugin comes first on some machines."""
    for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin"]:
        path = Path(folder) / "docker"
        if not path.is_file():
            continue
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version (\d+)", version)
        plugin = subprocess.run([path, "buildx", "version"], capture_output=True, check=False).returncode == 0
        if found and (int(found.group(1)) < 23 or plugin):
            return str(path)
    pytest.fail("no docker client that drives BuildKit")
