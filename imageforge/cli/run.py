"""Carry out a run here, in this process: what `build` and `deploy` share."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from builders import Endpoint
from imageforge.cli.output import Format, document, say, write
from imageforge.cli.progress import Progress
from imageforge.cli.state import Workplace
from imageforge.config import load_repository
from imageforge.errors import Failure, UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import Deployer, release_product, roll_out
from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.plan import Plan, Request, plan
from imageforge.pipeline.run import Product, Workshop, run
from imageforge.report.deploy import DeployReport, StageRow, as_markdown, as_text
from imageforge.stack import engine_choice
from imageforge.stack.process import lives, myself
from imageforge.stack.up import ensure_up
from imageforge.store import Builds, BuildStatus, Database
from runtime import ControllerClient


def execute(request: Request, form: Format) -> None:
    """Plan and run. Data goes to stdout: the reference of what was built, or the deploy report."""
    if not request.path.is_dir():
        raise UsageError(
            "context-missing" if not request.path.exists() else "context-not-a-directory",
            str(request.path),
            "there is no such folder" if not request.path.exists() else "expected a folder",
            hint="name the folder that holds the Dockerfile; another Dockerfile is named with -f",
        )
    planned = plan(request, load_repository(request.path))
    here = Workplace.here()
    if planned.push:
        stack = ensure_up(here.home, here.settings, on_line=lambda name: say(f"up  {name}"))
        # What is built must be where the controller runs it, whatever DOCKER_HOST says by now.
        endpoint = Endpoint(host=stack.engine, origin=stack.engine_origin)
    else:
        endpoint = engine_choice.answering(here.home, here.settings)
    with here.database() as database, contextlib.ExitStack() as held:
        if planned.deploy:
            held.enter_context(deploying(here.home, planned.app, "a deploy"))
        _run(planned, here, endpoint, database, form)


def _run(planned: Plan, here: Workplace, endpoint: Endpoint, database: Database, form: Format) -> None:
    builds = Builds(database)
    builds.settle(lives)
    build_id = builds.start(app=planned.app, source=planned.source, owner=myself())
    stages: list[StageRow] = []

    def collect(event: Event) -> None:
        if event.kind is EventKind.STAGE_FINISHED:
            stages.append(StageRow(name=event.stage, summary=event.text, seconds=float(event.data["seconds"])))

    def store(rows: list[dict[str, Any]]) -> None:
        builds.append(build_id, rows)

    product: Product | None = None
    with Progress() as progress, cancelled_by_interrupt() as cancelled:
        recorder = Recorder(listeners=(progress, collect), sink=store)
        workshop = Workshop(
            home=here.home,
            endpoint=endpoint,
            registry=here.settings.registry,
            cancelled=cancelled,
        )
        try:
            product = run(planned, build_id, workshop, recorder)
            builds.finish(build_id, BuildStatus.SUCCEEDED, reference=product.reference, image_id=product.image_id)
            builds.forget_beyond(here.settings.keep_builds)
            if planned.deploy:
                report = _deploy(planned, product, here, database, recorder, stages)
        except BaseException as error:
            if product is None:
                builds.finish(build_id, _status_of(error), error=_error_data(error))
            raise
    if planned.deploy:
        show_report(report, form)
    elif form in (Format.JSON, Format.YAML):
        document(_product_data(product), form)
    else:
        write(product.reference)


def _deploy(
    planned: Plan,
    product: Product,
    here: Workplace,
    database: Database,
    recorder: Recorder,
    stages: list[StageRow],
) -> DeployReport:
    controller = ControllerClient(here.home.controller_socket)
    deployer = Deployer(home=here.home, settings=here.settings, database=database, controller=controller)
    release = release_product(planned, product, deployer)
    return roll_out(release, deployer, recorder, tuple(stages))


def show_report(report: DeployReport, form: Format) -> None:
    """Print a deploy report."""
    if form in (Format.JSON, Format.YAML):
        document(report.as_json(), form)
    elif form is Format.MARKDOWN:
        write(as_markdown(report).rstrip("\n"))
    else:
        write(as_text(report))


@contextlib.contextmanager
def cancelled_by_interrupt() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, besides raising KeyboardInterrupt in this thread as Ctrl-C does."""
    cancelled = threading.Event()

    def handle(*_: object) -> None:
        cancelled.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status_of(error: BaseException) -> BuildStatus:
    if isinstance(error, KeyboardInterrupt) or getattr(error, "code", "") == "build-cancelled":
        return BuildStatus.CANCELLED
    if isinstance(error, Failure) and error.kind == "refused":
        return BuildStatus.REFUSED
    return BuildStatus.FAILED


def _error_data(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Failure):
        return {"code": error.code, "subject": error.subject, "message": error.message, "hint": error.hint}
    return {"code": "interrupted" if isinstance(error, KeyboardInterrupt) else "internal", "message": str(error)}


def _product_data(product: Product) -> dict[str, Any]:
    squashed = product.squashed
    return {
        "build": product.build_id,
        "reference": product.reference,
        "image_id": product.image_id,
        "layers_before": squashed.layers_before,
        "layers_after": squashed.layers_after,
        "bytes_before": squashed.bytes_before,
        "bytes_after": squashed.bytes_after,
        "pushed": product.pushed is not None,
    }
