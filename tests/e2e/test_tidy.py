"""Tidying the registry: what is needed stays to the last byte, what is not goes, and pushes meanwhile lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from imageforge.images.attached import Kind, attached_documents
from imageforge.stack.process import identify, read_pid_file, write_pid_file
from imageforge.store import Database
from imageforge.store.schema import builds
from registry import RegistryClient
from tests.e2e.conftest import Forge
from tests.e2e.service import DOCKERFILE, Service, write_app

pytestmark = pytest.mark.engine
BALLAST = DOCKERFILE.replace("USER", "RUN head -c 3000000 /dev/urandom > /srv/ballast\nUSER")


@pytest.fixture(scope="module")
def service(forge: Forge) -> Service:
    forge.ok("up")
    return Service(forge)


def age(service: Service) -> None:
    """All builds are of yesterday."""
    with Database.at(service.forge.home / "state" / "store.sqlite") as database, database.writing() as connection:
        connection.execute(sa.update(builds).values(created_at=time.time() - 86400))


def test_what_no_release_has_goes_and_what_one_has_stays(service: Service, project: Path) -> None:
    write_app(project, "one", BALLAST)
    built = service.ended(service.upload("tidied", project, deploy=False).json()["build"])
    assert built["status"] == "succeeded"
    for version in ("two", "three"):
        write_app(project, version, BALLAST)
        assert service.ended(service.upload("tidied", project, no_cache=True).json()["build"])["status"] == "succeeded"
    before = service.ask("GET", "/v1/registry/repositories/tidied/tags").json()
    assert len(before) == 3
    assert {"name": "tidied", "tags": 3} in service.ask("GET", "/v1/registry/repositories").json()

    young = service.ask("POST", "/v1/registry/gc").json()
    assert len(service.ask("GET", "/v1/registry/repositories/tidied/tags").json()) == 3, "a young build's image stays"
    age(service)
    tidied = service.ask("POST", "/v1/registry/gc").json()
    assert tidied["images"] >= young["images"] + 1
    assert tidied["bytes"] > 2_900_000
    left = service.ask("GET", "/v1/registry/repositories/tidied/tags").json()
    assert len(left) == 2
    gone = built["image"].rpartition("@")[2]
    assert gone not in {row["digest"] for row in left}
    # What is attached to an image goes with it and stays with it.
    with RegistryClient(f"127.0.0.1:{service.forge.registry_port}") as client:
        assert attached_documents(client, "tidied", gone) == {}
        assert len(client.tags("tidied", referrers=True)) == 4
        said = attached_documents(client, "tidied", left[0]["digest"])
        assert set(said) == set(Kind)
        assert said[Kind.LINT]["file"] == "Dockerfile"
        assert said[Kind.PROVENANCE]["subject"][0]["digest"]["sha256"] == left[0]["digest"].removeprefix("sha256:")

    # The registry takes pushes again, and a release of before can be gone back to.
    service.forge.ok("rollback", "tidied", "1")
    assert service.forge.get("tidied")[1].strip() == "two"
    write_app(project, "four", BALLAST)
    assert service.ended(service.upload("tidied", project).json()["build"])["status"] == "succeeded"


def test_the_images_of_a_deleted_app_go_with_it_and_those_of_others_stay(service: Service, project: Path) -> None:
    write_app(project, "old", BALLAST)
    for app in ("leaving", "staying"):
        assert service.ended(service.upload(app, project).json()["build"])["status"] == "succeeded"
    assert service.ask("DELETE", "/v1/apps/leaving").status_code == 204
    with RegistryClient(f"127.0.0.1:{service.forge.registry_port}") as client:
        assert client.tags("leaving") == ()
        assert len(client.tags("staying")) == 1
    # The next app of its name has its own, though the same tree was built for the last.
    again = service.ended(service.upload("leaving", project).json()["build"])
    assert again["status"] == "succeeded"
    assert again["reused_from"] is None
    for app in ("leaving", "staying"):
        service.forge.ok("apps", "delete", app, "--yes")


def test_image_gc_takes_what_nothing_needs_from_all_three_places(service: Service, project: Path) -> None:
    write_app(project, "spare", BALLAST)
    spare = service.ended(service.upload("spared", project, deploy=False).json()["build"])
    digest = spare["image"].rpartition("@")[2]
    local = f"127.0.0.1:{service.forge.registry_port}"
    service.forge.ok("image", "copy", f"docker://{local}/spared@{digest}", f"docker://{local}/mine:kept")
    age(service)
    would = json.loads(service.forge.ok("image", "gc", "--dry-run", "-o", "json").out)
    assert {(row["place"], row["image"]) for row in would} >= {("registry", f"spared@{digest}")}
    assert "more than 1.0 kB: releases" in service.forge.ok("image", "gc", "--dry-run", "--budget", "1kB").err
    assert service.forge.run("image", "gc").code == 3, "it asks"
    went = json.loads(service.forge.ok("image", "gc", "--yes", "-o", "json").out)
    assert {(row["place"], row["image"]) for row in went} >= {("registry", f"spared@{digest}")}
    with RegistryClient(local) as client:
        assert client.tags("spared") == ()
        assert client.tags("mine") == ("kept",), "a name that a user gave"
        assert client.has_manifest("mine", digest)
    service.forge.ok("image", "rm", f"docker://{local}/mine:kept", "--yes")


def test_image_gc_says_what_would_go_with_old_releases_and_takes_just_that(service: Service, project: Path) -> None:
    digests = []
    for version in ("one", "two"):
        write_app(project, version, BALLAST)
        built = service.ended(service.upload("aged", project, no_cache=True).json()["build"])
        assert built["status"] == "succeeded"
        digests.append(built["image"].rpartition("@")[2])
    age(service)

    def rows(*options: str) -> set[tuple[str, str]]:
        told = json.loads(service.forge.ok("image", "gc", *options, "-o", "json").out)
        return {(row["place"], row["image"]) for row in told}

    old, new = (("registry", f"aged@{digest}") for digest in digests)
    assert old not in rows("--dry-run")
    would = rows("--keep", "1", "--dry-run")
    assert old in would
    assert new not in would
    assert len(json.loads(service.forge.ok("releases", "aged", "-o", "json").out)) == 2, "nothing is forgotten yet"
    assert rows("--keep", "1", "--yes") == would
    assert service.forge.get("aged")[1].strip() == "two"
    assert len(json.loads(service.forge.ok("releases", "aged", "-o", "json").out)) == 1


def test_a_registry_with_nothing_to_remove_is_left_as_it_runs(service: Service) -> None:
    service.forge.ok("image", "gc", "--yes")
    pid_file = service.forge.home / "run" / "registry.pid"
    before = read_pid_file(pid_file)
    again = service.forge.ok("image", "gc", "--yes")
    assert read_pid_file(pid_file) == before, "it was started anew"
    assert "the registry has nothing to remove, and was left as it is" in again.err
    assert again.err.endswith("nothing to remove\n")
    assert service.ask("POST", "/v1/registry/gc").json() == {"images": 0, "bytes": 0}
    assert read_pid_file(pid_file) == before


def test_an_empty_registry_is_tidied_too(own_forge: Forge) -> None:
    own_forge.ok("up")
    assert "nothing to remove" in own_forge.ok("image", "gc", "--yes").err


@pytest.mark.soak
def test_builds_and_tidying_at_once_lose_nothing(service: Service, project: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = []
        for number in range(4):
            folder = project / str(number)
            write_app(folder, f"v{number}", BALLAST)
            numbers.append(service.upload(f"crowd-{number}", folder).json()["build"])
        tidied = [pool.submit(service.ask, "POST", "/v1/registry/gc") for _ in range(2)]
        ended = [service.ended(number) for number in numbers]
        answers = {(part.result().status_code, part.result().json().get("code")) for part in tidied}
    for build in ended:
        assert build["status"] == "succeeded", str(build["error"])
    assert answers <= {(200, None), (409, "registry-busy")}
    with RegistryClient(f"127.0.0.1:{service.forge.registry_port}") as client:
        for build in ended:
            digest = build["image"].rpartition("@")[2]
            manifest = client.get_manifest(build["app"], digest)
            assert manifest.digest == digest


@pytest.mark.soak
def test_a_registry_that_was_left_read_only_takes_pushes_again(service: Service, project: Path) -> None:
    flag = service.forge.home / "run" / "registry.read-only"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as killed:
        identity = identify(killed.pid)
        assert identity
        write_pid_file(flag, identity)
        for name in ("registry", "api"):
            found = read_pid_file(service.forge.home / "run" / f"{name}.pid")
            assert found
            if name == "api":
                killed.kill()
                killed.wait()
            os.kill(found.pid, signal.SIGKILL)
    service.forge.ok("up")
    deadline = time.monotonic() + 30
    while flag.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    write_app(project, "after", BALLAST)
    assert service.ended(service.upload("after", project).json()["build"])["status"] == "succeeded"
