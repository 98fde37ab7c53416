"""The secrets of an app in a build and a rollout: given to the steps that mount them, kept out of everything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from builders import RegistryLogin
from imageforge.errors import GateRefused, StackError
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.store import Database, Purpose, Releases, SealedSecrets
from imageforge.vault import Mask, Vault
from imageforge.vault.scan import scan_layout


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSecrets:
    """`build` by the ids under which steps mount them, `run` those of its containers, `registries` by host the logins
    with which base images are pulled; `mask` hides these and all other secrets of the app, those of its earlier
    releases too."""

    build: Mapping[str, str] = field(default_factory=dict, repr=False)
    run: Mapping[str, str] = field(default_factory=dict, repr=False)
    registries: Mapping[str, RegistryLogin] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=lambda: Mask(()))

    @classmethod
    def of(cls, app: str, database: Database, vault: Vault) -> AppSecrets:
        """What is set for an app. Raises StackError (`key-wrong`)."""
        opened = {key: vault.open(sealed) for key, sealed in SealedSecrets(database).of(app).items()}
        build = {name: value for (purpose, name), value in opened.items() if purpose is Purpose.BUILD}
        run = {name: value for (purpose, name), value in opened.items() if purpose is Purpose.RUN}
        logins = {name: _login(value) for (purpose, name), value in opened.items() if purpose is Purpose.REGISTRY}
        known = {*opened.values(), *(login.password for login in logins.values())}
        mask = Mask({*known, *_of_releases(app, database, vault)})
        return cls(build=build, run=run, registries=logins, mask=mask)

    @staticmethod
    def mask_of(app: str, database: Database, vault: Vault) -> Mask:
        """The mask alone. What does not open is left out: a container that needs it cannot start, and one that does not
        need it must not be held up."""
        known = set(_of_releases(app, database, vault))
        for (purpose, _), sealed in SealedSecrets(database).of(app).items():
            with suppress(StackError):
                known.add(value := vault.open(sealed))
                if purpose is Purpose.REGISTRY:
                    known.add(_login(value).password)
        return Mask(known)

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
        """Look for the secrets in an image that is about to be pushed. Raises GateRefused (`secret-in-image`).

        Of run secrets, what may be an ordinary word is not looked for: see `tells_apart`.
        """
        # By words that no name is, since there may be one of the same name for builds.
        run = {f"{name} for running": value for name, value in self.run.items() if tells_apart(value)}
        leaks = scan_layout(layout, {**self.build, **run}) if self.build or run else ()
        if leaks:
            first = leaks[0]
            how = (
                f"RUN --mount=type=secret,id={first.secret} reads it without leaving it"
                if first.secret in self.build
                else "containers get it when they run: leave it out of the image"
            )
            more = f", and {len(leaks) - 1} more" if len(leaks) > 1 else ""
            raise GateRefused(
                "secret-in-image",
                app,
                f"the value of the secret {first.secret} is in the image: {first.place}{more}",
                hint=f"{how}; then set another value, since this one was in an image",
                kept="nothing was pushed",
            )


SURELY_NO_WORD = 16
"""Characters from which on a value of letters alone is looked for in images."""


def tells_apart(value: str) -> bool:
    """Whether finding a run secret's value in an image means anything. A setting such as ``production`` or ``postgres``
    may be set as a secret and be in any image; a value of 16 characters, or of 8 that are not all letters, is none of
    these. What is shorter than 8 the scan leaves out in any case."""
    return len(value) >= SURELY_NO_WORD or not value.strip().isalpha()


def _login(value: str) -> RegistryLogin:
    user, _, password = value.partition(":")
    return RegistryLogin(user=user, password=password)


def _of_releases(app: str, database: Database, vault: Vault) -> Iterator[str]:
    """The values that an app's kept releases run with. One that was sealed with a key that is gone cannot be run again,
    and must not hold up what comes after it."""
    for release in Releases(database).kept(app):
        with suppress(StackError):
            found = RunSecrets.of(release, vault)
            yield from found.values.values() if found else ()
