"""The secrets of an app while it is built: given to the steps that mount them, and kept out of everything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imageforge.errors import GateRefused
from imageforge.store import Database, Purpose, SealedSecrets
from imageforge.vault import Mask, Vault, scan_layout


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSecrets:
    """`build` by the ids under which steps mount them; `mask` hides these and all other secrets of the app."""

    build: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=lambda: Mask(()))

    @classmethod
    def of(cls, app: str, database: Database, vault: Vault) -> AppSecrets:
        """What is set for an app. Raises StackError (`key-wrong`)."""
        opened = {key: vault.open(sealed) for key, sealed in SealedSecrets(database).of(app).items()}
        build = {name: value for (purpose, name), value in opened.items() if purpose is Purpose.BUILD}
        return cls(build=build, mask=Mask(opened.values()))

    @contextmanager
    def files(self, folder: Path) -> Iterator[Mapping[str, Path]]:
        """The build secrets as files of mode 0600 in a folder that is made, and gone afterwards."""
        if not self.build:
            yield {}
            return
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
        folder.mkdir(mode=0o700, parents=True)
        made = {}
        try:
            for number, (name, value) in enumerate(sorted(self.build.items())):
                made[name] = folder / str(number)
                descriptor = os.open(made[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "w") as handle:
                    handle.write(value)
            yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def refuse_leaks(self, layout: Path, app: str) -> None:
        """Look for the build secrets in an image that is about to be pushed. Raises GateRefused (`secret-in-image`)."""
        if not self.build:
            return
        leaks = scan_layout(layout, self.build)
        if leaks:
            first = leaks[0]
            more = f", and {len(leaks) - 1} more" if len(leaks) > 1 else ""
            raise GateRefused(
                "secret-in-image",
                app,
                f"the value of the secret {first.secret} is in the image: {first.place}{more}",
                hint=f"RUN --mount=type=secret,id={first.secret} reads it without leaving it; then set another value, "
                "since this one was in an image",
                kept="nothing was pushed",
            )
