"""imageforge run: a command of its own, in the image and environment of what runs."""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
import yaml

from imageforge.cli.exec import CommandArgument, StdinOption, TtyOption
from imageforge.cli.kinds import meant_as_app, only, parse_target
from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.cli.target import (
    DEFAULT,
    ContainerOption,
    ProcessOption,
    SpaceOption,
    is_object,
    refuse_with_app,
    refuse_with_object,
)
from imageforge.config.names import WEB
from imageforge.errors import DeployFailed, UsageError
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.job_end import JobEnd
from imageforge.pipeline.manifests import COMPONENT, NAME, PART_OF, processes
from imageforge.pipeline.one_off import left_out, one_off, run_name
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.store import Apps, Releases
from runtime import (
    ControllerClient,
    ControllerUnreachable,
    JobPhase,
    JobStatus,
    LogLine,
    NotFound,
    RuntimeFailure,
    dump_manifests,
)

KEPT_SECONDS = 3600
"""How long its Job is there after its end, with what it wrote."""
GRACE_SECONDS = 10


def run(
    word: Annotated[str, typer.Argument(metavar="APP | KIND/NAME", help="An app, or deployment/web.")],
    command: CommandArgument,
    container: ContainerOption = None,
    namespace: SpaceOption = None,
    process: ProcessOption = None,
    stdin: StdinOption = False,
    tty: TtyOption = False,
) -> None:
    """Run a command once, beside what runs.

    It has the same image, environment, secrets and user. It is a Job, which is kept for an hour.
    The exit code is the command's; Ctrl-C ends it.
    """
    if stdin or tty:
        raise UsageError(
            "no-input-for-run",
            "run",
            "a Job has neither input nor a terminal",
            hint=f"imageforge exec -it {word} -- CMD has both, in a replica that runs",
        )
    here = Workplace.here()
    controller = here.controller()
    if is_object(word):
        refuse_with_object(word, process)
        where, name = namespace or DEFAULT, only(parse_target(word), "Deployment").name
        template, labels = _template_of(controller, where, name), {}
    else:
        refuse_with_app(word, namespace=namespace)
        where, name = NAMESPACE, word
        template, labels = _template_of_app(here, word, process or WEB), {PART_OF: word, COMPONENT: "run"}
    job = f"{run_name(name)}-{secrets.token_hex(3)[:5]}"
    manifest = one_off(
        template,
        command,
        name=job,
        namespace=where,
        container=container,
        labels={NAME: run_name(name), **labels},
        grace=GRACE_SECONDS,
        ttlSecondsAfterFinished=KEPT_SECONDS,
    )
    beside = left_out(template, container)
    if beside:
        say(f"without {', '.join(beside)}, which {'is' if len(beside) == 1 else 'are'} beside it in a replica")
    raise typer.Exit(_carry_out(controller, where, job, dump_manifests([manifest])))


def _carry_out(controller: ControllerClient, namespace: str, job: str, manifest: str) -> int:
    made = False

    def ensure() -> None:
        nonlocal made
        if made:
            return
        with contextlib.suppress(NotFound):
            # One that was lost on its way back was made all the same.
            controller.job(namespace, job)
            made = True
            return
        controller.apply(manifest, source="run")
        made = True
        say(f"job/{job}")

    end = JobEnd(namespace=namespace, name=job, ensure=ensure, tell=Told().tell)
    try:
        with _troubles(controller, namespace, job):
            status = end.follow(controller)
    except KeyboardInterrupt:
        with uninterrupted(), contextlib.suppress(RuntimeFailure):
            controller.delete(namespace, "Job", job)
        raise
    return exit_of(status)


def exit_of(status: JobStatus) -> int:
    """The command's exit code. Raises DeployFailed (`run-failed`) where it has none."""
    if status.exit_code is None or (status.phase is JobPhase.FAILED and status.exit_code == 0):
        raise DeployFailed(
            "run-failed",
            f"Job {status.namespace}/{status.name}",
            f"it did not run to its end: {status.message or status.reason}",
            hint=f"imageforge describe job {status.name} -n {status.namespace}",
        )
    return status.exit_code


def keeps_it(status: JobStatus) -> str:
    """What keeps it from running; empty for nothing. One that has ended says how, a moment before its Job is done."""
    return "" if status.exit_code is not None or status.lost else status.message


class Told:
    """Prints each line once, however often the output is read from its beginning: stdout and stderr as they were."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, set[str]]] = {}

    def tell(self, line: LogLine) -> None:
        """A line was read."""
        key = (line.replica, line.stream)
        at, texts = self._seen.get(key, (0.0, set()))
        if line.at < at or (line.at == at and line.text in texts):
            return
        # As a number of seconds two lines of one write may have the same time.
        self._seen[key] = (line.at, {line.text} | (texts if line.at == at else set()))
        out = sys.stdout if line.stream == "stdout" else sys.stderr
        out.write(f"{line.text}\n")
        out.flush()


@contextlib.contextmanager
def _troubles(controller: ControllerClient, namespace: str, job: str) -> Iterator[None]:
    """Say what keeps it from running, while it does not."""
    over = threading.Event()

    def watch() -> None:
        said = ""
        while not over.wait(0.5):
            with contextlib.suppress(NotFound, ControllerUnreachable):
                for status in controller.watch_job(namespace, job):
                    if over.is_set() or status.phase is not JobPhase.ACTIVE:
                        return
                    if keeps_it(status) not in ("", said):
                        said = keeps_it(status)
                        say(f"not started yet: {said}")

    thread = threading.Thread(target=watch, name="troubles", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _template_of(controller: ControllerClient, namespace: str, name: str) -> Mapping[str, Any]:
    for view in controller.views("Deployment", namespace):
        if view.name == name:
            found: Mapping[str, Any] = yaml.safe_load(view.manifest)["spec"]["template"]
            return found
    raise NotFound("not-found", f"Deployment {namespace}/{name}", "no such object", hint="imageforge get deploy -A")


def _template_of_app(here: Workplace, app: str, process: str) -> Mapping[str, Any]:
    with here.database() as database, meant_as_app(app):
        Apps(database).require(app)
        live = Releases(database).live(app)
    if live is None:
        raise UsageError("no-live-release", app, "no release of it is live", hint=f"imageforge releases {app}")
    known = processes(live.manifests)
    if process not in known:
        raise UsageError("no-such-process", app, f"it has no process {process}, expected {' or '.join(known)}")
    found: Mapping[str, Any] = next(
        item["spec"]["template"]
        for item in yaml.safe_load_all(live.manifests)
        if item["kind"] == "Deployment" and item["metadata"]["name"] == known[process]
    )
    return found
