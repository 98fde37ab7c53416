"""A registry of the tests' own, as somebody else's would be: with or without logins."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from registry import Access, RegistryClient, registry_config
from registry.errors import RefusedError, TransportError

PROGRAM = shutil.which("docker-registry") or shutil.which("registry") or "docker-registry"
USER, PASSWORD = "forge", "correct horse"
# htpasswd -nbB forge "correct horse", at the lowest cost
HTPASSWD = "forge:$2y$05$FvrnU9lkXCoiuO5rbAcvzO3KQsB9N30Rzm2BMPVazlV096E.q1K3W"


@contextlib.contextmanager
def plain_registry(folder: Path, port: int, *, access: Access | None = None, **changes: object) -> Iterator[str]:
    """Runs docker-registry with changes to our configuration, its files in `folder`; gives its address. `access` is
    how it is asked whether it is up."""
    config = yaml.safe_load(registry_config(root=folder / "data", address="127.0.0.1", port=port))
    file = folder / "config.yml"
    file.write_text(yaml.safe_dump({**config, **changes}))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([PROGRAM, "serve", str(file)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with RegistryClient(f"127.0.0.1:{port}", access=access) as client:
                    client.ping()
            except RefusedError:
                break
            except TransportError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.02)
            else:
                break
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(30)


@contextlib.contextmanager
def registry_with_login(folder: Path, port: int) -> Iterator[str]:
    """One that asks for USER and PASSWORD."""
    file = folder / "htpasswd"
    file.write_text(HTPASSWD + "\n")
    with plain_registry(folder, port, auth={"htpasswd": {"realm": "forge", "path": str(file)}}) as address:
        yield address
