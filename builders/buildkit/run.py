"""Run a build and tell what happens; end it, with everything it started, when asked to."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from builders.buildkit.argv import build_argv, build_environ
from builders.buildkit.client import BuildClient
from builders.buildkit.failure import explain
from builders.buildkit.progress import LineSplitter, ProgressReader
from builders.context import check_context
from builders.engine import inspect_image
from builders.errors import Cancelled, ClientError
from builders.locate import Endpoint
from builders.model import BuildEvent, BuildRequest, BuiltImage

LOOK_SECONDS = 0.1
"""How often a cancellation is looked for while BuildKit says nothing."""
GRACE_SECONDS = 1.0
"""How long the client has after SIGINT to tell the engine that the build is off, before it is killed."""


def build(
    request: BuildRequest,
    *,
    endpoint: Endpoint,
    client: BuildClient,
    on_event: Callable[[BuildEvent], None],
    cancelled: threading.Event | None = None,
) -> BuiltImage:
    """Build the request's image into the engine.

    Raises ContextError, StepFailed (`build-step-failed`), DiskFull, EngineError, and Cancelled (`build-cancelled`)
    within two seconds of `cancelled` being set. An exception of `on_event`, or Ctrl-C, ends the build too.
    """
    check_context(request.context, request.dockerfile)
    reader = ProgressReader()
    with tempfile.TemporaryDirectory(prefix="imageforge-build-") as folder:
        iid_file = Path(folder) / "iid"
        with _started(request, client, endpoint, iid_file) as child:
            for line in _lines(child, cancelled):
                for event in reader.feed(line):
                    on_event(event)
            code = child.wait()
        if cancelled is not None and cancelled.is_set():
            raise Cancelled(
                "build-cancelled", str(request.context), "the build was cancelled", kept="nothing was pushed"
            )
        image_id = iid_file.read_text().strip() if code == 0 and iid_file.exists() else ""
    if not image_id:
        raise explain(reader, dockerfile=request.dockerfile, shown=_shown(request), endpoint=endpoint)
    return inspect_image(endpoint, image_id)


@contextlib.contextmanager
def _started(
    request: BuildRequest, client: BuildClient, endpoint: Endpoint, iid_file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The client in a process group of its own, so that its plugins end with it."""
    try:
        child = subprocess.Popen(
            build_argv(request, client, iid_file),
            env=build_environ(request, client, endpoint, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ClientError("client-failed", str(client.path), str(error), hint="imageforge doctor") from error
    try:
        yield child
    finally:
        _end(child)
        assert child.stdout is not None
        child.stdout.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    for number, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            return


def _lines(child: subprocess.Popen[bytes], cancelled: threading.Event | None) -> Iterator[str]:
    """What the client prints, line by line, until it ends or the build is cancelled."""
    assert child.stdout is not None
    splitter = LineSplitter()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not (cancelled is not None and cancelled.is_set()):
            if not selector.select(LOOK_SECONDS):
                continue
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            yield from splitter.feed(data)
        else:
            _end(child)
    yield from splitter.rest()


def _shown(request: BuildRequest) -> str:
    try:
        return str(request.dockerfile.resolve().relative_to(request.context.resolve()))
    except ValueError:
        return str(request.dockerfile)
