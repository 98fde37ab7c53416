"""Base images: what is refused, what is run, and once the real thing."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from builders import BuilderError, BuildRequest, Endpoint, build, create_base
from builders.base import create
from builders.base.apt import AptSource
from builders.base.bootstrap import bootstrap_argv
from builders.base.mounts import mounts_below, remove_tree
from builders.buildkit.client import BuildClient
from tests.builders.ran import printed

NOWHERE = Endpoint(host="unix:///none.sock", origin="test")
EXAMPLE = Path(__file__).parents[3] / "examples" / "bases" / "python-3.11" / "Dockerfile"


def refused(name: str = "debian:bookworm", **arguments: object) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        create_base(name, endpoint=NOWHERE, labels={}, on_line=lambda _: None, **arguments)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    "name", ["alpine:3", "debian", "debian:", "python:3.11", "debian:../x", "debian:Bookworm", "x/debian:sid", ""]
)
def test_only_debian_is_bootstrapped(name: str) -> None:
    assert refused(name).code == "base-unsupported"


@pytest.mark.parametrize("namespace", ["library", "docker.io/library", "imageforgery", "", "imageforge-x"])
def test_no_name_outside_the_projects_own_is_given(namespace: str) -> None:
    assert refused(namespace=namespace).code == "base-unsupported"


def test_without_mmdebstrap(tmp_path: Path) -> None:
    error = refused(environ={"PATH": str(tmp_path)})
    assert error.code == "base-needs-mmdebstrap"
    assert "apt-get install mmdebstrap" in (error.hint or "")


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refused().code == "base-needs-root"


def test_a_suite_that_the_host_has_no_source_for() -> None:
    error = refused("debian:potato")
    assert error.code == "base-suite-unknown"
    assert "bookworm" in error.message


def test_a_password_in_a_source_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.list").write_text("deb http://user:hunter2@host/debian bookworm main\n")
    monkeypatch.setattr(create, "_APT_FOLDER", tmp_path)
    error = refused()
    assert error.code == "base-source-secret"
    assert "hunter2" not in f"{error} {error.hint}"


def test_the_command() -> None:
    command = bootstrap_argv(
        "bookworm",
        program="/usr/bin/mmdebstrap",
        sources_file=Path("/t/host.sources"),
        sources=[AptSource(uri="http://x", suites=("bookworm",), components=("main",), signed_by="/k.gpg")],
        acquire=['Acquire::Check-Date "false";'],
        certificates=[Path("/certs/with space.crt")],
    )
    assert command[-3:] == ["bookworm", "-", "/t/host.sources"]
    assert "--variant=minbase" in command
    assert '--aptopt=Acquire::Check-Date "false";' in command
    assert "--keyring=/k.gpg" in command
    assert "--customize-hook=copy-in '/certs/with space.crt' /usr/local/share/ca-certificates/" in command
    assert any("rm -f" in word and "99mmdebstrap" in word for word in command)


def test_labels_survive_quoting() -> None:
    assert create._label_changes({"b": 'x "y" $z \\', "a": "1"}) == [
        'LABEL "a"="1"',
        'LABEL "b"="x \\"y\\" \\$z \\\\"',
    ]


def test_mounts_below_a_folder(tmp_path: Path) -> None:
    table = "\n".join(
        f"36 35 98:0 / {point} rw,noatime - ext4 /dev/root rw"
        for point in ("/", "/dev", f"{tmp_path}x", f"{tmp_path}/a\\040b", f"{tmp_path}/a\\040b/c", str(tmp_path))
    )
    assert mounts_below(tmp_path, table) == [tmp_path, tmp_path / "a b", tmp_path / "a b" / "c"]


def test_a_mounted_folder_is_unmounted_before_it_is_removed(tmp_path: Path) -> None:
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    for folder in (kept, removed / "mount"):
        folder.mkdir(parents=True)
    (kept / "file").write_text("x")
    subprocess.run(["mount", "--bind", str(kept), str(removed / "mount")], check=True)
    remove_tree(removed)
    assert not removed.exists()
    assert (kept / "file").exists()


def test_a_folder_that_stays_mounted_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("builders.base.mounts.mounts_below", lambda _: [tmp_path])
    remove_tree(tmp_path)
    assert (tmp_path / "file").exists()


@pytest.fixture
def workplace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders go in this test; apt's own user can reach it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder


@pytest.mark.engine
def test_a_bootstrap_that_fails_makes_no_image_and_leaves_nothing(
    tmp_path: Path, workplace: Path, endpoint: Endpoint, docker_client: docker.DockerClient, instance: str
) -> None:
    """A program in mmdebstrap's place writes half a tree and gives up, as it does when a mirror goes away."""
    program = tmp_path / "mmdebstrap"
    program.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero\necho E: the mirror went away >&2\nexit 25\n")
    program.chmod(0o755)
    lines: list[str] = []
    namespace = f"imageforge/{instance}"
    with pytest.raises(BuilderError) as caught:
        create_base(
            endpoint=endpoint,
            labels={"io.imageforge.instance": instance},
            on_line=lines.append,
            environ={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            namespace=namespace,
        )
    assert caught.value.code == "base-failed"
    assert "exit code 25" in caught.value.message
    assert "the mirror went away" in caught.value.message
    assert lines == ["E: the mirror went away"]
    assert list(workplace.iterdir()) == []
    with pytest.raises(docker.errors.ImageNotFound):
        docker_client.images.get(f"{namespace}/debian:bookworm")


@pytest.mark.engine
def test_an_interrupt_leaves_no_process_no_mount_and_no_folder(
    workplace: Path, endpoint: Endpoint, instance: str
) -> None:
    """The real mmdebstrap, interrupted as a terminal would when packages are being unpacked."""
    begun: list[str] = []

    def on_line(line: str) -> None:
        if "extracting archives" in line and not begun:
            begun.append(line)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        create_base(
            endpoint=endpoint,
            labels={"io.imageforge.instance": instance},
            on_line=on_line,
            namespace=f"imageforge/{instance}",
        )
    assert begun
    assert list(workplace.iterdir()) == []
    assert mounts_below(workplace) == []
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(workplace) in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.engine
@pytest.mark.soak
def test_a_base_image_and_a_python_on_it(
    tmp_path: Path, endpoint: Endpoint, client: BuildClient, docker_client: docker.DockerClient, instance: str
) -> None:
    labels = {"io.imageforge.instance": instance}
    lines: list[str] = []
    base = create_base(endpoint=endpoint, labels=labels, on_line=lines.append, namespace=f"imageforge/{instance}")
    assert base.reference == f"imageforge/{instance}/debian:bookworm"
    assert base.image_id == docker_client.images.get(base.reference).id
    assert any("success" in line for line in lines)

    def run(image: str, command: str) -> str:
        return printed(docker_client, image, instance, ["sh", "-c", command]).decode().strip()

    assert run(base.reference, ". /etc/os-release; echo $VERSION_CODENAME") == "bookworm"
    assert run(base.reference, "ls /etc/apt/apt.conf.d/99mmdebstrap 2>/dev/null | wc -l") == "0"
    assert run(base.reference, "apt-config dump Dir::Cache::pkgcache") == 'Dir::Cache::pkgcache "";'
    assert run(base.reference, "ls /usr/share/man/man1 2>/dev/null | wc -l") == "0"
    assert run(base.reference, "test -f /usr/share/doc/bash/copyright && echo kept") == "kept"
    local = sorted(path.name for path in Path("/usr/local/share/ca-certificates").glob("*.crt"))
    assert run(base.reference, "cd /usr/local/share/ca-certificates && ls").split() == local

    python = build(
        BuildRequest(
            context=tmp_path,
            dockerfile=EXAMPLE,
            tag=f"imageforge-test/{instance}:python",
            build_args={"BASE_IMAGE": base.reference},
            labels=labels,
        ),
        endpoint=endpoint,
        client=client,
        on_event=lambda _: None,
    )
    assert run(python.image_id, "python --version && python -m venv /tmp/v && /tmp/v/bin/pip --version").startswith(
        "Python 3.11"
    )
    assert run(python.image_id, "find /var/cache/apt -type f ! -name lock") == "", "what apt makes again"
