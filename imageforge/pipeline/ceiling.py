"""Builds that cannot hurt the applications: a ceiling over their steps, and its name when they hit it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from builders import Ceiling, StepFailed, find_ceiling
from imageforge.config import Settings
from imageforge.errors import BuildOutOfMemory

MIB = 1024 * 1024
SHARE = 0.75
KILLED = "exit code 137"


def raise_ceiling(engine: str, settings: Settings) -> Ceiling | str:
    """Set the limits of an engine's builds; a text that says why there are none."""
    found = find_ceiling(engine)
    if isinstance(found, str):
        return found
    try:
        found.set(memory=memory_limit(settings), cpus=settings.build_cpus or SHARE * (os.cpu_count() or 1))
    except OSError as error:
        return str(error)
    return found


def memory_limit(settings: Settings) -> int:
    """Bytes that the steps of all builds may take together."""
    if settings.build_memory:
        return settings.build_memory * MIB
    return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@contextlib.contextmanager
def named_when_hit(ceiling: Ceiling | str, limit: int) -> Iterator[None]:
    """A step that was killed while builds hit their ceiling was killed for want of memory, and says so. Raises
    BuildOutOfMemory (`build-out-of-memory`)."""
    before = ceiling.hits if isinstance(ceiling, Ceiling) else 0
    try:
        yield
    except StepFailed as error:
        if isinstance(ceiling, Ceiling) and KILLED in error.message and ceiling.hits > before:
            raise BuildOutOfMemory(
                "build-out-of-memory",
                error.subject,
                f"the kernel ended it: the steps of all builds may take {limit // MIB} MiB together; {error.message}",
                hint="let it use less (fewer compiler processes at once), or raise build_memory in settings.toml",
            ) from error
        raise
