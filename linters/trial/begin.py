"""The way into trials: the Docker SDK takes a fifth of a second to load, and who only lints must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from linters.trial.model import TrialReport, TrialRequest


def try_image(
    request: TrialRequest, *, host: str, tls: Path | None = None, cancelled: threading.Event | None = None
) -> TrialReport:
    """Runs an image twice, at the same time, and says what was measured; see `linters.trial.run.try_image`."""
    from linters.trial import run  # noqa: PLC0415

    return run.try_image(request, host=host, tls=tls, cancelled=cancelled)


def remove_trials(
    host: str, labels: Sequence[str], *, tls: Path | None = None, keep: Callable[[Mapping[str, str]], bool]
) -> int:
    """Removes the containers that have these labels (``key`` or ``key=value``), but for those that `keep` says are
    under way; how many. Raises TrialError."""
    from linters.trial import engine  # noqa: PLC0415

    return engine.remove_trials(host, labels, tls=tls, keep=keep)
