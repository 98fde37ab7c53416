"""The queue of record: what is accepted is carried out once, whoever is killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from imageforge.stack.process import lives, myself
from imageforge.store import BuildQueue, Builds, BuildStatus, Database, DeliveryKey, Submission
from imageforge.store.build_queue import MOST_ATTEMPTS

DEAD = {"pid": 1, "started": 1, "boot": "another boot"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.at(tmp_path / "s.sqlite") as opened:
        yield opened


def push(app: str = "shop", branch: str = "main", **more: object) -> Submission:
    values: dict[str, object] = {"app": app, "source": "upload", "spec": {}, "origin": "git", "branch": branch}
    return Submission(**{**values, **more})  # type: ignore[arg-type]


def test_a_build_is_claimed_once_and_one_app_runs_one_at_a_time(database: Database) -> None:
    queue = BuildQueue(database)
    first = queue.submit(push("a")).build_id
    other = queue.submit(push("b")).build_id
    queue.submit(push("a", branch="other"))
    claimed = [queue.claim(myself(), most_running=9) for _ in range(3)]
    assert [build.id if build else None for build in claimed] == [first, other, None]


def test_no_more_run_than_may(database: Database) -> None:
    queue = BuildQueue(database)
    for app in "abc":
        queue.submit(push(app))
    assert queue.claim(myself(), most_running=2)
    assert queue.claim(myself(), most_running=2)
    assert queue.claim(myself(), most_running=2) is None


def test_forty_threads_claim_ten_builds_ten_times(database: Database) -> None:
    queue = BuildQueue(database)
    expected = {queue.submit(push(f"app{n}")).build_id for n in range(10)}
    claimed: list[int] = []

    def work() -> None:
        build = queue.claim(myself(), most_running=100)
        if build:
            claimed.append(build.id)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(expected)


def test_the_newest_push_of_a_branch_wins_and_other_branches_stay(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    old = queue.submit(push()).build_id
    side = queue.submit(push(branch="side")).build_id
    new = queue.submit(push())
    assert new.superseded == (old,)
    found = builds.find(old)
    assert found is not None
    assert (found.status, found.superseded_by) == (BuildStatus.SUPERSEDED, new.build_id)
    assert queue.waiting() == (side, new.build_id)


def test_the_running_one_is_cancelled_only_where_the_app_says_so(database: Database) -> None:
    queue = BuildQueue(database)
    queue.submit(push())
    running = queue.claim(myself(), most_running=1)
    assert running
    queue.submit(push())
    kept = queue.renew(running.id, running.attempt)
    assert kept
    assert kept.cancel_at is None
    newer = queue.submit(push(), cancel_running=True).build_id
    told = queue.renew(running.id, running.attempt)
    assert told
    assert told.superseded_by == newer


def test_a_busy_app_does_not_starve_another(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    order = []
    for n in range(3):
        queue.submit(push("busy", branch=f"b{n}"))
    queue.submit(push("quiet"))
    for _ in range(4):
        build = queue.claim(myself(), most_running=1)
        assert build
        order.append(build.app)
        builds.finish(build.id, BuildStatus.SUCCEEDED)
    assert order == ["busy", "quiet", "busy", "busy"]


def test_priority_goes_first(database: Database) -> None:
    queue = BuildQueue(database)
    queue.submit(push("a"))
    urgent = queue.submit(push("b", priority=5)).build_id
    build = queue.claim(myself(), most_running=1)
    assert build
    assert build.id == urgent


def test_a_delivery_makes_one_build_however_often_and_at_once_it_comes(database: Database) -> None:
    queue = BuildQueue(database)
    key = DeliveryKey(provider="github", delivery="guid")
    answers: list[tuple[int, bool]] = []

    def deliver() -> None:
        accepted = queue.submit(push(delivery=key))
        answers.append((accepted.build_id, accepted.duplicate))

    threads = [threading.Thread(target=deliver) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({build for build, _ in answers}) == 1
    assert sum(not duplicate for _, duplicate in answers) == 1


def test_a_killed_workers_build_waits_again_and_fails_at_last(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    build_id = queue.submit(push()).build_id
    for attempt in range(1, MOST_ATTEMPTS + 1):
        build = queue.claim(DEAD, most_running=1)
        assert build
        assert build.attempt == attempt
        assert queue.recover(lives) == (build_id,)
    found = builds.find(build_id)
    assert found
    assert found.status is BuildStatus.FAILED
    assert found.error
    assert found.error["code"] == "killed"


def test_a_process_that_is_killed_for_real_is_recovered(database: Database, tmp_path: Path) -> None:
    queue = BuildQueue(database)
    build_id = queue.submit(push()).build_id
    code = (
        "import sys; from pathlib import Path; from imageforge.store import *; "
        "from imageforge.stack.process import myself; "
        "print(BuildQueue(Database.at(Path(sys.argv[1]))).claim(myself(), most_running=1).id, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "s.sqlite")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert int(child.stdout.readline()) == build_id
        assert queue.recover(lives) == ()
        child.kill()
    assert queue.recover(lives) == (build_id,)
    assert queue.waiting() == (build_id,)


def test_a_lost_lease_is_told(database: Database) -> None:
    queue = BuildQueue(database)
    queue.submit(push())
    mine = queue.claim(DEAD, most_running=1)
    assert mine
    queue.recover(lives)
    queue.claim(myself(), most_running=1)
    assert queue.renew(mine.id, mine.attempt) is None


def test_cancelling_what_waits_is_done_at_once_and_what_runs_is_asked(database: Database) -> None:
    queue = BuildQueue(database)
    waiting = queue.submit(push("a")).build_id
    assert queue.cancel(waiting) is BuildStatus.CANCELLED
    running = queue.submit(push("b")).build_id
    queue.claim(myself(), most_running=1)
    assert queue.cancel(running) is BuildStatus.RUNNING
    told = queue.renew(running, 1)
    assert told
    assert told.cancel_at is not None
    assert queue.cancel(99) is None


def test_handing_back_does_not_count_as_an_attempt(database: Database) -> None:
    queue = BuildQueue(database)
    queue.submit(push())
    for _ in range(MOST_ATTEMPTS + 2):
        build = queue.claim(myself(), most_running=1)
        assert build
        assert build.attempt == 1
        queue.give_back(build.id, build.attempt)


def test_what_has_ended_is_neither_handed_back_nor_ended_again(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    build_id = queue.submit(push()).build_id
    queue.claim(myself(), most_running=1)
    builds.finish(build_id, BuildStatus.SUCCEEDED)
    queue.give_back(build_id, 1)
    builds.finish(build_id, BuildStatus.FAILED)
    found = builds.find(build_id)
    assert found
    assert found.status is BuildStatus.SUCCEEDED
    assert queue.waiting() == ()


def test_what_is_no_newer_push_replaces_none(database: Database) -> None:
    queue = BuildQueue(database)
    waiting = queue.submit(push()).build_id
    retried = queue.submit(push(supersedes=False), cancel_running=True)
    assert retried.superseded == ()
    assert queue.waiting() == (waiting, retried.build_id)


def test_a_revision_is_covered_by_a_build_that_stands(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    first = queue.submit(push(revision="a" * 40)).build_id
    assert builds.covers("shop", "a" * 40)
    assert not builds.covers("shop", "a" * 40, besides=first)
    queue.submit(push(revision="b" * 40))
    assert not builds.covers("shop", "a" * 40), "the first is superseded"
    assert builds.covers("shop", "b" * 40)


def test_one_that_was_found_not_to_be_built_is_covered(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    skipped = queue.submit(push(revision="a" * 40)).build_id
    queue.claim(myself(), most_running=1)
    builds.finish(skipped, BuildStatus.CANCELLED, error={"code": "build-skipped"})
    assert builds.covers("shop", "a" * 40)


def test_a_held_build_is_not_carried_out_and_replaces_nothing_until_it_is_let_go(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    old = queue.submit(push()).build_id
    held = queue.submit(push(held_by=myself()))
    assert held.superseded == ()
    assert queue.waiting() == (old,)
    assert queue.held(lives) == (), "who holds it lives"
    released = queue.release(held.build_id)
    assert released
    assert released.superseded == (old,)
    assert queue.waiting() == (held.build_id,)
    assert queue.release(held.build_id) is None
    found = builds.find(old)
    assert found
    assert found.superseded_by == held.build_id


def test_a_held_build_whose_holder_died_is_found_and_can_be_refused(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    held = queue.submit(push(held_by=DEAD)).build_id
    assert [build.id for build in queue.held(lives)] == [held]
    queue.refuse(held, {"code": "push-rejected"})
    queue.refuse(held, {"code": "another"})
    found = builds.find(held)
    assert found
    assert (found.status, found.error) == (BuildStatus.CANCELLED, {"code": "push-rejected"})
    assert queue.release(held) is None


def test_a_push_that_is_let_go_late_gives_way_to_the_newer_one(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    first = queue.submit(push(held_by=myself())).build_id
    second = queue.submit(push(held_by=myself())).build_id
    queue.release(second)
    queue.release(first)
    assert queue.waiting() == (second,)
    found = builds.find(first)
    assert found
    assert (found.status, found.superseded_by) == (BuildStatus.SUPERSEDED, second)


@pytest.mark.parametrize("way", ["killed", "handed back"])
def test_what_would_wait_again_gives_way_to_a_newer_push(database: Database, way: str) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    old = queue.submit(push()).build_id
    claimed = queue.claim(DEAD, most_running=1)
    assert claimed
    new = queue.submit(push()).build_id
    if way == "killed":
        assert queue.recover(lives) == (old,)
    else:
        queue.give_back(old, claimed.attempt)
    assert queue.waiting() == (new,)
    found = builds.find(old)
    assert found
    assert (found.status, found.superseded_by) == (BuildStatus.SUPERSEDED, new)


def test_why_a_build_waits_is_told_once(database: Database) -> None:
    queue, builds = BuildQueue(database), Builds(database)
    build = queue.submit(push()).build_id
    assert builds.note(build, "waiting: no memory")
    assert not builds.note(build, "waiting: no memory")
    assert builds.note(build, "waiting: no disk")
    assert [row["text"] for row in builds.events(build)] == ["waiting: no memory", "waiting: no disk"]
    queue.claim(myself(), most_running=1)
    assert not builds.note(build, "waiting: no memory"), "it waits no more"


class Histories(RuleBasedStateMachine):
    """Whatever happens in whatever order: every accepted build is somewhere, ends once, and no app runs two."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.at(Path(self.folder.name) / "s.sqlite")
        self.queue, self.builds = BuildQueue(self.database), Builds(self.database)
        self.accepted: set[int] = set()
        self.ended: dict[int, BuildStatus] = {}
        self.mine: list[tuple[int, int]] = []

    @rule(app=st.sampled_from("abc"), branch=st.sampled_from(["main", "side"]), cancel=st.booleans())
    def submit(self, app: str, branch: str, cancel: bool) -> None:
        self.accepted.add(self.queue.submit(push(app, branch), cancel_running=cancel).build_id)

    @rule(app=st.sampled_from("abc"), alive=st.booleans())
    def hold(self, app: str, alive: bool) -> None:
        self.accepted.add(self.queue.submit(push(app, held_by=myself() if alive else DEAD)).build_id)

    @rule(data=st.data(), moved=st.booleans())
    def let_go(self, data: st.DataObject, moved: bool) -> None:
        if self.accepted:
            build_id = data.draw(st.sampled_from(sorted(self.accepted)))
            if moved:
                self.queue.release(build_id)
            else:
                self.queue.refuse(build_id, {"code": "push-rejected"})

    @rule(alive=st.booleans())
    def claim(self, alive: bool) -> None:
        build = self.queue.claim(myself() if alive else DEAD, most_running=2)
        if build and alive:
            self.mine.append((build.id, build.attempt))

    @rule(status=st.sampled_from([BuildStatus.SUCCEEDED, BuildStatus.FAILED]))
    def finish(self, status: BuildStatus) -> None:
        if self.mine:
            build_id, attempt = self.mine.pop()
            if self.queue.renew(build_id, attempt):
                self.builds.finish(build_id, status)

    @rule()
    def recover(self) -> None:
        self.queue.recover(lives)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.accepted:
            self.queue.cancel(data.draw(st.sampled_from(sorted(self.accepted))))

    @invariant()
    def nothing_is_lost_or_ends_twice(self) -> None:
        if not hasattr(self, "builds"):
            return
        found = {build.id: build for build in self.builds.latest(limit=1000)}
        assert set(found) == self.accepted
        running = [build.app for build in found.values() if build.status is BuildStatus.RUNNING]
        assert len(running) == len(set(running)) <= 2
        for build in found.values():
            if build.id in self.ended:
                assert build.status is self.ended[build.id]
            elif build.status.ended:
                self.ended[build.id] = build.status

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
