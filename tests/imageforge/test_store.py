"""The store: what is written is read, and a newer schema is refused."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from imageforge.errors import StackError, UsageError
from imageforge.stack.process import lives, myself
from imageforge.store import (
    Apps,
    BuildQueue,
    Builds,
    BuildStatus,
    Database,
    Release,
    Releases,
    ReleaseStatus,
    Submission,
)


def release(number: int, **changes: object) -> Release:
    values: dict[str, object] = {
        "app": "shop",
        "number": number,
        "build_id": None,
        "reference": f"127.0.0.1:1/shop@sha256:{number:064d}",
        "image_id": "sha256:0",
        "manifests": "kind: Deployment",
        "status": ReleaseStatus.PENDING,
        "created_at": time.time(),
    }
    return Release(**{**values, **changes})  # type: ignore[arg-type]


def test_a_build_is_its_events_in_order(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        builds = Builds(database)
        build_id = builds.start(app="shop", source=".")
        rows = [
            {"number": n, "at": 1.0, "stage": "lint", "kind": "line", "text": str(n), "data": {"n": n}}
            for n in (1, 2, 3)
        ]
        builds.append(build_id, rows[:2])
        builds.append(build_id, rows[2:])
        assert [row["text"] for row in builds.events(build_id, after=1)] == ["2", "3"]
        builds.finish(build_id, BuildStatus.FAILED, error={"code": "x"})
        found = builds.find(build_id)
        assert found is not None
        assert (found.status, found.error) == (BuildStatus.FAILED, {"code": "x"})


def test_old_builds_are_forgotten_with_their_events_and_ids_never_return(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        builds = Builds(database)
        for _ in range(5):
            build_id = builds.start(app="shop", source=".")
            builds.append(build_id, [{"number": 1, "at": 1.0, "stage": "s", "kind": "line", "text": "", "data": {}}])
            builds.finish(build_id, BuildStatus.SUCCEEDED)
        running = builds.start(app="shop", source=".")
        builds.forget_beyond(2)
        assert [build.id for build in builds.latest()] == [running, 5]
        assert builds.events(1) == ()
        assert builds.start(app="shop", source=".") == running + 1


def test_a_build_whose_process_was_killed_has_failed(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        builds = Builds(database)
        mine = builds.start(app="shop", source=".", owner=myself())
        other = builds.start(app="shop", source=".", owner={**myself(), "started": 1})
        builds.settle(lives)
        found = {build.id: build.status for build in builds.latest()}
        assert found == {mine: BuildStatus.RUNNING, other: BuildStatus.FAILED}


def test_one_release_is_live_and_the_one_before_superseded(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        Apps(database).ensure("shop")
        releases = Releases(database)
        for number in (1, 2, 3):
            assert releases.next_number("shop") == number
            releases.add(release(number))
        releases.finish("shop", 1, ReleaseStatus.LIVE, {"port": 1})
        releases.finish("shop", 2, ReleaseStatus.FAILED, None)
        releases.finish("shop", 3, ReleaseStatus.LIVE, None)
        assert [(r.number, r.status.value) for r in releases.of("shop")] == [
            (3, "live"),
            (2, "failed"),
            (1, "superseded"),
        ]
        live = releases.live("shop")
        assert live is not None
        assert live.number == 3


def test_failures_push_out_nothing_that_a_rollback_could_go_back_to(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        Apps(database).ensure("shop")
        releases = Releases(database)
        for number in range(1, 9):
            releases.add(release(number))
            releases.finish("shop", number, ReleaseStatus.FAILED if number > 4 else ReleaseStatus.LIVE, None)
        releases.forget_beyond("shop", 3)
        assert [r.number for r in releases.of("shop")] == [8, 7, 6, 5, 4, 3, 2]
        assert [r.number for r in releases.superseded("shop")] == [3, 2]


@pytest.mark.parametrize("keep", range(1, 8))
def test_what_would_be_wanted_without_old_releases_is_what_is_wanted_once_they_are_forgotten(
    tmp_path: Path, keep: int
) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        releases = Releases(database)
        for app in ("shop", "cart"):
            Apps(database).ensure(app)
            for number in range(1, 7):
                reference = f"r/{app}@sha256:{number}"
                releases.add(replace(release(number), app=app, reference=reference, image_id=f"{app}{number}"))
                failed = app == "cart" and number in (2, 5)
                releases.finish(app, number, ReleaseStatus.FAILED if failed else ReleaseStatus.LIVE, None)
        would = releases.references(newest=keep), releases.images(newest=keep)
        assert len(releases.references()) == len(releases.images()) == 10
        for app in ("shop", "cart"):
            releases.forget_beyond(app, keep)
        assert would == (releases.references(), releases.images())
        assert len(would[0]) == min(keep, 6) + min(keep, 4)


def test_deleting_an_app_deletes_its_releases(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        Apps(database).ensure("shop")
        Releases(database).add(release(1))
        Apps(database).delete("shop")
        assert Releases(database).of("shop") == ()
        assert Releases(database).next_number("shop") == 1


def test_no_process_runs_under_the_name_of_another_app_and_none_the_other_way_round(tmp_path: Path) -> None:
    with Database.at(tmp_path / "db.sqlite") as database:
        apps = Apps(database)
        for name in ("shop", "shop-mail", "shop-mail-in"):
            apps.ensure(name)
        apps.claim("shop", ["worker", "clock"])
        apps.claim("shop", ["worker", "cron"])
        assert apps.require("shop").processes == ("clock", "cron", "worker")
        with pytest.raises(UsageError, match="the process worker of the app shop runs under this name") as taken:
            apps.ensure("shop-worker")
        assert taken.value.code == "app-name-taken"
        assert apps.find("shop-worker") is None
        with pytest.raises(UsageError, match="would run as shop-mail, which is an app") as refused:
            apps.claim("shop", ["mail"])
        assert refused.value.code == "process-name-taken"
        apps.claim("shop-mail", ["out"])
        with pytest.raises(UsageError, match="which a process of the app shop-mail does"):
            apps.claim("shop", ["mail-out"])
        apps.keep_processes("shop", ["worker"])
        assert apps.ensure("shop-clock").name == "shop-clock"
        apps.scale("shop", "worker", 3)
        apps.scale("shop", "cron", 0)
        assert (apps.require("shop").scales, apps.require("shop").replicas) == ({"worker": 3, "cron": 0}, None)


def test_a_rollout_is_abandoned_once_the_newest_build_of_its_release_has_ended(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        Apps(database).ensure("shop")
        queue, builds, releases = BuildQueue(database), Builds(database), Releases(database)
        submission = Submission(app="shop", source="upload", spec={"kind": "x"}, origin="api", actor="a")
        # Of an app of that name which was deleted since: its releases were numbered from 1, too.
        old = queue.submit(submission).build_id
        builds.update(old, release=1)
        builds.finish(old, BuildStatus.SUCCEEDED)
        new = queue.submit(submission).build_id
        releases.add(release(1), made_by=new)
        assert releases.abandoned() == ()
        queue.cancel(new)
        assert [found.number for found in releases.abandoned()] == [1]
        releases.finish("shop", 1, ReleaseStatus.FAILED, None)
        assert releases.abandoned() == ()
        # What the command line carries out is settled by whoever comes next.
        own = builds.start(app="shop", source=".")
        releases.add(release(2), made_by=own)
        builds.finish(own, BuildStatus.FAILED)
        assert releases.abandoned() == ()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    Database.at(file).close()
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.execute("UPDATE compatibility SET oldest = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StackError) as caught:
        Database.at(file)
    assert caught.value.code == "store-too-new"


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StackError) as caught:
        Database.at(file)
    assert caught.value.code == "store-failed"
    assert str(file) in caught.value.subject


def test_what_is_read_in_one_moment_is_of_one_moment_and_of_one_thread(tmp_path: Path) -> None:
    with Database.at(tmp_path / "store.sqlite") as database:
        apps = Apps(database)
        with database.one_moment():
            assert apps.find("shop") is None
            with database.one_moment(), ThreadPoolExecutor(1) as pool:
                pool.submit(apps.ensure, "shop").result()
                assert pool.submit(apps.find, "shop").result() is not None
            assert apps.find("shop") is None
        assert apps.find("shop") is not None
