"""A full disk: named with what to do, nothing half made, and the next build works."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Forge
from tests.e2e.service import Service, write_app
from tests.e2e.test_faults import check_once

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@pytest.fixture(scope="module")
def service(forge: Forge) -> Service:
    forge.ok("up")
    return Service(forge)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A folder on a disk of its own for as long as the block lasts."""
    folder.mkdir(mode=0o700, exist_ok=True)
    options = f"size={kilobytes}k,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write_large(project: Path, version: str, megabytes: int) -> None:
    write_app(project, version)
    (project / "data.bin").write_bytes(random.Random(version).randbytes(megabytes << 20))
    dockerfile = project / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("version.txt", "version.txt data.bin"))


def no_room_for_an_upload(service: Service, project: Path, app: str) -> None:
    """It is refused, and the same upload is taken once there is room."""
    builds = len(service.ask("GET", "/v1/builds", params={"app": app}).json()["builds"])
    with small_disk(service.forge.home / "state" / "contexts", 1024) as contexts:
        refused = service.upload(app, project)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (507, "disk-full"), problem
        assert str(contexts) in problem["detail"] + problem.get("subject", "")
        assert "make room" in problem["hint"]
        assert list(contexts.iterdir()) == []
    assert len(service.ask("GET", "/v1/builds", params={"app": app}).json()["builds"]) == builds


def no_room_for_a_build(service: Service, project: Path, app: str, place: str, kilobytes: int) -> None:
    """It fails with the reason, and leaves nothing in the place that was full."""
    with small_disk(service.forge.home / "state" / place, kilobytes) as full:
        build = service.upload(app, project, no_cache=True).json()["build"]
        ended = service.ended(build)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "disk-full"), ended
        assert ended["error"]["hint"]
        # Its worker tells how it ended before it tidies up.
        deadline = time.monotonic() + 30
        while left := list(full.iterdir()):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    releases = service.ask("GET", f"/v1/apps/{app}/releases").json()
    assert build not in [row["build"] for row in releases]


def room_again(service: Service, project: Path, app: str, version: str) -> None:
    build = service.upload(app, project).json()["build"]
    ended = service.ended(build)
    assert ended["status"] == "succeeded", ended["error"]
    check_once(service, app, build)
    assert service.forge.get(app)[1].strip() == version


def test_a_full_disk_in_the_middle_of_an_upload_and_of_a_build(service: Service, project: Path) -> None:
    write_large(project, "fits", 3)
    no_room_for_an_upload(service, project, "filled")
    no_room_for_a_build(service, project, "filled", "scratch", 2048)
    room_again(service, project, "filled", "fits")
    service.forge.ok("apps", "delete", "filled", "--yes")


@pytest.mark.soak
def test_a_disk_that_is_full_again_and_again(service: Service, project: Path, tell: Callable[[str], None]) -> None:
    """The long form: uploads and builds without room of any size, and one with room after each."""
    seed = int(os.environ.get("SOAK_SEED", "1"))
    chance, counts = random.Random(seed), Counter[str]()
    for number in range(20):
        write_large(project, str(number), 3)
        place = chance.choice(("contexts", "scratch", "layouts"))
        if place == "contexts":
            no_room_for_an_upload(service, project, "refilled")
        else:
            no_room_for_a_build(service, project, "refilled", place, chance.randint(64, 2560))
        counts[place] += 1
        room_again(service, project, "refilled", str(number))
    tell(f"seed {seed}: 20 times without room {dict(counts)}, each refused by name; 20 builds after it succeeded")
    service.forge.ok("apps", "delete", "refilled", "--yes")
