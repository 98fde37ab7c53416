"""Everything a user can get wrong, or a machine can take away: an error with code and hint, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from builders import find_ceiling
from tests.e2e.conftest import EXAMPLES, Forge

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PYTHON = "FROM imageforge/python:3.11\n"


def write(folder: Path, dockerfile: str, **files: str) -> Path:
    (folder / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def refused(forge: Forge, *arguments: object, code: str, exit_code: int, **environ: str) -> str:
    """Run a command that must fail in this way; gives its stderr."""
    outcome = forge.run(*arguments, **environ)
    assert f"error[{code}]" in outcome.err, f"{outcome.err}\n{outcome.out}"
    assert outcome.code == exit_code, outcome.err
    assert "Traceback" not in outcome.err
    assert "  hint: " in outcome.err
    return outcome.err


def test_no_dockerfile(forge: Forge, project: Path) -> None:
    refused(forge, "build", project, "--no-push", code="dockerfile-missing", exit_code=3)


def test_no_such_folder(forge: Forge, project: Path) -> None:
    refused(forge, "build", project / "nowhere", code="context-missing", exit_code=3)


def test_a_file_for_a_folder(forge: Forge, project: Path) -> None:
    (project / "file").touch()
    refused(forge, "build", project / "file", code="context-not-a-directory", exit_code=3)


def test_a_syntax_error_has_line_and_caret(forge: Forge, project: Path) -> None:
    write(project, f"{PYTHON}USER 10001\nRUNN echo hi\n")
    err = refused(forge, "build", project, "--no-push", code="dockerfile-syntax", exit_code=3)
    assert "Dockerfile:3" in err
    assert "^" in err
    assert "RUN" in err


def test_the_gate_refuses_with_line_and_fix(forge: Forge) -> None:
    outcome = forge.run("build", EXAMPLES / "90-bad-practices", "--no-push")
    assert outcome.code == 2
    assert "error[lint-refused]: Dockerfile:" in outcome.err
    assert "fix: " in outcome.err


def test_a_failing_step_shows_its_command_and_last_lines(forge: Forge, project: Path) -> None:
    write(project, f'{PYTHON}RUN echo before-the-fall && ls /no/such/place\nUSER 10001\nCMD ["true"]\n')
    err = refused(forge, "build", project, "--no-push", code="build-step-failed", exit_code=1)
    assert "ls /no/such/place" in err
    assert "before-the-fall" in err
    assert "Dockerfile:2" in err


def test_syntax_that_the_engine_lacks_is_found_before_the_build(forge: Forge, project: Path) -> None:
    write(project, f'{PYTHON}RUN <<EOF\necho hi\nEOF\nUSER 10001\nCMD ["true"]\n')
    version = tuple(int(part) for part in _engine_version(forge).split(".")[:2])
    if version >= (23, 0):
        forge.ok("build", project, "--no-push")
        return
    err = refused(forge, "build", project, "--no-push", code="frontend-unsupported", exit_code=3)
    assert "Dockerfile:2" in err


def test_a_syntax_image_that_cannot_be_reached_is_named(forge: Forge, project: Path) -> None:
    write(project, f'# syntax=127.0.0.1:9/dockerfile:1\n{PYTHON}USER 10001\nCMD ["true"]\n')
    began = time.monotonic()
    err = refused(forge, "build", project, "--no-push", code="syntax-image-unreachable", exit_code=4)
    assert "Dockerfile:1" in err
    assert time.monotonic() - began < 30


def test_a_base_image_that_cannot_be_reached_is_named(forge: Forge, project: Path) -> None:
    write(project, 'FROM imageforge/nowhere:1\nUSER 10001\nCMD ["true"]\n')
    err = refused(forge, "build", project, "--no-push", code="base-unreachable", exit_code=4)
    assert "imageforge/nowhere:1" in err


def test_no_engine(forge: Forge) -> None:
    environ = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    err = refused(
        forge, "build", EXAMPLES / "01-hello-http", "--no-push", code="engine-unreachable", exit_code=4, **environ
    )
    assert "/nowhere/docker.sock" in err


def test_a_registry_that_is_not_there(forge: Forge) -> None:
    refused(
        forge,
        *("build", EXAMPLES / "01-hello-http", "-t", "127.0.0.1:9/hello:1"),
        code="registry-unreachable",
        exit_code=4,
    )


def test_usage_errors_exit_3(forge: Forge) -> None:
    outcome = forge.run("build", "--no-such-flag")
    assert outcome.code == 3
    assert "error[usage]" in outcome.err
    assert forge.run("deploy", "--replicas", "many").code == 3


def test_a_taken_port_names_its_holder(own_forge: Forge) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_forge.http_port))
        taken.listen()
        err = refused(own_forge, "up", code="port-taken", exit_code=4)
    assert "pid" in err
    assert "IMAGEFORGE_HTTP_PORT" in err


APP_THAT_EXITS = """
import sys
print("opening the vault")
print("no key for the vault", file=sys.stderr)
sys.exit(3)
"""
APP_ON_LOOPBACK = """
import http.server
http.server.HTTPServer(("127.0.0.1", 3000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SERVE = f'{PYTHON}COPY main.py /srv/\nUSER 10001\nCMD ["python3", "-u", "/srv/main.py"]\n'


def test_an_app_that_exits_at_once_leaves_the_release_before_serving(forge: Forge, project: Path) -> None:
    forge.ok("deploy", EXAMPLES / "01-hello-http", "--name", "vault", "--replicas", 1)
    write(project, SERVE, main_py=APP_THAT_EXITS)
    err = refused(forge, "deploy", project, "--name", "vault", code="replica-exits", exit_code=1)
    assert "no key for the vault" in err
    assert "kept: release 1 is serving" in err
    status, body = forge.get("vault")
    assert (status, body.startswith("hello from")) == (200, True)
    rows = forge.ok("releases", "vault", "-o", "json").json
    assert [row["status"] for row in rows] == ["failed", "live"]
    forge.ok("apps", "delete", "vault", "--yes")


def test_an_app_on_its_loopback_is_told_so(forge: Forge, project: Path) -> None:
    write(project, SERVE, main_py=APP_ON_LOOPBACK)
    err = refused(forge, "deploy", project, "--name", "inward", code="port-not-listening", exit_code=1)
    assert "listens on 127.0.0.1:3000, expected 0.0.0.0:8080" in err
    assert "port = 3000" in err
    assert forge.knows_no("inward")
    stood = forge.run("report", "inward", 1)
    assert stood.out.startswith("deployment/inward: revision 1, stalled after "), stood
    assert "reason   inward release 1: " in stood.out
    assert (stood.code, stood.err.startswith("error[release-failed]: inward release 1: failed: ")) == (1, True)
    assert forge.ok("ps", "-o", "json").json is not None
    forge.ok("apps", "delete", "inward", "--yes")


def test_an_image_that_runs_as_root_is_not_deployed(forge: Forge, project: Path) -> None:
    write(project, f'{PYTHON}CMD ["python3", "-m", "http.server", "8080"]\n')
    err = refused(forge, "deploy", project, "--name", "rooty", code="image-refused", exit_code=2)
    assert "USER 10001" in err


def test_two_deploys_of_one_app_at_once(forge: Forge, project: Path) -> None:
    write(
        project, f'{PYTHON}RUN sleep 5\nCOPY main.py /srv/\nUSER 10001\nCMD ["python3", "/srv/main.py"]\n', main_py=""
    )
    first = forge.start("deploy", project, "--name", "twice", "--no-cache")
    try:
        lock = forge.home / "state" / "locks" / "twice.lock"
        deadline = time.monotonic() + 30
        while not (lock.exists() and lock.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        err = refused(forge, "deploy", EXAMPLES / "01-hello-http", "--name", "twice", code="app-busy", exit_code=1)
        assert f"pid {first.pid}" in err
    finally:
        first.send_signal(signal.SIGINT)
        ended = forge.end(first)
    assert ended.code == 130


@pytest.mark.parametrize("stage", ["build", "squash", "push", "rollout"])
def test_an_interrupt_in_any_stage_leaves_nothing_half_made(
    forge: Forge, project: Path, stage: str, docker_client: object
) -> None:
    slow = "RUN sleep 30\n" if stage == "build" else "RUN head -c 60000000 /dev/urandom > /srv.bin\n"
    app = "import time; time.sleep(600)"
    write(project, f'{PYTHON}{slow}COPY main.py /srv/\nUSER 10001\nCMD ["python3", "/srv/main.py"]\n', main_py=app)
    child = forge.start("--verbose", "deploy", project, "--name", "halfway", "--no-cache")
    assert child.stderr is not None
    seen: list[str] = []
    before = {"build": "lint ", "squash": "build ", "push": "squash ", "rollout": "push "}[stage]
    for line in child.stderr:
        seen.append(line)
        if line.startswith(before):
            break
    if stage == "rollout":
        while not [row for row in forge.ok("ps", "-o", "json").json if row["app"] == "halfway"]:
            assert child.poll() is None
    child.send_signal(signal.SIGINT)
    ended = forge.end(child)
    assert ended.code == 130, "".join(seen) + ended.err
    assert "Traceback" not in ended.err
    assert forge.knows_no("halfway")
    left = [row for row in forge.ok("ps", "-o", "json").json if row["app"] == "halfway"]
    assert all(row["state"] == "Terminating" for row in left)
    build = forge.ok("builds", "ls", "halfway", "-n", 1, "-o", "json").json[0]
    assert build["status"] == "cancelled"


def _engine_version(forge: Forge) -> str:
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        env=forge.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_named_and_nothing_is_half_made(engine_host: str, tmp_path: Path) -> None:
    home = tmp_path / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(home)], check=True)
    try:
        small = Forge(home, engine_host)
        err = refused(small, "build", EXAMPLES / "01-hello-http", "--no-push", code="disk-full", exit_code=4)
        assert str(home) in err
        assert list((home / "state" / "layouts").iterdir()) == []
        assert list((home / "state" / "scratch").iterdir()) == []
        assert small.run("down", "--purge", "--yes").code == 0
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_secrets_given_as_build_arguments_are_not_in_argv_or_events(forge: Forge, project: Path) -> None:
    write(project, f'{PYTHON}ARG TOKEN\nRUN sleep 3\nUSER 10001\nCMD ["true"]\n')
    child = forge.start(*("build", project, "--no-push", "--no-cache", "--build-arg", "TOKEN"), TOKEN="s3cr3t-v4lue")
    seen = set()
    while child.poll() is None:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and b"s3cr3t-v4lue" in (entry / "cmdline").read_bytes():
                    seen.add(entry.name)
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert seen == set()
    build = forge.ok("builds", "ls", "-n", 1, "-o", "json").json[0]
    assert "s3cr3t-v4lue" not in forge.ok("builds", "log", build["build"], "-o", "json").out + out + err


def test_a_build_that_hits_the_ceiling_says_so(forge: Forge, project: Path) -> None:
    ceiling = find_ceiling(forge.engine)
    if isinstance(ceiling, str):
        assert ceiling in forge.ok("doctor", "-o", "json").out  # there is none here, and doctor says so
        return
    name = "memory.max" if ceiling.unified else "memory.limit_in_bytes"
    before = (ceiling.memory / name).read_text().strip()
    write(project, f'{PYTHON}RUN python3 -c "print(len(bytearray(900 << 20)))"\nUSER 10001\nCMD ["true"]\n')
    try:
        outcome = forge.run("build", project, "--name", "greedy", "--no-cache", IMAGEFORGE_BUILD_MEMORY="300")
    finally:
        (ceiling.memory / name).write_text(before if before.isdigit() or ceiling.unified else "-1")
    assert outcome.code == 1, outcome.err
    assert "error[build-out-of-memory]: Dockerfile:" in outcome.err
    assert "300 MiB" in outcome.err
