"""Carry out a run here, in this process: what `build` and `deploy` share."""

from __future__ import annotations

import contextlib
from typing import Any

from builders import Endpoint
from imageforge.cli.follow import show_report
from imageforge.cli.output import Format, document, say, write
from imageforge.cli.progress import progress
from imageforge.cli.state import Workplace
from imageforge.config import load_repository
from imageforge.errors import UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.conduct import conduct, ending, recorder_for
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.interrupt import cancelled_by_interrupt
from imageforge.pipeline.plan import Plan, Request, plan
from imageforge.pipeline.run import Product, Workshop
from imageforge.pipeline.secrets import AppSecrets
from imageforge.stack import engine_choice
from imageforge.stack.process import lives, myself
from imageforge.stack.up import ensure_up
from imageforge.store import Builds, Database
from imageforge.vault import Vault
from linters import DockerfileError
from runtime import ControllerClient


def execute_here(request: Request, form: Format) -> None:
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
    secrets = AppSecrets.of(planned.app, database, Vault(here.home.key_file))
    with progress() as shown, cancelled_by_interrupt() as cancelled:
        workshop = Workshop(
            home=here.home,
            endpoint=endpoint,
            settings=here.settings,
            cancelled=cancelled,
            secrets=secrets,
        )
        deployer = None
        if planned.deploy:
            controller = ControllerClient(here.home.controller_socket)
            deployer = Deployer(home=here.home, settings=here.settings, database=database, controller=controller)
        recorder = recorder_for(build_id, database, (shown,), secrets.mask)
        with ending(build_id, database, recorder, keep_builds=here.settings.keep_builds) as last:
            try:
                outcome = conduct(planned, build_id, workshop, recorder, database, deployer)
            except DockerfileError as error:
                if error.code != "dockerfile-missing":
                    raise
                # Findings name the file by its path in the context; what is not there is looked for in a folder.
                raise DockerfileError(error.code, str(planned.dockerfile), error.message, hint=error.hint) from error
            last["report"] = outcome.report.as_json() if outcome.report else None
    if outcome.report:
        show_report(outcome.report, form)
    elif form in (Format.JSON, Format.YAML):
        document(_product_data(outcome.product), form)
    else:
        write(outcome.product.reference)


def _product_data(product: Product) -> dict[str, Any]:
    squashed = product.squashed
    sizes = (
        {}
        if squashed is None
        else {
            "layers_before": squashed.layers_before,
            "layers_after": squashed.layers_after,
            "bytes_before": squashed.bytes_before,
            "bytes_after": squashed.bytes_after,
        }
    )
    return {
        "build": product.build_id,
        "reference": product.reference,
        "image_id": product.image_id,
        **sizes,
        "pushed": product.reference != product.image_id,
        "reused_from": product.reused_from,
    }
