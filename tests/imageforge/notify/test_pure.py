"""What is told of a build, to whom, and when again."""

from __future__ import annotations

import dataclasses

import pytest

from imageforge.notify.event import EVENTS, document
from imageforge.notify.github import (
    LONGEST_DESCRIPTION,
    REPORT_TARGET,
    STATUS_TARGET,
    Repository,
    drafts,
    repository_of,
)
from imageforge.notify.schedule import LONGEST_ASKED, LONGEST_REST, PAUSES, SPREAD, Outcome, pause, rest
from imageforge.notify.turns import AT_ONCE, AT_ONCE_OF_AN_APP, choose
from imageforge.store import Build, BuildStatus, Release, ReleaseStatus, Waiting

COMMIT = "c" * 40
BUILD = Build(
    id=7,
    app="shop",
    source="x",
    status=BuildStatus.SUCCEEDED,
    created_at=1.0,
    started_at=1.0,
    finished_at=2.0,
    reference="127.0.0.1:8705/shop@sha256:abc",
    image_id="sha256:def",
    error=None,
    spec={},
    origin="webhook",
    actor="github: ann",
    branch="main",
    revision=COMMIT,
    message="first",
    priority=0,
    attempt=1,
    cancel_at=None,
    superseded_by=None,
    fingerprint=None,
    reused_from=None,
    release=3,
)
REPORT = {
    "app": "shop",
    "release": 3,
    "reference": BUILD.reference,
    "url": "http://shop.localhost:8700",
    "desired": 2,
    "ready": 2,
    "requests": 40,
    "failed": 0,
    "retried": 1,
    "slowest_ms": 2.0,
    "rollout_seconds": 1.5,
    "stages": [{"name": "build", "summary": "4 steps", "seconds": 1.0}],
    "replicas": [],
    "port": 8080,
}
RELEASE = Release(
    app="shop",
    number=3,
    build_id=7,
    reference=str(BUILD.reference),
    image_id="sha256:def",
    manifests="secret: manifests",
    status=ReleaseStatus.LIVE,
    created_at=2.0,
    report=REPORT,
)
HUB = Repository(owner="acme", name="shop")


@pytest.mark.parametrize(
    ("host", "path", "api", "expected"),
    [
        ("github.com", "/acme/shop.git", "https://api.github.com", HUB),
        ("github.com", "acme/shop", "https://api.github.com", HUB),
        ("github.com", "/acme/shop/", "https://api.github.com", HUB),
        ("git.corp.example", "/acme/shop.git", "https://git.corp.example/api/v3", HUB),
        ("gitlab.com", "/acme/shop.git", "https://api.github.com", None),
        ("github.com", "/acme/shop.git", "https://git.corp.example/api/v3", None),
        ("github.com", "/acme/group/shop.git", "https://api.github.com", None),
        ("github.com", "/acme/..", "https://api.github.com", None),
        ("github.com", "/acme/sh%2fop", "https://api.github.com", None),
    ],
)
def test_a_repository_is_told_only_at_the_github_it_is_of(
    host: str, path: str, api: str, expected: Repository | None
) -> None:
    assert repository_of(host, path, api=api) == expected


@pytest.mark.parametrize("status", [status for status in BuildStatus if status is not BuildStatus.HELD])
def test_every_status_has_a_state_that_github_knows_and_an_event(status: BuildStatus) -> None:
    build = dataclasses.replace(BUILD, status=status, error={"code": "x", "subject": "s", "message": "m" * 500})
    told = drafts(build, RELEASE, HUB, url="https://forge/v1/builds/7")
    body = told[0].payload["body"]
    assert told[0].target == STATUS_TARGET
    assert told[0].replaces
    assert body["state"] in ("pending", "success", "failure", "error")
    assert 0 < len(body["description"]) <= LONGEST_DESCRIPTION
    assert body["context"] == "imageforge/shop"
    assert told[0].payload["path"] == f"/repos/acme/shop/statuses/{COMMIT}"
    assert document(build, RELEASE, event=EVENTS[status], url="u", now=0.0)["data"]["status"] == status


def test_a_held_build_is_nobodys_business() -> None:
    held = dataclasses.replace(BUILD, status=BuildStatus.HELD)
    assert drafts(held, None, HUB, url="u") == ()
    assert BuildStatus.HELD not in EVENTS


def test_a_release_that_serves_is_reported_on_its_commit() -> None:
    told = {draft.target: draft for draft in drafts(BUILD, RELEASE, HUB, url="u")}
    text = told[REPORT_TARGET].payload["body"]["body"]
    assert "### shop release 3" in text
    assert "0 of 40 requests failed" in text
    assert told[STATUS_TARGET].payload["body"]["description"] == "release 3 serves, 0 of 40 requests failed"
    failed = dataclasses.replace(BUILD, status=BuildStatus.FAILED, error={"code": "x", "message": "y"})
    assert [draft.target for draft in drafts(failed, RELEASE, HUB, url="u")] == [STATUS_TARGET]


def test_what_has_no_whole_commit_has_no_status() -> None:
    assert drafts(dataclasses.replace(BUILD, revision=""), RELEASE, HUB, url="u") == ()
    assert drafts(dataclasses.replace(BUILD, revision="abc1234"), RELEASE, HUB, url="u") == ()


def test_the_document_of_an_event_holds_no_manifest() -> None:
    told = document(BUILD, RELEASE, event="build.succeeded", url="https://forge/7", now=1_700_000_000.25)
    assert told["type"] == "build.succeeded"
    assert told["timestamp"] == "2023-11-14T22:13:20.250Z"
    assert told["data"]["report"]["requests"] == 40
    assert "manifests" not in str(told)


@pytest.mark.parametrize(
    ("outcome", "stubborn", "again"),
    [
        (Outcome(status=204), True, False),
        (Outcome(status=410, error="x"), True, False),
        (Outcome(status=302, error="x"), True, True),
        (Outcome(status=404, error="x"), True, True),
        (Outcome(error="no answer in time"), True, True),
        (Outcome(error="no answer in time"), False, True),
        (Outcome(status=404, error="x"), False, False),
        (Outcome(status=422, error="x"), False, False),
        (Outcome(status=502, error="x"), False, True),
        (Outcome(status=403, error="x"), False, False),
        (Outcome(status=403, error="x", retry_after=60.0), False, True),
    ],
)
def test_what_may_pass_is_tried_again(outcome: Outcome, stubborn: bool, again: bool) -> None:
    assert (pause(outcome, 1, stubborn=stubborn, chance=0.0) is not None) is again


def test_pauses_grow_end_and_honour_what_is_asked_for() -> None:
    down = Outcome(error="refused")
    waits = [pause(down, attempt, stubborn=True, chance=1.0) for attempt in range(1, len(PAUSES) + 2)]
    assert waits == [*(pytest.approx(seconds * (1 + SPREAD)) for seconds in PAUSES), None]
    assert pause(Outcome(status=429, error="x", retry_after=90.0), 1, stubborn=False, chance=0.0) == 90.0
    assert pause(Outcome(status=429, error="x", retry_after=9e9), 1, stubborn=False, chance=0.0) == LONGEST_ASKED


def waiting(app: str, *, first: int, targets: int) -> list[Waiting]:
    return [Waiting(id=first + number, app=app, target=f"hook-{number}") for number in range(targets)]


def test_an_app_with_many_receivers_leaves_the_others_their_turns() -> None:
    many = waiting("many", first=1, targets=1000)
    few = waiting("few", first=5000, targets=2)
    assert choose([*many, *few], ()) == (1, 5000, 2, 5001, 3, 4)
    busy = [("many", f"hook-{number}") for number in range(AT_ONCE_OF_AN_APP)]
    assert choose([*many, *few], busy) == (5000, 5001)


def test_no_target_is_told_two_things_at_once_and_no_more_are_begun_than_allowed() -> None:
    apps = [waiting(f"app-{number}", first=100 * number, targets=2) for number in range(AT_ONCE)]
    chosen = choose([item for app in apps for item in app], [("app-0", "hook-0"), ("app-0", "hook-1")])
    assert len(chosen) == AT_ONCE - 2
    assert not {0, 1} & set(chosen)
    twice = [Waiting(id=1, app="a", target="hook-0"), Waiting(id=2, app="a", target="hook-0")]
    assert choose(twice, ()) == (1,)
    assert choose(twice, [("a", "hook-0")]) == ()


def test_a_target_rests_longer_each_time_it_fails_up_to_a_limit() -> None:
    assert [rest(failures) for failures in (1, 2, 3, 4, 1000)] == [5.0, 30.0, 300.0, LONGEST_REST, LONGEST_REST]
