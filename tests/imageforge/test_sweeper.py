"""What the sweeper puts right: real processes, a real folder, a clock that jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from imageforge.config import Home, Settings
from imageforge.queue.contexts import GRACE_SECONDS, Contexts
from imageforge.queue.intake import Intake
from imageforge.queue.sweeper import Sweeper
from imageforge.queue.wake import Waker
from imageforge.stack.process import identify, lives, myself
from imageforge.store import Apps, BuildQueue, Builds, BuildStatus, Database, Submission
from imageforge.store.build_queue import LEASE_SECONDS

DEAD = {"pid": 1, "started": 1, "boot": "another boot"}
COMMIT = "a" * 40


class Bench:
    """A sweeper with a clock and a git of the test's; Redis is away, as it may be."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home, self.now, self.tips = home, 1000.0, dict[tuple[str, str], str]()
        self.queue, self.builds = BuildQueue(database), Builds(database)
        Apps(database).ensure("shop")
        waker = Waker(home.redis_socket)
        settings = Settings(keep_contexts=1)
        intake = Intake(home, settings, database, waker)
        self.sweeper = Sweeper(
            home, settings, database, intake, waker, lambda *key: self.tips.get(key), clock=lambda: self.now
        )

    def submit(self, **more: object) -> int:
        values: dict[str, object] = {"app": "shop", "source": "x", "spec": {}, "origin": "git", "branch": "main"}
        return self.queue.submit(Submission(**{**values, **more})).build_id  # type: ignore[arg-type]

    def status(self, build: int) -> BuildStatus:
        found = self.builds.find(build)
        assert found
        return found.status


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = Home(tmp_path / "home")
    home.prepare()
    with Database.at(home.store) as database:
        yield Bench(home, database)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def owner(child: subprocess.Popen[bytes]) -> dict[str, object]:
    identity = identify(child.pid)
    assert identity
    return asdict(identity)


def test_a_worker_that_is_stuck_is_killed_and_its_build_waits_again(
    bench: Bench, child: subprocess.Popen[bytes]
) -> None:
    build = bench.submit()
    bench.queue.claim(owner(child), most_running=1)
    bench.sweeper.sweep()
    bench.now += LEASE_SECONDS - 1
    bench.sweeper.sweep()
    assert child.poll() is None
    bench.now += 2
    bench.sweeper.sweep()
    assert child.wait(10) == -signal.SIGKILL
    assert bench.sweeper.sweep() in ((build,), ())  # the sweep that killed it may have recovered it already
    assert bench.status(build) is BuildStatus.QUEUED


def test_a_worker_that_gives_signs_of_life_is_left_alone(bench: Bench, child: subprocess.Popen[bytes]) -> None:
    build = bench.submit()
    bench.queue.claim(owner(child), most_running=1)
    for _ in range(5):
        bench.sweeper.sweep()
        bench.now += LEASE_SECONDS - 1
        assert bench.queue.renew(build, 1)
    bench.sweeper.sweep()
    assert child.poll() is None
    assert bench.status(build) is BuildStatus.RUNNING


def test_a_wall_clock_that_jumps_kills_nobody(
    bench: Bench, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = bench.submit()
    bench.queue.claim(owner(child), most_running=1)
    real = time.time
    for jump in (86400.0, -86400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        bench.sweeper.sweep()
        bench.now += 1
        bench.sweeper.sweep()
    assert child.poll() is None
    assert bench.status(build) is BuildStatus.RUNNING


def test_a_push_whose_git_died_is_carried_out_only_where_the_branch_moved(bench: Bench) -> None:
    moved = bench.submit(revision=COMMIT, held_by=DEAD)
    bench.tips["shop", "main"] = COMMIT
    rejected = bench.submit(revision="b" * 40, branch="side", held_by=DEAD)
    under_way = bench.submit(revision="c" * 40, branch="third", held_by=myself())
    bench.sweeper.sweep()
    assert bench.status(moved) is BuildStatus.QUEUED
    assert bench.status(rejected) is BuildStatus.CANCELLED
    assert bench.status(under_way) is BuildStatus.HELD
    found = bench.builds.find(rejected)
    assert found
    assert found.error
    assert found.error["code"] == "push-rejected"


def test_scratch_of_builds_that_ended_is_removed_and_that_of_others_kept(bench: Bench) -> None:
    waiting = bench.submit()
    ended = bench.submit(branch="side")
    bench.queue.cancel(ended)
    names = [f"build-{waiting}", f"build-{ended}", f"secrets-{ended}", "build-999", "layer-1", "build-x"]
    for name in names:
        (bench.home.scratch / name).mkdir()
    bench.sweeper.clean()
    assert {path.name for path in bench.home.scratch.iterdir()} == {f"build-{waiting}", "layer-1", "build-x"}


def test_archives_beyond_the_budget_go_oldest_first_and_never_one_that_is_waited_for(bench: Bench) -> None:
    contexts = Contexts(bench.home.contexts)
    digests = []
    for number in range(4):
        with contexts.draft(limit=2**20) as draft:
            draft.write(bytes([number]) * 600_000)
            digests.append(draft.keep())
    bench.submit(spec={"source": {"kind": "archive", "digest": digests[0]}, "options": {}})
    old = time.time() - GRACE_SECONDS
    for age, digest in zip((400, 300, 200), digests[:3], strict=True):
        os.utime(contexts.path(digest), (old - age, old - age))
    bench.sweeper.clean()
    left = {path.name for path in bench.home.contexts.iterdir()}
    # 1 MiB holds one of them: the one that is waited for. The newest may be about to be.
    assert left == {digests[0].removeprefix("sha256:"), digests[3].removeprefix("sha256:")}


def test_the_sweeper_of_a_store_with_a_dead_worker_recovers_it(bench: Bench) -> None:
    build = bench.submit()
    bench.queue.claim(DEAD, most_running=1)
    assert not lives(DEAD)
    assert bench.sweeper.sweep() == (build,)
