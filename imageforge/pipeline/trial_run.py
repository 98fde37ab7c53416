"""The trial of a build: made beside the squash by a thread of its own, waited for only where the repository requires
it."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from builders import BuiltImage
from imageforge.config import Settings
from imageforge.config.names import DEFAULT_PORT
from imageforge.errors import Cancelled, Failure, GateRefused
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.image_gate import told, waiver
from imageforge.pipeline.plan import Plan
from linters import (
    Finding,
    LintReport,
    TrialLimits,
    TrialReport,
    TrialRequest,
    Verdict,
    not_made,
)

STEP_SECONDS = 0.1

Try = Callable[[TrialRequest, threading.Event], TrialReport]


def wanted(plan: Plan, settings: Settings) -> bool:
    """Whether the images of a build are tried: where its repository requires it, or this home tries all."""
    return plan.policy.require_measured or settings.trials == "beside"


class TrialRun:
    """One trial under way. Close it, whatever happens: that ends it, and with it its containers."""

    def __init__(self, plan: Plan, built: BuiltImage, settings: Settings, act: Try) -> None:
        ports = built.exposed_ports
        self._plan = plan
        self._act = act
        self._request = TrialRequest(
            image=built.image_id,
            name=plan.tag or plan.app,
            # A process's command is Kubernetes' `command`, which takes the place of ENTRYPOINT and CMD.
            entrypoint=plan.command,
            port=plan.port or (ports[0] if len(ports) == 1 else DEFAULT_PORT),
            environment=plan.environment,
            limits=TrialLimits(seconds=float(settings.trial_seconds)),
        )
        self._cancelled = threading.Event()
        self._report: TrialReport | None = None
        self._error: BaseException | None = None
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="trial-of-build", daemon=True)
        self._thread.start()

    @property
    def made(self) -> tuple[TrialRequest, TrialReport] | None:
        """What was asked for and what came of it, once there is that."""
        return None if self._report is None else (self._request, self._report)

    def _run(self) -> None:
        try:
            self._report = self._act(self._request, self._cancelled)
        except Exception as error:
            self._error = error

    def close(self) -> None:
        """End it; returns once its containers are gone."""
        self._cancelled.set()
        self._thread.join()

    def settle(self, log: StageLog, cancelled: threading.Event) -> LintReport:
        """What was measured. It is waited for where the repository requires it, and then it refuses: raises GateRefused
        (`trial-refused`, `trial-not-made`), Cancelled. Elsewhere what is not done by now is not waited for."""
        required = self._plan.policy.require_measured
        while required and self._thread.is_alive():
            self._thread.join(STEP_SECONDS)
            if cancelled.is_set():
                raise Cancelled("build-cancelled", self._plan.app, "the build was cancelled while its image was tried")
        empty = LintReport(file=self._request.name)
        if self._thread.is_alive():
            log.summary = f"still under way after {time.monotonic() - self._begun:.1f} s, and not required: ended"
            log.data.update(verdict="under way")
            return empty
        if self._error is not None:
            return self._told(empty, log, unmade=_said(self._error))
        assert self._report is not None
        report = self._report
        good = sum(one.result == "ok" for one in report.measures)
        earlier = "as measured before" if report.cached else f"measured in {report.seconds:.1f} s"
        log.summary = f"{report.verdict.value}, {good} of {len(report.measures)} as they should be, {earlier}"
        log.data.update(
            verdict=report.verdict.value,
            measures=[{"name": one.name, "result": one.result.value, "detail": one.detail} for one in report.measures],
        )
        for line in report.last_words:
            log.emit(EventKind.NOTE, f"last words: {line}")
        unmade = report.reason if report.verdict is Verdict.UNMADE else None
        return self._told(replace(empty, findings=report.findings), log, unmade=unmade, job=bool(report.hint))

    def _told(self, found: LintReport, log: StageLog, *, unmade: str | None, job: bool = False) -> LintReport:
        """What counts of it; `unmade` is why there was no trial, and `job` that there can be none. Raises GateRefused
        where it is required."""
        required = self._plan.policy.require_measured
        if unmade is not None:
            log.summary = f"not made: {unmade}"
            log.data.update(verdict=Verdict.UNMADE.value)
            if required:
                found = replace(found, findings=(*found.findings, not_made(found.file, unmade, job=job)))
        found = told(found, self._plan, log)
        log.summary += f", {len(found.suppressed)} waived" if found.suppressed else ""
        refused = found.at_least(self._plan.fail_on)
        if required and refused:
            raise _refusal(refused, unmade)
        return found


def _refusal(refused: Sequence[Finding], unmade: str | None) -> GateRefused:
    first = refused[0]
    count = f"{len(refused)} finding{'s' if len(refused) > 1 else ''}"
    return GateRefused(
        "trial-refused" if unmade is None else "trial-not-made",
        first.file,
        f"{count} measured, first {first.rule}: {first.message}"
        if unmade is None
        else f"it could not be measured, and [lint] require says measured: {unmade}",
        hint=f"{first.fix}; or waive it in imageforge.toml:\n{waiver(first.rule, datetime.date.today())}",
        kept="nothing was pushed",
    )


def _said(error: BaseException) -> str:
    return error.message if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
