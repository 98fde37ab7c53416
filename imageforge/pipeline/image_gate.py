"""The image stage: what was built is judged by itself, while its files are at hand, and refused before it is pushed."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from builders import ListedFile, Listing
from imageforge.errors import GateRefused
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.gate import finding_data, shown_dockerfile
from imageforge.pipeline.plan import Plan
from imageforge.pipeline.secrets import AppSecrets
from linters import (
    Basis,
    Budget,
    FileKind,
    Finding,
    ImageFacts,
    ImageLayer,
    LayerFile,
    LintReport,
    Policy,
    Severity,
    check_image,
    settle,
    waived_rules,
)
from linters.reporters.summary import summary

WAIVER_DAYS = 180
"""How long the waiver holds that a refusal proposes."""
SETTLED = frozenset({"IF402"})
"""Rules that the file only guesses at: what the image says takes the guess's place."""
_KINDS = {kind.value: kind for kind in FileKind}


def judge(listing: Listing, name: str, budget: Budget) -> LintReport:
    """What the rules say of an image whose files are at hand. Raises SquashError, OSError where one cannot be read."""
    layers = tuple(ImageLayer(diff_id=layer.diff_id, size=layer.size, wasted=layer.wasted) for layer in listing.layers)
    facts = ImageFacts.of(name, listing.config, layers, base=listing.base, budget=budget)
    return check_image(facts, _files(listing))


def budget_of(policy: Policy) -> Budget:
    return Budget(size=policy.size_budget, waste=policy.waste_budget)


def _files(listing: Listing) -> Iterator[LayerFile]:
    for file in listing.files():
        yield _layer_file(file)


def _layer_file(file: ListedFile) -> LayerFile:
    return LayerFile(
        path=file.path,
        kind=_KINDS.get(str(file.kind), FileKind.OTHER),
        mode=file.mode,
        uid=file.uid,
        gid=file.gid,
        size=file.size,
        layer=file.layer,
        kept=file.kept,
        read=file.read if file.kind == FileKind.FILE.value else None,
    )


class ImageGate:
    """The gate of one run: `look` is shown the image's files while the squash has them, `settle` says yes or no."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._report = LintReport(file=plan.tag or plan.app)

    def look(self, listing: Listing) -> None:
        """Judge the image. The last time counts: an image that has to be read again is judged again."""
        self._report = judge(listing, self._report.file, budget_of(self._plan.policy))

    def settle(self, layout: Path, secrets: AppSecrets, log: StageLog) -> LintReport:
        """Tell what was found, and look for the app's own secrets in the image at `layout`. Raises GateRefused
        (`secret-in-image`, `image-refused`)."""
        plan, today = self._plan, datetime.date.today()
        report = told(self._report, plan, log)
        log.summary = summary(report)
        secrets.refuse_leaks(layout, plan.app)
        refused = report.at_least(plan.fail_on)
        if refused:
            raise refusal(refused, plan.fail_on, today)
        return report


def told(report: LintReport, plan: Plan, log: StageLog) -> LintReport:
    """What counts of a report on an image by what its project asks for; all of it is told."""
    ignored = waived_rules(plan.dockerfile, plan.policy)
    report = settle(report, plan.policy, file=shown_dockerfile(plan), ignored=ignored)
    for finding in report.findings:
        log.emit(EventKind.FINDING, finding.message, **finding_data(finding), waived=False)
    for one in report.suppressed:
        log.emit(EventKind.FINDING, one.finding.message, **finding_data(one.finding), waived=True)
    for note in report.notes:
        log.emit(EventKind.NOTE, note)
    return report


def refusal(refused: Sequence[Finding], fail_on: Severity, today: datetime.date) -> GateRefused:
    """The error of an image that is refused; its hint has the waiver for who must have it as it is."""
    first = refused[0]
    count = f"{len(refused)} finding{'s' if len(refused) > 1 else ''} at {fail_on.value} or above"
    return GateRefused(
        "image-refused",
        first.file,
        f"{count}, first {first.rule}: {first.message}",
        hint=f"{first.fix or f'imageforge rules {first.rule} says more'}; or waive it in imageforge.toml:\n"
        f"{waiver(first.rule, today)}",
        kept="nothing was pushed",
    )


def waiver(rule: str, today: datetime.date) -> str:
    """The lines of imageforge.toml that set a rule aside for half a year."""
    until = today + datetime.timedelta(days=WAIVER_DAYS)
    lines = ("[[lint.waivers]]", f'rule = "{rule}"', 'reason = "why it has to be"', f"until = {until.isoformat()}")
    return "\n".join(f"    {line}" for line in lines)


def together(file: LintReport, *others: LintReport) -> LintReport:
    """The report of a build: what the file says, and what the image or a run of it settled."""
    if not others:
        return file
    guesses = (one for one in file.findings if one.basis is not Basis.FILE or one.rule not in SETTLED)
    return replace(
        file,
        findings=(*guesses, *(finding for other in others for finding in other.findings)),
        notes=(*file.notes, *(note for other in others for note in other.notes)),
        suppressed=(*file.suppressed, *(one for other in others for one in other.suppressed)),
    )
