"""Setting and forgetting secrets: what may be set, and under which names, decided before anything is stored."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imageforge.errors import UsageError
from imageforge.pipeline.manifests import SECRETS_FOLDER
from imageforge.store import Database, Purpose, SealedSecret, SealedSecrets
from imageforge.vault import Vault

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,120}[A-Za-z0-9])?(:[0-9]{1,5})?")
LOGIN = re.compile(r"[^\s:]+:[^\r\n]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LONGEST = 65536
"""Characters of a value."""
LARGEST = 1024 * 1024
"""Bytes of an app's run secrets together: a Secret of Kubernetes has no more."""
LONGEST_PATH = 255
SET_BY_NAME = (Purpose.RUN, Purpose.BUILD, Purpose.REGISTRY)
"""Purposes of the secrets that users set under names of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSecret:
    """A value to set; with a `path` containers have it as a file there, and not as a variable."""

    value: str = field(repr=False)
    path: str | None = None


def change_secrets(
    app: str, purpose: Purpose, values: Mapping[str, NewSecret | None], database: Database, vault: Vault
) -> None:
    """Set secrets of an app; None forgets one. All or none.

    Raises UsageError (`no-secret-given`, `invalid-secret-name`, `secret-empty`, `secret-not-text`, `secret-too-long`,
    `secret-path-for-builds`, `secret-path-invalid`, `secret-path-taken`, `secrets-too-large`, `registry-login-invalid`,
    `no-such-secret`), and StackError (`key-wrong`, `key-missing`) rather than seal with another key than what is there.
    """
    if not values:
        raise UsageError("no-secret-given", app, "no secret was named", hint="imageforge secret set APP NAME")
    sealed = SealedSecrets(database)
    before = {row.name: row for row in sealed.all(app, purpose)}
    new = {name: _checked(name, secret, purpose) for name, secret in values.items() if secret is not None}
    gone = [name for name, secret in values.items() if secret is None]
    for name in gone:
        if name not in before:
            raise no_such_secret(app, name)
    stay = {name: row for name, row in before.items() if name not in values}
    if new and sealed.exist():
        # A new key would leave what is there unopened for ever.
        vault.require()
        for row in stay.values():
            vault.open(row.value)
    if purpose is Purpose.RUN:
        paths = {name: row.path for name, row in stay.items() if row.path is not None}
        _refuse_taken_paths({**paths, **{name: one.path for name, one in new.items() if one.path is not None}})
        _refuse_too_large(
            app, [*(vault.open(row.value) for row in stay.values() if new), *(one.value for one in new.values())]
        )
    rows = [
        SealedSecret(name=name, purpose=purpose, value=vault.seal(one.value), path=one.path)
        for name, one in new.items()
    ]
    sealed.change(app, rows, [(purpose, name) for name in gone])


def purpose_of(app: str, name: str, said: str | None, database: Database) -> Purpose:
    """What a secret that is to be forgotten is for. Raises UsageError (`no-such-secret`, `secret-ambiguous`)."""
    if said is not None:
        return Purpose(said)
    rows = SealedSecrets(database).all(app)
    found = [row.purpose for row in rows if row.name == name and row.purpose in SET_BY_NAME]
    if not found:
        raise no_such_secret(app, name)
    if len(found) > 1:
        raise UsageError(
            "secret-ambiguous",
            name,
            f"there is one for each of {', '.join(sorted(found))}",
            hint=f"pass --for {found[0]}",
        )
    return found[0]


def no_such_secret(app: str, name: str) -> UsageError:
    """The error for an unknown name."""
    return UsageError(
        "no-such-secret", name[:80], f"{app} has no secret of this name", hint=f"imageforge secret ls {app}"
    )


def _checked(name: str, secret: NewSecret, purpose: Purpose) -> NewSecret:
    if purpose is not Purpose.RUN and secret.path is not None:
        raise UsageError(
            "secret-path-for-builds",
            name[:80],
            "a build has it where its step mounts it",
            hint="leave out the path, or pass --for run",
        )
    if purpose is Purpose.REGISTRY:
        return _checked_login(name, secret)
    variable = purpose is Purpose.RUN and secret.path is None
    if not (VARIABLE if variable else NAME).fullmatch(name):
        raise UsageError(
            "invalid-secret-name",
            name[:80],
            "expected letters, digits and _" if variable else "expected letters, digits, _ . -",
            hint="such as DB_PASSWORD" + ("; a file may have another name: --as-file" if variable else ""),
        )
    if not secret.value:
        raise UsageError("secret-empty", name, "no value was given", hint="printf %s VALUE | imageforge secret set …")
    if len(secret.value) > LONGEST:
        raise UsageError(
            "secret-too-long", name, f"it has {len(secret.value)} characters, at most {LONGEST} are allowed"
        )
    if variable and "\0" in secret.value:
        raise UsageError("secret-not-text", name, "a variable cannot hold a NUL", hint="make it a file: --as-file")
    return secret if secret.path is None else NewSecret(value=secret.value, path=_path(secret.path))


def _checked_login(host: str, secret: NewSecret) -> NewSecret:
    if not HOST.fullmatch(host):
        raise UsageError(
            "invalid-secret-name",
            host[:80],
            "expected the host of a registry",
            hint="such as ghcr.io, registry.example.org:5000, or docker.io",
        )
    if len(secret.value) > LONGEST or not LOGIN.fullmatch(secret.value):
        raise UsageError(
            "registry-login-invalid",
            host,
            "expected USER:PASSWORD in one line",
            hint=f"printf '%s:%s' USER \"$PASSWORD\" | imageforge secret set APP {host} --for registry",
        )
    return secret


def _path(said: str) -> str:
    """Relative to the folder of secrets."""
    path = posixpath.normpath(said)
    if path.startswith("/"):
        path = posixpath.relpath(path, SECRETS_FOLDER)
    if path in (".", "") or path.startswith("..") or len(path) > LONGEST_PATH or not path.isprintable():
        raise UsageError(
            "secret-path-invalid",
            said[:80],
            f"expected a path below {SECRETS_FOLDER}",
            hint=f"such as tls/key.pem, which is {SECRETS_FOLDER}/tls/key.pem",
        )
    return path


def _refuse_taken_paths(paths: Mapping[str, str | None]) -> None:
    for name, path in paths.items():
        for other, place in paths.items():
            if other != name and (place == path or str(place).startswith(f"{path}/")):
                raise UsageError(
                    "secret-path-taken",
                    name,
                    f"{SECRETS_FOLDER}/{path} is in the way of the secret {other}",
                    hint="pass another --as-file",
                )


def _refuse_too_large(app: str, values: Iterable[str]) -> None:
    size = sum(len(value.encode()) for value in values)
    if size > LARGEST:
        raise UsageError(
            "secrets-too-large", app, f"its run secrets have {size} bytes, at most {LARGEST} are allowed together"
        )
