"""Base images where no hub can be reached: Debian, bootstrapped from the mirror that this host itself uses.

mmdebstrap makes the root file system (minbase, no documentation); the host's own CA certificates are added, because a
network that inspects TLS does so for builds too; `docker import` makes an image of it. Nothing is ever tagged with an
official name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.engine import import_rootfs, inspect_image
from builders.errors import BuilderError, ClientError
from builders.locate import Endpoint

PREFIX = "imageforge/"
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
NAME = re.compile(r"debian:([a-z]+)")
NO_DOCS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
)
ACQUIRE = re.compile(r'(Acquire::(?:http|https|ftp|Check|Max|Retries)[^ ]*) "(.*)";')
"""Options of the host's apt that reach the mirror: proxies, time-outs, validity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """A base image that was made; `size` in bytes."""

    reference: str
    image_id: str
    size: int


def create_base(
    name: str = "debian:bookworm",
    *,
    endpoint: Endpoint,
    labels: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> BaseImage:
    """Make ``imageforge/debian:SUITE`` in the engine.

    Raises BuilderError (`base-name`), ClientError (`mmdebstrap-missing`, `not-root`, `bootstrap-failed`), EngineError.
    """
    match = NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise BuilderError("base-name", name, "expected debian:SUITE", hint="imageforge base create debian:bookworm")
    if shutil.which("mmdebstrap", path=environ.get("PATH")) is None:
        raise ClientError("mmdebstrap-missing", "mmdebstrap", "it is not installed", hint="apt-get install mmdebstrap")
    if os.geteuid() != 0:
        raise ClientError("not-root", "mmdebstrap", "a root file system is made as root", hint="use sudo")
    reference = f"{PREFIX}debian:{match[1]}"
    changes = [
        'CMD ["bash"]',
        *(f'LABEL "{key}"="{value}"' for key, value in sorted(labels.items())),
    ]
    with _bootstrap(match[1], on_line, environ) as stream:
        import_rootfs(endpoint, stream, reference, changes=changes)
    made = inspect_image(endpoint, reference)
    return BaseImage(reference=reference, image_id=made.image_id, size=made.size)


@contextmanager
def _bootstrap(suite: str, on_line: Callable[[str], None], environ: Mapping[str, str]) -> Iterator[object]:
    """mmdebstrap's tar as a stream. It ends with the block, whatever ends that, and cleans up behind itself."""
    with tempfile.TemporaryDirectory(prefix="imageforge-base-") as folder:
        archive = Path(folder) / "root.tar"
        child = subprocess.Popen(
            bootstrap_argv(suite, archive, environ),
            env={**environ, "TMPDIR": folder, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        said: list[str] = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                said.append(line.rstrip())
                on_line(line.rstrip())
            code = child.wait()
        finally:
            _end(child)
        if code != 0:
            raise ClientError(
                "bootstrap-failed",
                f"debian:{suite}",
                "mmdebstrap failed: " + " / ".join(line for line in said[-3:] if line),
                hint="`apt-get update` must work on this host: the same mirror is used",
            )
        with archive.open("rb") as stream:
            yield stream


def bootstrap_argv(suite: str, archive: Path, environ: Mapping[str, str]) -> list[str]:
    """mmdebstrap's command line, with the host's sources and the options by which its apt reaches them."""
    sources = host_sources(suite, Path("/etc/apt"))
    hooks = []
    if LOCAL_CERTIFICATES.is_dir() and any(LOCAL_CERTIFICATES.glob("*.crt")):
        hooks = [
            f"--customize-hook=copy-in {LOCAL_CERTIFICATES} /usr/local/share",
            '--customize-hook=chroot "$1" update-ca-certificates',
        ]
    return [
        *("mmdebstrap", "--variant=minbase", "--mode=root", "--include=ca-certificates", "--quiet"),
        *(f"--dpkgopt={option}" for option in NO_DOCS),
        *(f'--aptopt={name} "{value}"' for name, value in acquire_options(environ)),
        *hooks,
        suite,
        str(archive),
        *(str(source) for source in sources),
    ]


def host_sources(suite: str, folder: Path) -> list[Path]:
    """The host's source lists that serve this suite; none means mmdebstrap's own default mirror."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return [
        file
        for file in files
        if file.suffix in (".list", ".sources") and file.is_file() and _serves(file.read_text(errors="replace"), suite)
    ]


def acquire_options(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the host's apt is told about reaching its mirror."""
    try:
        done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True, env=dict(environ))
    except (OSError, subprocess.CalledProcessError):
        return []
    return [(name, value) for name, value in ACQUIRE.findall(done.stdout) if value]


def _serves(text: str, suite: str) -> bool:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    classic = any(re.match(rf"\s*deb\s.*\s{suite}\s", f"{line} ") for line in lines)
    return classic or any(re.match(rf"Suites:.*\b{suite}\b", line) for line in lines)


def _end(child: subprocess.Popen[str]) -> None:
    """End mmdebstrap as Ctrl-C does: it unmounts and removes what it made."""
    if child.poll() is None:
        os.killpg(child.pid, 2)
        timer = threading.Timer(20, lambda: os.killpg(child.pid, 9))
        timer.start()
        child.wait()
        timer.cancel()
    if child.stdout:
        child.stdout.close()
