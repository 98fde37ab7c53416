"""Trials of images: made once for each image and command, kept in the home, and their leftovers removed."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from builders import Endpoint, inspect_image
from imageforge.config import Home
from imageforge.stack.process import lives, myself
from linters import TRIAL_VERSION, Finding, LintError, TrialReport, TrialRequest, Verdict, remove_trials, try_image
from runtime import Label

log = logging.getLogger(__name__)

TRIAL_LABEL = "io.imageforge.trial"
"""On a trial's containers: the process that makes it, so that others know whether it is under way."""
MOST_KEPT = 500


def tried(
    request: TrialRequest,
    home: Home,
    endpoint: Endpoint,
    *,
    cancelled: threading.Event | None = None,
    again: bool = False,
) -> TrialReport:
    """The trial of an image in the engine: as it was kept, unless it is to be made `again`. One that could not be made
    is not kept. Raises builders' EngineError (`image-missing`), linters' TrialError."""
    image_id = inspect_image(request.image, endpoint=endpoint).image_id
    file = home.trials / f"{_key(request, image_id)}.json"
    if not again and (kept := _read(file)) is not None:
        return replace(kept, name=request.name, findings=_renamed(kept, request.name), cached=True)
    clear_trials(home, endpoint)
    labels = {**request.labels, Label.INSTANCE.value: home.instance, TRIAL_LABEL: json.dumps(myself())}
    report = try_image(
        replace(request, image=image_id, labels=labels), host=endpoint.host, tls=endpoint.tls, cancelled=cancelled
    )
    keep(request, image_id, report, home)
    return report


def keep(request: TrialRequest, image_id: str, report: TrialReport, home: Home) -> None:
    """Keep what was measured for the next time; under another ID where the same files have it, after a squash. What
    could not be measured is not kept."""
    if report.verdict is not Verdict.UNMADE:
        _write(home.trials / f"{_key(request, image_id)}.json", replace(report, image_id=image_id))


def clear_trials(home: Home, endpoint: Endpoint) -> int:
    """Remove the containers of trials of this home that nobody makes any more; how many. What does not go now goes the
    next time."""

    def under_way(labels: Mapping[str, str]) -> bool:
        with suppress(ValueError, TypeError):
            return lives(json.loads(labels.get(TRIAL_LABEL, "")))
        return False

    wanted = (f"{Label.INSTANCE.value}={home.instance}", TRIAL_LABEL)
    try:
        return remove_trials(endpoint.host, wanted, tls=endpoint.tls, keep=under_way)
    except LintError as error:
        log.info("the leftovers of trials are not removed: %s", error)
        return 0


def _key(request: TrialRequest, image_id: str) -> str:
    """What decides a trial, as a digest."""
    parts = {
        "version": TRIAL_VERSION,
        "image": image_id,
        "entrypoint": request.entrypoint,
        "command": request.command,
        "port": request.port,
        "environment": dict(sorted(request.environment.items())),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(file: Path) -> TrialReport | None:
    """What was kept; None for nothing, and for what cannot be read."""
    try:
        return TrialReport.from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, report: TrialReport) -> None:
    """Keep a report, and no more than `MOST_KEPT`; a disk that is full keeps none."""
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(f".{threading.get_ident()}.tmp")
        draft.write_text(json.dumps(asdict(report)))
        draft.replace(file)
        kept = sorted(file.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            old.unlink(missing_ok=True)


def _renamed(report: TrialReport, name: str) -> tuple[Finding, ...]:
    return tuple(replace(finding, file=name) for finding in report.findings)
