"""Everything that an instance ever made, listed and removed; nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from builders import BuilderError, labelled_images, remove_labelled_images
from imageforge.client import GitCredentials
from imageforge.config import Home, Settings
from imageforge.errors import ForgeError, StackError
from imageforge.report.units import counted
from imageforge.stack import engine_choice, private_engine
from imageforge.stack.catalog import runtime_settings
from imageforge.stack.process import read_pid_file, stop
from imageforge.store import Database, Tokens
from runtime import Label, clear_secret_files
from runtime import purge as purge_replicas


def inventory(home: Home, settings: Settings) -> Iterator[str]:
    """What `purge` would remove, a line each."""
    yield f"the home {home.path}: {_size(home) / 1e6:.0f} MB of state, logs, registry and databases"
    yield from _own_credentials(home)
    if engine_choice.uses_private(home):
        yield "the private engine with every image, container and network in it"
        return
    yield "the replicas of every app, and their networks"
    for image in _images(home, settings):
        yield f"the image {image}"


def purge(home: Home, settings: Settings) -> Iterator[str]:
    """Remove it all; the stack is down already. A private engine's images go with its folder.

    Raises BuilderError where the engine does not answer, and StackError (`purge-incomplete`) where something cannot be
    removed: the home and its instance's name then stay, so that the rest can still be found.

    Of the git credentials of the user who runs it those go whose password is a token of this home: others may be of the
    same address, at another time. Where that cannot be told, they stay, and a line says so.
    """
    if not engine_choice.uses_private(home):
        endpoint = engine_choice.answering(home, settings)
        purge_replicas(runtime_settings(home, settings, endpoint.host))
        for image in remove_labelled_images(endpoint, Label.INSTANCE.value, home.instance):
            yield f"image {image} removed"
        left = labelled_images(endpoint, Label.INSTANCE.value, home.instance)
        if left:
            raise StackError(
                "purge-incomplete", left[0], "something still uses it", hint="remove that, then purge again"
            )
    for file in home.run.glob("*.pid"):
        identity = read_pid_file(file)
        if identity:
            stop(identity)
    private_engine.end_containers(home)
    private_engine.clean(home)
    clear_secret_files(runtime_settings(home, settings, "unix://"))
    # Once the store is gone nobody can tell them from those of other homes.
    yield from _forget_credentials(home)
    try:
        for folder in (home.run, home.log, home.state):
            if folder.exists():
                shutil.rmtree(folder)
        home.settings_file.unlink(missing_ok=True)
        # Last, because without it nobody knows what was ours.
        (home.path / "instance").unlink(missing_ok=True)
    except OSError as error:
        raise StackError(
            "purge-incomplete", str(error.filename), str(error.strerror), hint="mend that, purge again"
        ) from error
    # A home that is a mount point, or lies where we may not remove folders, stays, empty.
    with contextlib.suppress(OSError):
        home.path.rmdir()
    yield f"{home.path} {'emptied' if home.path.exists() else 'removed'}"


def _own_credentials(home: Home) -> Iterator[str]:
    try:
        kept = GitCredentials.of_user()
    except RuntimeError as error:
        yield _nowhere(error)
        return
    with _OwnPasswords(home.store) as own:
        count = kept.count(own)
    if count:
        yield _credentials(count, kept)
    if own.unknown:
        yield _untold(kept, own.unknown)


def _forget_credentials(home: Home) -> Iterator[str]:
    try:
        kept = GitCredentials.of_user()
    except RuntimeError as error:
        yield _nowhere(error)
        return
    with _OwnPasswords(home.store) as own:
        try:
            count = kept.forget(own)
        except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
            reason = error.strerror if isinstance(error, OSError) else error
            yield f"the git credentials of this home stay in {kept.file}: {reason}"
            return
    if count:
        yield f"{_credentials(count, kept)} removed"
    if own.unknown:
        yield f"{_untold(kept, own.unknown)}; {'the others' if count else 'all of them'} stay"


def _credentials(count: int, kept: GitCredentials) -> str:
    return f"{counted(count, 'git credential')} of this home in {kept.file}"


def _untold(kept: GitCredentials, reason: str) -> str:
    return f"which git credentials in {kept.file} are of this home cannot be told: {reason}"


def _nowhere(error: RuntimeError) -> str:
    """For a user whom the system does not know, and so no folder of theirs."""
    return f"whether there are git credentials of this home cannot be told: {error}"


class _OwnPasswords:
    """What tells whether a password is a token of this home, a revoked one too. One of which a damaged store does not
    tell is none, and `unknown` then says why: a purge is what one reaches for with such a store, and goes on."""

    def __init__(self, store: Path) -> None:
        self.unknown = ""
        self._store = store
        self._opened: _AsItIs | None = None

    def __enter__(self) -> _OwnPasswords:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened:
            self._opened.close()

    def __call__(self, password: str) -> bool:
        try:
            if self._opened is None:
                if not self._store.exists():
                    return False
                self._opened = _AsItIs.at(self._store)
            return Tokens(self._opened).identified(password) is not None
        except ForgeError as error:
            self.unknown = error.message
        except OSError as error:
            self.unknown = str(error.strerror)
        except (ValueError, TypeError, LookupError) as error:  # a row that reads as something else than was written
            self.unknown = f"the store is damaged: {error}"
        return False


class _AsItIs(Database):
    """A store that is only read, and not migrated: who is asked whether to purge may say no. Its tokens look as they
    always did."""

    @classmethod
    def at(cls, file: Path) -> _AsItIs:
        return cls(f"sqlite:///{file.as_uri()}?mode=ro&uri=true")

    def _migrate(self) -> None:
        pass


def _images(home: Home, settings: Settings) -> tuple[str, ...]:
    try:
        return labelled_images(engine_choice.answering(home, settings), Label.INSTANCE.value, home.instance)
    except BuilderError:
        return ()


def _size(home: Home) -> int:
    return sum(file.lstat().st_size for file in home.path.rglob("*") if file.is_file() and not file.is_symlink())
