"""An app's release command and its processes beside web: run before, switched together, gone back from together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import docker
import pytest

from runtime import Label
from tests.e2e.conftest import Forge
from tests.e2e.service import DOCKERFILE, Service, write_app
from tests.e2e.test_faults import check_once, kill, patient

pytestmark = pytest.mark.engine

TOML = """\
[app]
name = "{app}"
release = "python3 /srv/release.py --flag 'two words'"
"""
WORKER = 'processes = {worker = "exec python3 -u /srv/worker.py; true"}\n'
GOOD = "import os, sys; print('argument', sys.argv[2]); print('greeting', os.environ.get('GREETING'))"
BAD = "import sys; print('table is locked'); sys.exit(3)"
WORKS = "import time\nprint('working')\nwhile True: time.sleep(1)"
CRASHES = "import sys; print('no broker'); sys.exit(7)"


def write(
    folder: Path, app: str, version: str, *, release: str = GOOD, worker: str | None = WORKS, seconds: float = 0.0
) -> None:
    write_app(folder, version, DOCKERFILE.replace("main.py version.txt", "*.py version.txt"))
    (folder / "release.py").write_text(f"import time; time.sleep({seconds})\n{release}")
    (folder / "worker.py").write_text(worker or "")
    (folder / "imageforge.toml").write_text(TOML.format(app=app) + (WORKER if worker else ""))


def running(forge: Forge, app: str) -> list[tuple[str, str]]:
    """The process and the release of each replica that is not being stopped."""
    return sorted((row["process"], row["release"]) for row in forge.replicas(app) if row["state"] != "Terminating")


def jobs(client: docker.DockerClient, forge: Forge, app: str) -> list[Any]:
    wanted = [f"{Label.INSTANCE}={forge.instance}", f"{Label.APP}={app}", str(Label.JOB)]
    return list(client.containers.list(all=True, ignore_removed=True, filters={"label": wanted}))


@pytest.mark.soak
def test_web_and_worker_switch_together_after_the_release_command(
    forge: Forge, project: Path, docker_client: docker.DockerClient
) -> None:
    write(project, "crew", "one")
    first = forge.ok("deploy", project)
    [line] = [line for line in first.err.splitlines() if line.startswith("release")]
    assert line.startswith("release  python3 /srv/release.py --flag 'two words', exit 0"), first.err
    assert "  release | argument two words" in first.err
    assert "web 1/1, worker 1/1 ready, 0 of" in first.err
    assert "release  python3 /srv/release.py --flag 'two words', exit 0" in first.out
    assert running(forge, "crew") == [("web", "1"), ("worker", "1")]
    assert forge.get("crew")[1].strip() == "one"
    assert "working" in forge.ok("logs", "crew", "--process", "worker").out

    forge.ok("scale", "crew", "worker=2")
    assert running(forge, "crew") == [("web", "1"), ("worker", "1"), ("worker", "1")]
    unknown = forge.run("scale", "crew", "clock=2")
    assert (unknown.code, unknown.err.splitlines()[0]) == (
        3,
        "error[no-such-process]: crew: it has no process clock, expected web or worker",
    )
    taken = forge.run("apps", "create", "crew-worker")
    assert (taken.code, taken.err.split(":")[0]) == (3, "error[app-name-taken]"), taken.err

    write(project, "crew", "two", release=BAD)
    failed = forge.run("deploy", project)
    assert failed.code == 1, failed.err
    assert "  release | table is locked" in failed.err
    assert (
        "error[release-command-failed]: crew release 2: `python3 /srv/release.py --flag 'two words'` "
        "exited with code 3, expected exit code 0\n  kept: release 1 is serving\n" in failed.err
    )
    assert running(forge, "crew") == [("web", "1"), ("worker", "1"), ("worker", "1")]
    assert all(row["restarts"] == 0 for row in forge.replicas("crew"))

    write(project, "crew", "three", worker=CRASHES)
    crashed = forge.run("deploy", project)
    assert crashed.code == 1, crashed.err
    assert "error[replica-exits]: crew release 3: process worker: crew-worker-" in crashed.err
    assert "exited with code 7" in crashed.err
    assert "| no broker" in crashed.err
    assert "kept: release 1 is serving" in crashed.err
    assert running(forge, "crew") == [("web", "1"), ("worker", "1"), ("worker", "1")]
    assert forge.get("crew")[1].strip() == "one"

    write(project, "crew", "four", worker=None)
    forge.ok("deploy", project)
    assert running(forge, "crew") == [("web", "4")]
    assert forge.get("crew")[1].strip() == "four"
    assert len(jobs(docker_client, forge, "crew")) == 1, "only the newest release's is kept"

    back = forge.ok("rollback", "crew", "1")
    assert not [line for line in back.err.splitlines() if line.startswith("release")], back.err
    assert running(forge, "crew") == [("web", "5"), ("worker", "5"), ("worker", "5")]
    assert forge.get("crew")[1].strip() == "one"
    assert forge.ok("manifest", "crew").out.count("kind: Deployment") == 2
    [row] = [row for row in forge.ok("apps", "ls", "-o", "json").json if row["app"] == "crew"]
    assert (row["ready"], row["processes"]) == ("3/3", {"web": "1/1", "worker": "2/2"})
    inside = forge.ok("exec", "crew", "--process", "worker", "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
    assert "/srv/worker.py" in inside.out
    once = forge.run("run", "crew", "--", "sh", "-c", "cat /srv/version.txt; echo port $PORT; exit 5")
    assert (once.code, once.out) == (5, "oneport 8080\n"), once
    owned = forge.run("scale", "deployment/crew-worker", 3)
    assert owned.err.startswith("error[owned-by-app]: Deployment default/crew-worker: it belongs to the app crew")
    assert "hint: imageforge scale crew worker=3" in owned.err
    before = {row["replica"] for row in forge.replicas("crew")}
    forge.ok("restart", "crew")
    assert not before & {row["replica"] for row in forge.replicas("crew") if row["ready"]}

    forge.ok("apps", "delete", "crew", "--yes")
    wanted = {"label": [f"{Label.INSTANCE}={forge.instance}", f"{Label.APP}=crew"]}
    deadline = time.monotonic() + 60
    while left := docker_client.containers.list(all=True, ignore_removed=True, filters=wanted):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_release_command_is_not_run_again_and_is_ended_by_a_cancel(
    forge: Forge, project: Path, docker_client: docker.DockerClient
) -> None:
    """The process of the build is killed in the middle of its command, and finds it again; the next is cancelled."""
    forge.ok("up")
    service = Service(forge)
    release = "print('begun', flush=True); time.sleep(4); print('done')"
    write(project, "once", "one", release=release, worker=None)
    build = service.upload("once", project).json()["build"]
    assert service.until(build, "line", "release")["text"] == "begun"
    [before] = jobs(docker_client, forge, "once")
    assert kill(forge, "build")
    ended = patient(service, build)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2), ended
    check_once(service, "once", build)
    [after] = jobs(docker_client, forge, "once")
    assert after.id == before.id
    events = [row for row in service.events(build) if row.get("stage") == "release"]
    assert [row["text"] for row in events if row["kind"] == "line"] == ["begun", "done"]
    assert forge.get("once")[1].strip() == "one"

    # Another environment makes a release, and its command runs in it; a controller that is killed finds it again too.
    build = service.ask("PATCH", "/v1/apps/once/env", json={"values": {"GREETING": "hello"}}).json()["build"]
    service.until(build, "line", "release")
    assert kill(forge, "controller")
    ended = patient(service, build)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1), ended
    lines = [row for row in service.events(build) if row.get("stage") == "release" and row["kind"] == "line"]
    assert [row["text"] for row in lines] == ["begun", "done"]
    assert forge.get("once") == (200, "one hello")
    [job] = jobs(docker_client, forge, "once")
    assert job.labels[Label.RELEASE] == "2"
    assert "GREETING=hello" in job.attrs["Config"]["Env"]

    write(project, "once", "two", release="print('begun', flush=True); time.sleep(600)", worker=None)
    build = service.upload("once", project).json()["build"]
    service.until(build, "line", "release")
    service.ask("POST", f"/v1/builds/{build}/cancel").raise_for_status()
    assert service.ended(build)["status"] == "cancelled"
    deadline = time.monotonic() + 30
    while [item for item in jobs(docker_client, forge, "once") if item.status == "running"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert forge.get("once") == (200, "one hello")
    assert [row["release"] for row in forge.replicas("once")] == ["2"]
    status = service.ask("GET", "/v1/apps/once/status").json()
    assert (status["processes"], status["ready"]) == ({}, 1)
