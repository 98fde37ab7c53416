"""One run: lint, build, squash, push, and where it is asked for, deploy. Reads as the story it is."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builders import (
    BuildEvent,
    BuildEventKind,
    BuildRequest,
    BuiltImage,
    Compression,
    Endpoint,
    EngineError,
    Listing,
    SquashedImage,
    SquashMode,
    build,
    drop_damaged,
    engine_facts,
    find_build_client,
    inspect_image,
    load,
    name_pushed,
    remove_tag,
    squash,
)
from imageforge.config import Home, Settings
from imageforge.errors import UsageError
from imageforge.images.known import known_repositories
from imageforge.images.retention import BUILD_NAME
from imageforge.pipeline import shipped
from imageforge.pipeline.attachments import attach_reports
from imageforge.pipeline.bases import known_bases
from imageforge.pipeline.ceiling import memory_limit, named_when_hit, raise_ceiling
from imageforge.pipeline.event import EventKind, Recorder, StageLog
from imageforge.pipeline.fingerprint import fingerprint
from imageforge.pipeline.gate import lint, shown_dockerfile
from imageforge.pipeline.image_gate import ImageGate, together
from imageforge.pipeline.plan import Plan
from imageforge.pipeline.preflight import check_base, check_frontend
from imageforge.pipeline.secrets import AppSecrets
from imageforge.pipeline.trial_run import TrialRun, wanted
from imageforge.pipeline.trials import keep, tried
from imageforge.report.bill import squash_data, squash_line
from imageforge.report.units import megabytes
from imageforge.vault import LineMask
from linters import LintReport, TrialReport, TrialRequest
from registry import ImageRef, LayoutError, OciLayout, PushResult, RegistryClient, RegistryError, push
from runtime import Label


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """What a run made, or found made: the image by digest where it was pushed, else by the engine's ID; and in the
    engine. `squashed` is None where nothing was built."""

    build_id: int
    reference: str
    image_id: str
    config: Mapping[str, Any]
    exposed_ports: tuple[int, ...]
    squashed: SquashedImage | None = None
    fingerprint: str | None = None
    reused_from: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """Where a run works: the home, the engine, the registry, and the switch that cancels it; and the images that the
    store knows, whose layers a registry may have."""

    home: Home
    endpoint: Endpoint
    settings: Settings
    cancelled: threading.Event
    secrets: AppSecrets = field(default_factory=AppSecrets)
    references: Callable[[], tuple[str, ...]] = lambda: ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """A build whose image was pushed, and may be taken over by one of the same fingerprint."""

    build_id: int
    reference: str
    image_id: str


Find = Callable[[str], Earlier | None]


def run(plan: Plan, build_id: int, workshop: Workshop, recorder: Recorder, *, find: Find = lambda _: None) -> Product:
    """Lint, build, squash and push. `find` knows the earlier builds by their fingerprints: one of the same tree,
    options and bases is not built again. Raises the packages' errors; each stage records its own failure."""
    with recorder.stage("lint") as log:
        report = lint(plan, log, memory=workshop.home.opinions, bases=known_bases(workshop.endpoint))
    key = fingerprint(plan, report, workshop.endpoint)
    if key is not None:
        product = reuse(find(key), build_id, workshop, recorder)
        if product is not None:
            return replace(product, fingerprint=key)
    _compression(workshop)  # before minutes are spent on what could not be pulled
    with recorder.stage("build") as log:
        built = _build(plan, build_id, report.base_image, workshop, log)
    layout = workshop.home.layouts / str(build_id)
    trial = _trial(plan, built, workshop)
    try:
        try:
            squashed, reference, image_id = _ship(
                plan, built, report, key, build_id, workshop, recorder, layout, trial=trial
            )
        except (LayoutError, EngineError):
            damaged = drop_damaged(layout, blobs=workshop.home.blobs) if layout.exists() else ()
            if not damaged:
                raise
            shutil.rmtree(layout)
            note = f"the stored layer {', '.join(damaged)} was damaged on the disk: dropped, and made again"
            squashed, reference, image_id = _ship(
                plan, built, report, key, build_id, workshop, recorder, layout, trial=trial, note=note
            )
    finally:
        if trial is not None:
            trial.close()  # an image that a container has cannot be removed
        # The registry and the engine hold the image now, and the blobs stay in the store; of a run that failed the
        # layout is worth nothing.
        shutil.rmtree(layout, ignore_errors=True)
        with contextlib.suppress(EngineError):
            remove_tag(workshop.endpoint, _build_tag(workshop, build_id))
    return Product(
        build_id=build_id,
        reference=reference,
        image_id=image_id,
        config=built.config,
        exposed_ports=built.exposed_ports,
        squashed=squashed,
        fingerprint=key,
    )


def _ship(
    plan: Plan,
    built: BuiltImage,
    report: LintReport,
    tree: str | None,
    build_id: int,
    workshop: Workshop,
    recorder: Recorder,
    layout: Path,
    *,
    trial: TrialRun | None,
    note: str = "",
) -> tuple[SquashedImage, str, str]:
    """Squash and push; the squashed image, its reference and its ID in the engine. `note` is told first. Raises
    LayoutError or EngineError where a layer that earlier builds left is damaged."""
    gate = ImageGate(plan)
    with recorder.stage("squash") as log:
        if note:
            log.emit(EventKind.NOTE, note)
        goal = _goal(plan, build_id, workshop) if plan.push else None
        squashed = _squash(plan, built, report.base_image, workshop, layout, log, goal, look=gate.look)
        bill = dict(log.data)
    with recorder.stage("image") as log:
        report = together(report, gate.settle(squashed.layout, workshop.secrets, log))
    if trial is not None and plan.policy.require_measured:
        report = _measured(trial, report, squashed, workshop, recorder)
    if goal is None:
        with recorder.stage("load") as log:
            image_id = load(squashed.layout, endpoint=workshop.endpoint, tag=plan.tag, blobs=workshop.home.blobs)
            log.summary = plan.tag or image_id[:19]
        if trial is not None and not plan.policy.require_measured:
            _measured(trial, report, squashed, workshop, recorder)
        return squashed, image_id, image_id
    with recorder.stage("push") as log:
        pushed = _push(goal, squashed, workshop, log).reference
        shipped.remember(workshop.home, plan.app, built, squashed)
        if trial is not None and not plan.policy.require_measured:
            report = _measured(trial, report, squashed, workshop, recorder)
        attach_reports(
            plan,
            report,
            bill,
            tree=tree,
            reference=pushed,
            layout=OciLayout.open(squashed.layout),
            endpoint=workshop.endpoint,
            mask=workshop.secrets.mask,
            log=log,
        )
        return squashed, str(pushed), _keep(built, squashed, str(pushed), workshop)


def _trial(plan: Plan, built: BuiltImage, workshop: Workshop) -> TrialRun | None:
    """The image that was built, tried out beside what follows: the squash proves that what is pushed has the same
    files. None where that is not wanted."""
    if not wanted(plan, workshop.settings):
        return None

    def act(request: TrialRequest, cancelled: threading.Event) -> TrialReport:
        return tried(request, workshop.home, workshop.endpoint, cancelled=cancelled)

    return TrialRun(plan, built, workshop.settings, act)


def _measured(
    trial: TrialRun, report: LintReport, squashed: SquashedImage, workshop: Workshop, recorder: Recorder
) -> LintReport:
    with recorder.stage("trial") as log:
        try:
            return together(report, trial.settle(log, workshop.cancelled))
        finally:
            if trial.made is not None:
                request, found = trial.made
                keep(request, squashed.image_id, found, workshop.home)


def _keep(built: BuiltImage, squashed: SquashedImage, reference: str, workshop: Workshop) -> str:
    """Have the engine hold the very bytes that were pushed, under the name that a rollout asks for; its ID there."""
    # What was left as it was built is there already: the ID is the digest of all that makes the image.
    same = built.image_id == squashed.image_id
    endpoint, blobs = workshop.endpoint, workshop.home.blobs
    image_id = built.image_id if same else load(squashed.layout, endpoint=endpoint, tag=None, blobs=blobs)
    # Now, while it has another name: an image that loses its last one is deleted, and would be fetched as a whole.
    # Where it does not work, the rollout fetches it, and tells why it cannot.
    with contextlib.suppress(EngineError):
        name_pushed(endpoint, reference)
    return image_id


def reuse(earlier: Earlier | None, build_id: int, workshop: Workshop, recorder: Recorder) -> Product | None:
    """Take over what an earlier build made; None where there is none, or registry or engine have lost it."""
    if earlier is None:
        return None
    named = ImageRef.parse(earlier.reference)
    try:
        image = inspect_image(earlier.image_id, endpoint=workshop.endpoint)
        with RegistryClient(named.registry) as client:
            if not client.has_manifest(named.repository, named.digest or ""):
                return None
    except (EngineError, RegistryError):
        return None
    with recorder.stage("reuse") as log:
        word = "made before it was interrupted" if earlier.build_id == build_id else f"as in build {earlier.build_id}"
        log.summary = f"nothing has changed, {word}: {short(named)}"
        log.data.update(build=earlier.build_id, reference=earlier.reference)
    return Product(
        build_id=build_id,
        reference=earlier.reference,
        image_id=earlier.image_id,
        config=image.config,
        exposed_ports=image.exposed_ports,
        reused_from=earlier.build_id,
    )


def _build(plan: Plan, build_id: int, base_image: str | None, workshop: Workshop, log: StageLog) -> BuiltImage:
    facts = engine_facts(workshop.endpoint)
    client = find_build_client(workshop.endpoint, facts)
    shown = shown_dockerfile(plan)
    check_frontend(plan.dockerfile, shown, facts, workshop.endpoint)
    check_base(base_image, shown, workshop.endpoint)
    steps = {"run": 0, "cached": 0}
    # A step may print a secret in pieces, a line each; which step a line is of is known by its number.
    masked: dict[int, LineMask] = {}

    def on_event(event: BuildEvent) -> None:
        if event.kind is BuildEventKind.STEP_OUTPUT:
            for line in masked.setdefault(event.step, LineMask(workshop.secrets.mask)).feed(event.text):
                log.emit(EventKind.LINE, line, step=event.step)
            return
        if event.kind is not BuildEventKind.STEP_STARTED and event.step in masked:
            for line in masked.pop(event.step).close():
                log.emit(EventKind.LINE, line, step=event.step)
        if event.name.startswith("[") and not event.name.startswith("[internal]"):
            steps["cached"] += event.kind is BuildEventKind.STEP_CACHED
            steps["run"] += event.kind is BuildEventKind.STEP_FINISHED
            log.emit(EventKind.STEP, event.name, step=event.step, state=event.kind.value, seconds=event.seconds)

    scratch = workshop.home.scratch
    with (
        workshop.secrets.files(scratch / f"secrets-{build_id}") as secrets,
        _own(scratch / f"client-{build_id}") as own,
    ):
        request = BuildRequest(
            context=plan.context,
            dockerfile=plan.dockerfile,
            tag=_build_tag(workshop, build_id),
            target=plan.target,
            build_args=plan.build_args,
            labels={Label.INSTANCE.value: workshop.home.instance, Label.APP.value: plan.app},
            no_cache=plan.no_cache,
            secrets=secrets,
            registries=workshop.secrets.registries,
            scratch=own,
        )
        ceiling = raise_ceiling(workshop.endpoint.host, workshop.settings)
        with named_when_hit(ceiling, memory_limit(workshop.settings)):
            built = build(
                request, endpoint=workshop.endpoint, client=client, on_event=on_event, cancelled=workshop.cancelled
            )
    total = steps["run"] + steps["cached"]
    log.summary = f"{total} steps, {steps['cached']} from cache, {megabytes(built.size)}"
    log.data.update(image_id=built.image_id, size=built.size)
    return built


@contextlib.contextmanager
def _own(folder: Path) -> Iterator[Path]:
    """A folder that a build of the same number may have left when it was killed, and that goes with the block."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _squash(
    plan: Plan,
    built: BuiltImage,
    base_image: str | None,
    workshop: Workshop,
    layout: Path,
    log: StageLog,
    goal: ImageRef | None,
    *,
    look: Callable[[Listing], None],
) -> SquashedImage:
    with shipped.target(goal) as present:
        result = squash(
            built,
            endpoint=workshop.endpoint,
            base_image=base_image,
            mode=plan.squash,
            layout=layout,
            blobs=workshop.home.blobs,
            scratch=workshop.home.scratch,
            cancelled=workshop.cancelled,
            history=shipped.history(workshop.home, plan.app),
            present=present,
            compression=_compression(workshop),
            look=look,
        )
    log.summary = squash_line(result)
    if result.note and result.mode is SquashMode.NONE:
        log.emit(EventKind.NOTE, result.note)
    log.data.update(squash_data(result))
    return result


def _compression(workshop: Workshop) -> Compression:
    """The setting. Raises UsageError (`engine-reads-no-zstd`) where the engine could not pull what is pushed."""
    chosen = Compression(workshop.settings.compression)
    if chosen is Compression.ZSTD:
        facts = engine_facts(workshop.endpoint)
        if not facts.reads_zstd:
            raise UsageError(
                "engine-reads-no-zstd",
                "compression",
                f"the engine is of version {facts.version}, and layers in zstd are pulled from 23.0 on",
                hint='set compression = "balanced" in settings.toml',
            )
    return chosen


def _goal(plan: Plan, build_id: int, workshop: Workshop) -> ImageRef:
    return destination(
        plan.tag, default=f"{workshop.settings.registry}/{plan.app}:b{build_id}", registry=workshop.settings.registry
    )


def _push(reference: ImageRef, squashed: SquashedImage, workshop: Workshop, log: StageLog) -> PushResult:
    def on_progress(digest: str, sent: int, total: int) -> None:
        log.emit(EventKind.PROGRESS, digest, sent=sent, total=total)

    result = push(
        squashed.layout,
        reference,
        on_progress=on_progress,
        cancelled=workshop.cancelled.is_set,
        uploads=workshop.home.uploads,
        mount_from=known_repositories(workshop.references(), reference.registry),
    )
    log.summary = (
        f"{short(result.reference)}, {megabytes(result.uploaded_bytes)} sent, "
        f"{megabytes(result.skipped_bytes)} already there"
    )
    log.data.update(
        reference=str(result.reference),
        digest=result.digest,
        uploaded_bytes=result.uploaded_bytes,
        skipped_bytes=result.skipped_bytes,
    )
    return result


def destination(tag: str | None, *, default: str, registry: str) -> ImageRef:
    """Where a build is pushed. A name without a registry means the local one, not a hub that the user did not name."""
    if tag is None:
        return ImageRef.parse(default)
    named = ImageRef.parse(tag)
    if named.registry != "docker.io" or tag.startswith(("docker.io/", "index.docker.io/")):
        return named
    return ImageRef.parse(f"{registry}/{named.familiar}")


def short(reference: ImageRef) -> str:
    """Name and first twelve digits of the digest, as Docker shows IDs; which registry is in the report."""
    return f"{reference.repository}@{(reference.digest or '')[:19]}…"


def _build_tag(workshop: Workshop, build_id: int) -> str:
    return f"{BUILD_NAME}:{workshop.home.instance}-{build_id}"
