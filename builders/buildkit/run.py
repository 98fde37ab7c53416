"""One build: the client as a subprocess, its progress as events, its end as an image or one error."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from builders import process
from builders.buildkit.argv import build_argv
from builders.buildkit.client import BuildClient
from builders.buildkit.environment import client_environment, with_build_args
from builders.buildkit.failure import broke_off, explain
from builders.buildkit.logins import with_logins
from builders.buildkit.progress import ProgressParser
from builders.context import check_context
from builders.engine import Endpoint, config_folder, connect, inspect_image
from builders.engine.connection import engine_lost
from builders.errors import BuilderError, Cancelled, ClientError, EngineError
from builders.model import BuildEvent, BuildRequest, BuiltImage

logger = logging.getLogger(__name__)


def build(
    request: BuildRequest,
    *,
    endpoint: Endpoint,
    client: BuildClient,
    on_event: Callable[[BuildEvent], None],
    cancelled: threading.Event | None = None,
    environ: Mapping[str, str] | None = None,
) -> BuiltImage:
    """Builds `request` and returns the image, which the engine then has under the request's tag.

    `on_event` is called in this thread for every event as it happens. Raises ContextError before anything is started;
    StepFailed, DiskFull, EngineError (``engine-lost``) when the build fails; Cancelled within two seconds after
    `cancelled` was set. However it ends, no process of the client is left.
    """
    context, dockerfile = check_context(request.context, request.dockerfile)
    environment = {
        **with_build_args(client_environment(os.environ if environ is None else environ, endpoint), request.build_args)
    }
    parser = ProgressParser()
    with tempfile.TemporaryDirectory(dir=request.scratch, prefix="imageforge-build-") as folder:
        id_file = Path(folder) / "image-id"
        if request.registries:
            configuration = with_logins(config_folder(environment), request.registries, Path(folder) / "docker")
            environment["DOCKER_CONFIG"] = str(configuration)
        command = build_argv(request, client=client, context=context, dockerfile=dockerfile, image_id_file=id_file)
        logger.debug("building %s with %s", request.tag, client.path)
        code = _run(command, environment, parser, on_event, cancelled, request)
        if code != 0:
            _raise_if_lost(endpoint, request, parser)
            raise explain(parser, dockerfile=dockerfile, exit_code=code)
        return inspect_image(_image_id(id_file, request), endpoint=endpoint)


def _run(
    command: list[str],
    environment: Mapping[str, str],
    parser: ProgressParser,
    on_event: Callable[[BuildEvent], None],
    cancelled: threading.Event | None,
    request: BuildRequest,
) -> int:
    def emit(events: Iterable[BuildEvent]) -> None:
        for event in events:
            on_event(event)

    try:
        code = process.run(
            command, environment=environment, on_output=lambda chunk: emit(parser.feed(chunk)), cancelled=cancelled
        )
    except process.Stopped as error:
        raise Cancelled("build-cancelled", request.tag, "the build was cancelled") from error
    except OSError as error:
        raise ClientError(
            "client-not-started", command[0], f"the Docker client cannot be started: {error.strerror}"
        ) from error
    emit(parser.finish())
    return code


def _raise_if_lost(endpoint: Endpoint, request: BuildRequest, parser: ProgressParser) -> None:
    """A client whose engine is gone ends like one whose step failed; its last words or the engine's silence tell them
    apart."""
    if broke_off(parser):
        raise engine_lost(endpoint, request.tag, "it ended during the build, and may have been started again since")
    try:
        with connect(endpoint, timeout=10):
            return
    except EngineError as error:
        raise engine_lost(endpoint, request.tag, f"it went away during the build ({error.message})") from error


def _image_id(path: Path, request: BuildRequest) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise BuilderError(
            "build-without-image", request.tag, "the client ended well and named no image", hint="build once more"
        ) from error
