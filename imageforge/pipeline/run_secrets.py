"""The run secrets of a release: taken when it is made, sealed with it, and given to the runtime as one Secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from imageforge.pipeline.manifests import SecretUse, secret_manifest
from imageforge.store import Database, Purpose, Release, SealedSecrets
from imageforge.vault import Vault


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSecrets:
    """The values by name, of which those with a path are files. `secret` is the name of the Secret that holds them: the
    app's, and a digest with the key, so that other values are another Secret and equal ones are the same."""

    app: str
    secret: str
    values: Mapping[str, str] = field(repr=False)
    paths: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def now(cls, app: str, database: Database, vault: Vault) -> RunSecrets | None:
        """What is set for an app; None where nothing is. Raises StackError (`key-wrong`, `key-missing`)."""
        rows = SealedSecrets(database).all(app, Purpose.RUN)
        if not rows:
            return None
        values = {row.name: vault.open(row.value) for row in rows}
        paths = {row.name: row.path for row in rows if row.path is not None}
        digest = vault.digest(json.dumps([app, values, paths], sort_keys=True))
        return cls(app=app, secret=f"{app}-{digest}", values=values, paths=paths)

    @classmethod
    def of(cls, release: Release, vault: Vault) -> RunSecrets | None:
        """Those that a release was made with. Raises StackError (`key-wrong`, `key-missing`)."""
        if release.secrets is None:
            return None
        stored = json.loads(vault.open(release.secrets))
        return cls(app=release.app, secret=stored["secret"], values=stored["values"], paths=stored["paths"])

    def sealed(self, vault: Vault) -> bytes:
        """As a release keeps them."""
        stored = {"secret": self.secret, "values": dict(self.values), "paths": dict(self.paths)}
        return vault.seal(json.dumps(stored))

    @property
    def use(self) -> SecretUse:
        """What the Deployment takes of the Secret."""
        variables = tuple(sorted(name for name in self.values if name not in self.paths))
        return SecretUse(name=self.secret, variables=variables, files=self.paths)

    def manifest(self, *, masked: bool = False) -> str:
        """The Secret as YAML."""
        return secret_manifest(self.app, self.secret, self.values, masked=masked)
