"""What the sweeper puts right: real processes, a real folder, a clock that jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from imageforge.config import Home, Settings
from imageforge.git_remote.repository import repository, tip
from imageforge.pipeline.domains import holding_hosts
from imageforge.queue.contexts import GRACE_SECONDS, Contexts
from imageforge.queue.intake import Intake
from imageforge.queue.sweeper import LEFT_SECONDS, Sweeper
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
        self.asks_git = False
        self.queue, self.builds = BuildQueue(database), Builds(database)
        Apps(database).ensure("shop")
        waker = Waker(home.redis_socket)
        settings = Settings(keep_contexts=1)
        intake = Intake(home, settings, database, waker)
        self.sweeper = Sweeper(home, settings, database, intake, waker, self.tip, clock=lambda: self.now)

    def tip(self, app: str, branch: str) -> str | None:
        return tip(self.home, app, branch) if self.asks_git else self.tips.get((app, branch))

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
    assert child.wait(30) == -signal.SIGKILL
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


def test_a_push_whose_git_cannot_be_asked_stays_as_it_is(bench: Bench) -> None:
    """A git that the kernel killed says nothing of the branch."""
    moved = bench.submit(revision=COMMIT, held_by=DEAD)
    stopped = bench.submit(branch="side")
    bench.queue.claim(DEAD, most_running=1)
    bench.asks_git = True
    folder = repository(bench.home, "shop", "main")
    (folder / "objects").rename(folder / "objects.away")
    assert bench.sweeper.sweep() == (stopped,), "and it holds up nothing else"
    assert bench.status(moved) is BuildStatus.HELD
    (folder / "objects.away").rename(folder / "objects")
    bench.sweeper.sweep()
    assert bench.status(moved) is BuildStatus.CANCELLED, "there is no such branch"


def test_scratch_of_builds_that_ended_is_removed_and_that_of_others_kept(bench: Bench) -> None:
    waiting = bench.submit()
    ended = bench.submit(branch="side")
    bench.queue.cancel(ended)
    names = [
        f"build-{waiting}",
        f"build-{ended}",
        f"secrets-{ended}",
        f"client-{ended}",
        "build-999",
        "layer-1",
        "build-x",
    ]
    for name in names:
        (bench.home.scratch / name).mkdir()
    bench.sweeper.clean()
    assert {path.name for path in bench.home.scratch.iterdir()} == {f"build-{waiting}", "layer-1", "build-x"}


def test_folders_of_processes_that_were_killed_long_ago_are_removed(bench: Bench) -> None:
    long_ago = time.time() - LEFT_SECONDS - 1
    for name in ("squash-old", "backup-old", "tmpold", "layer-old", "squash-new", "tmpnew"):
        folder = bench.home.scratch / name
        folder.mkdir()
        (folder / "layer").write_text("x")
        if name.endswith("old"):
            os.utime(folder, (long_ago, long_ago))
    bench.sweeper.clean()
    assert {path.name for path in bench.home.scratch.iterdir()} == {"layer-old", "squash-new", "tmpnew"}


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


def test_a_worker_that_is_stuck_with_an_apps_hosts_does_not_hold_up_the_sweeper(bench: Bench) -> None:
    """It is the sweeper who ends stuck workers."""
    with holding_hosts(bench.home, "shop"):
        swept = threading.Thread(target=bench.sweeper.settle_hosts, daemon=True)
        swept.start()
        swept.join(30)
        assert not swept.is_alive()


def test_the_sweeper_of_a_store_with_a_dead_worker_recovers_it(bench: Bench) -> None:
    build = bench.submit()
    bench.queue.claim(DEAD, most_running=1)
    assert not lives(DEAD)
    assert bench.sweeper.sweep() == (build,)
