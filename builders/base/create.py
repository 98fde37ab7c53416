"""A Debian base image from the host's apt mirror: mmdebstrap's tree, streamed into the engine."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from builders import process
from builders.base.apt import AptSource, acquire_options, for_suite, read_sources
from builders.base.bootstrap import bootstrap_argv
from builders.base.mounts import remove_tree
from builders.engine import Endpoint, connect
from builders.engine.connection import TRANSFER_TIMEOUT, is_disk_full
from builders.errors import BuilderError, DiskFull
from registry.reference import ImageRef

logger = logging.getLogger(__name__)

NAMESPACE = "imageforge"
_NAME = re.compile(r"debian:(?P<suite>[a-z][a-z0-9.-]*)")
_APT_FOLDER = Path("/etc/apt")
_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_CHUNK = 1 << 20
_GRACE = 20.0  # seconds; mmdebstrap unmounts and removes what it made when it is told to stop
_TAIL = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """A base image in the engine: its reference, its ID, its size in bytes."""

    reference: str
    image_id: str
    size: int


def create_base(
    name: str = "debian:bookworm",
    *,
    endpoint: Endpoint,
    labels: Mapping[str, str],
    on_line: Callable[[str], None],
    environ: Mapping[str, str] | None = None,
    namespace: str = NAMESPACE,
) -> BaseImage:
    """Bootstraps ``debian:SUITE`` and tags it ``imageforge/debian:SUITE``, never an official name; `namespace` may be
    one below ``imageforge/``.

    Sources, Acquire options, keyrings and locally added CA certificates are the host's. What mmdebstrap says goes to
    `on_line`, a line at a time, from a thread of its own. However it ends, no process, mount or temporary file is left.

    Raises BuilderError: ``base-unsupported`` (another name), ``base-needs-root``, ``base-needs-mmdebstrap``,
    ``base-suite-unknown`` (the host has no source for the suite), ``base-failed``; DiskFull; EngineError.
    """
    environ = os.environ if environ is None else environ
    match = _NAME.fullmatch(name)
    if match is None:
        raise BuilderError("base-unsupported", name, "only debian:SUITE can be bootstrapped", hint="debian:bookworm")
    program = _require_tools(name, environ)
    suite = match["suite"]
    sources = _sources(name, suite)
    if namespace != NAMESPACE and not namespace.startswith(f"{NAMESPACE}/"):
        raise BuilderError("base-unsupported", namespace, f"base images are named below {NAMESPACE}/ only")
    reference = ImageRef.parse(f"{namespace}/debian:{suite}").familiar
    with _workplace() as folder:
        sources_file = folder / "host.sources"
        sources_file.write_text("\n".join(source.stanza() for source in sources))
        command = bootstrap_argv(
            suite,
            program=program,
            sources_file=sources_file,
            sources=sources,
            acquire=_host_options(environ),
            certificates=sorted(_CERTIFICATES.glob("*.crt")),
        )
        with connect(endpoint, timeout=TRANSFER_TIMEOUT) as engine:
            environment = {**environ, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
            with closing(_bootstrapped(command, name, environment, on_line)) as tree:
                repository, _, tag = reference.rpartition(":")
                changes = [*_label_changes(labels), 'CMD ["bash"]']
                engine.import_image(tree, repository=repository, tag=tag, changes=changes)
            found = engine.inspect_image(reference)
    return BaseImage(reference=reference, image_id=str(found["Id"]), size=int(found.get("Size") or 0))


def _require_tools(name: str, environ: Mapping[str, str]) -> str:
    program = shutil.which("mmdebstrap", path=environ.get("PATH"))
    if program is None:
        raise BuilderError(
            "base-needs-mmdebstrap",
            name,
            "mmdebstrap, which bootstraps Debian, is not installed",
            hint="apt-get install mmdebstrap",
        )
    if os.geteuid() != 0:
        raise BuilderError(
            "base-needs-root", name, "a bootstrap makes files of other owners, which takes root", hint="run it as root"
        )
    return program


def _sources(name: str, suite: str) -> list[AptSource]:
    everything = read_sources(_APT_FOLDER)
    sources = for_suite(everything, suite)
    if suite not in {found for source in sources for found in source.suites}:
        known = ", ".join(sorted({found for source in everything for found in source.suites})) or "none"
        raise BuilderError(
            "base-suite-unknown",
            name,
            f"this host's apt sources have no suite {suite} (they have: {known})",
            hint=f"add a source for {suite} under {_APT_FOLDER}",
        )
    for source in sources:
        if source.has_credentials:
            raise BuilderError(
                "base-source-secret",
                name,
                "an apt source has a user or password in its address, which every image would carry",
                hint="move it to /etc/apt/auth.conf.d/",
            )
    return sources


def _host_options(environ: Mapping[str, str]) -> list[str]:
    done = subprocess.run(
        ["apt-config", "dump"], env=dict(environ), capture_output=True, text=True, check=False, timeout=30
    )
    return acquire_options(done.stdout)


def _label_changes(labels: Mapping[str, str]) -> list[str]:
    """LABEL instructions; in a Dockerfile's quotes a dollar would begin a variable."""
    quoted = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": " "})
    return [f'LABEL "{key}"="{value.translate(quoted)}"' for key, value in sorted(labels.items())]


def _bootstrapped(
    command: list[str], name: str, environment: Mapping[str, str], on_line: Callable[[str], None]
) -> Generator[bytes, None, None]:
    """The tree as tar, in pieces. A bootstrap that fails raises here, in the middle of the upload, so that the engine
    sees a request that breaks off and makes no image of half a tree."""
    child = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    tail: deque[str] = deque(maxlen=_TAIL)
    reader = threading.Thread(target=_read_lines, args=(child.stderr, tail, on_line), name="bootstrap", daemon=True)
    reader.start()
    try:
        while piece := child.stdout.read(_CHUNK):
            yield piece
        code = child.wait()
        reader.join()
        if code != 0:
            raise _failed(name, code, tail)
    finally:
        process.end_group(child, grace=_GRACE)
        reader.join()
        child.stdout.close()
        child.stderr.close()


def _read_lines(stream: IO[bytes], tail: deque[str], on_line: Callable[[str], None]) -> None:
    for raw in stream:
        line = raw.decode(errors="replace").rstrip()
        if line:
            tail.append(line)
            on_line(line)


def _failed(name: str, code: int, tail: deque[str]) -> BuilderError:
    said = "\n".join(f"    {line}" for line in tail)
    if is_disk_full(said):
        return DiskFull("disk-full", name, f"no space is left for the bootstrap:\n{said}", hint="free some space")
    return BuilderError("base-failed", name, f"mmdebstrap ended with exit code {code}:\n{said}")


@contextmanager
def _workplace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="imageforge-base-"))
    try:
        folder.chmod(0o755)  # apt fetches as a user of its own
        yield folder
    finally:
        remove_tree(folder)
