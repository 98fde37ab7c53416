"""Everything that an instance ever made, listed and removed; nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator

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
    with _own_passwords(home) as own:
        found = GitCredentials.of_user()
        if count := found.count(own):
            yield _credentials(count, found)
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

    Of the user's git credentials those go whose password is a token of this home: others may be of the same address,
    at another time.
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


def _forget_credentials(home: Home) -> Iterator[str]:
    kept = GitCredentials.of_user()
    try:
        with _own_passwords(home) as own:
            count = kept.forget(own)
    except OSError as error:
        yield f"the git credentials of this home stay in {kept.file}: {error.strerror}"
        return
    if count:
        yield f"{_credentials(count, kept)} removed"


def _credentials(count: int, kept: GitCredentials) -> str:
    return f"{counted(count, 'git credential')} of this home in {kept.file}"


@contextlib.contextmanager
def _own_passwords(home: Home) -> Iterator[Callable[[str], bool]]:
    """What tells whether a password is a token of this home, a revoked one too; nothing is, where the store cannot
    be read."""
    if not home.store.exists():
        yield lambda _: False
        return
    try:
        database = Database.at(home.store)
    except ForgeError:
        yield lambda _: False
        return
    with database:
        tokens = Tokens(database)
        yield lambda password: tokens.identified(password) is not None


def _images(home: Home, settings: Settings) -> tuple[str, ...]:
    try:
        return labelled_images(engine_choice.answering(home, settings), Label.INSTANCE.value, home.instance)
    except BuilderError:
        return ()


def _size(home: Home) -> int:
    return sum(file.lstat().st_size for file in home.path.rglob("*") if file.is_file() and not file.is_symlink())
