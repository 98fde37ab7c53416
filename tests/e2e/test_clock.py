"""The machine's clock jumps by a day and back: no build is lost or killed, tokens follow the clock, apps serve on.

libfaketime sets the clock of every process of the stack but Redis, whose allocator asks it for the time before it can
tell. The engine's stays, as a container's times of before would.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from imageforge.stack.catalog import program
from tests.e2e.conftest import ROOT, temporary_forge
from tests.e2e.service import DOCKERFILE, Service, write_app
from tests.e2e.test_faults import check_once

pytestmark = pytest.mark.engine

SLOW = DOCKERFILE.replace("USER", "RUN sleep 3\nUSER")


# Debian 12's libfaketime lets time.sleep, which sleeps until a moment of the monotonic clock, fail with EINVAL once the
# clock of the day is set: the moment is taken for one of that clock.
SLEEPS = "import select, time; time.sleep = lambda seconds: (select.select([], [], [], seconds), None)[1]\n"


class Clock:
    """The clock of a stack."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.fail("libfaketime is missing: imageforge/stack/setup.sh --tests")
        self._file = folder / "clock"
        (folder / "sitecustomize.py").write_text(SLEEPS)
        redis = folder / "redis-server"
        redis.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {program("redis-server", "valkey-server")} "$@"\n')
        redis.chmod(0o755)
        self.set(0)
        self.environ = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}:{ROOT}",
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # A clock that is set leaves the monotonic one alone.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Have it that far from the true time."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{seconds:+d}\n")
        temporary.replace(self._file)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def service(clock: Clock, engine_host: str, docker_client: docker.DockerClient) -> Iterator[Service]:
    for forge in temporary_forge(engine_host, docker_client):
        forge.ok("up", **clock.environ)
        yield Service(forge)
        clock.set(0)


def jump(service: Service, clock: Clock, project: Path, app: str, *, by: tuple[int, int, int]) -> None:
    """The clock jumps while one build of an app runs and its next one waits, while the rollout of the first is under
    way, and while the second is built."""
    builds = []
    for version in ("one", "two"):
        write_app(project, version, SLOW)
        builds.append(service.upload(app, project, no_cache=True).json()["build"])
    moments = ((builds[0], "step", "build"), (builds[0], "stage-started", "rollout"), (builds[1], "step", "build"))
    for moment, seconds in zip(moments, by, strict=True):
        service.until(*moment)
        clock.set(seconds)
    for build in builds:
        ended = service.ended(build)
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1), ended
    check_once(service, app, builds[-1])
    assert service.forge.get(app)[1].strip() == "two"


@pytest.mark.soak
def test_a_clock_that_jumps_loses_and_kills_no_build(service: Service, clock: Clock, project: Path) -> None:
    short = service.ask("POST", "/v1/tokens", json={"name": "short", "scope": "admin", "days": 1}).json()["token"]

    def answered(token: str) -> int:
        with service.client(token) as client:
            return client.get("/v1/apps").status_code

    jump(service, clock, project, "jumps", by=(86400 + 60, 3 * 86400, -86400))
    assert service.forge.get("jumps")[0] == 200
    clock.set(86400 + 60)
    assert (answered(short), answered(service.token)) == (401, 200)
    clock.set(-86400)
    assert (answered(short), answered(service.token)) == (200, 200)
    service.forge.ok("restart", "jumps")
    assert service.forge.get("jumps")[1].strip() == "two"


@pytest.mark.soak
def test_thirty_jumps_lose_and_kill_no_build(
    service: Service, clock: Clock, project: Path, tell: Callable[[str], None]
) -> None:
    """The long form, by up to a month either way."""
    seed = int(os.environ.get("SOAK_SEED", "1"))
    chance = random.Random(seed)
    for number in range(10):
        first, second, third = (chance.randint(-30, 30) * 86400 for _ in range(3))
        jump(service, clock, project, f"jumps-{number % 3}", by=(first, second, third))
    tell(f"seed {seed}: 30 jumps of the clock, 20 builds accepted, 20 succeeded at their first attempt")
