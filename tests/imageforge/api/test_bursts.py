"""Webhooks in bursts: what was answered for is there, once, whatever comes twice, late, forged, or without Redis."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from imageforge.store import BuildStatus
from imageforge.webhooks import Provider, SampleRequest, sample
from imageforge.webhooks.signature import hex_digest
from tests.imageforge.api.service import Api, running_api

APPS = ("shop", "blog", "wiki")
THREADS = 8
GITHUB = list(Provider).index(Provider.GITHUB)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A delivery, and what it should come to."""

    app: str
    key: tuple[str, str, str]
    request: SampleRequest
    right: bool = True
    branch: str = "main"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A delivery and its answer."""

    sent: Sent
    status: int
    build: int | None


def secrets(api: Api) -> dict[str, str]:
    """Make the apps, and the secrets of their webhooks."""
    found = {}
    for app in APPS:
        assert api.ask("POST", "/v1/apps", json={"name": app}).status_code == 201
        found[app] = api.ask("GET", f"/v1/apps/{app}/webhook").json()["secret"]
    return found


def delivery(number: int, app: str, secret: str, *, branch: str = "main", right: bool = True) -> Sent:
    """The push of that number, by one of the providers in turn."""
    provider = list(Provider)[number % len(Provider)]
    made = sample(
        provider,
        secret=secret if right else f"{secret}x",
        repository=f"acme/{app}",
        clone_url=f"https://git.example.org/acme/{app}.git",
        branch=branch,
        before=f"{number:040x}",
        after=f"{number + 1:040x}",
        delivery_id=f"delivery-{number}",
        now=time.time(),
        # One that signs with a wrong secret needs one that is whole; the plain scheme takes any.
        signing=provider is Provider.GITLAB and right and number % 2 == 0,
    )
    return Sent(app=app, key=(app, provider.value, f"delivery-{number}"), request=made, right=right, branch=branch)


def deliver(api: Api, sent: Iterable[Sent]) -> list[Answered]:
    """Send them one after the other over one connection."""
    answers = []
    with api.client("") as client:
        for one in sent:
            reply = client.post(f"/v1/webhooks/{one.app}", content=one.request.body, headers=one.request.headers)
            build = reply.json().get("build")
            answers.append(Answered(sent=one, status=reply.status_code, build=build))
    return answers


def burst(api: Api, sent: list[Sent]) -> list[Answered]:
    """Send them from eight threads at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [
            answer for part in pool.map(lambda n: deliver(api, sent[n::THREADS]), range(THREADS)) for answer in part
        ]


def check_rows(api: Api, answers: list[Answered]) -> dict[tuple[str, str, str], int]:
    """Every accepted delivery has its one build, and every build is an accepted delivery's; gives them."""
    accepted = [answer for answer in answers if answer.status == 202]
    first = {answer.sent.key: answer.build for answer in accepted}
    assert len(first) == len(accepted)
    rows = {build.id: build for build in api.builds()}
    assert sorted(rows) == sorted(answer.build for answer in accepted if answer.build)
    waiting = defaultdict(list)
    for build in rows.values():
        if build.status is BuildStatus.QUEUED:
            waiting[build.app].append(build.id)
        else:
            assert build.status is BuildStatus.SUPERSEDED
            assert build.superseded_by
            assert build.superseded_by > build.id
            assert rows[build.superseded_by].app == build.app
    newest = {app: [max(build.id for build in rows.values() if build.app == app)] for app in APPS}
    assert waiting == newest
    return {key: build for key, build in first.items() if build}


def test_a_thousand_deliveries_in_bursts(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    keys, order = secrets(api), random.Random(7)
    pick = [order.choice(APPS) for _ in range(800)]
    pushes = [delivery(n, pick[n], keys[pick[n]]) for n in range(600)]
    side = [delivery(n, pick[n], keys[pick[n]], branch="side") for n in range(600, 700)]
    forged = [delivery(n, pick[n], keys[pick[n]], right=False) for n in range(700, 800)]
    # Some forged ones have the number of one that is right: who guesses a number must not keep that one out.
    forged += [delivery(n, pick[n], keys[pick[n]], right=False) for n in range(50)]
    again = [order.choice(pushes) for _ in range(120)] + [order.choice(side) for _ in range(30)]
    everything = pushes + side + forged + again
    assert len(everything) == 1000
    order.shuffle(everything)

    answers = [answer for at in range(0, 1000, 200) for answer in burst(api, everything[at : at + 200])]

    for answer in answers:
        assert (answer.status == 401) is not answer.sent.right
    first = check_rows(api, answers)
    assert set(first) == {one.key for one in pushes}
    duplicates = [a for a in answers if a.status == 200 and a.sent.branch == "main"]
    assert len(duplicates) == 120
    assert all(answer.build == first[answer.sent.key] for answer in duplicates)
    assert all(a.status == 200 and a.build is None for a in answers if a.sent.right and a.sent.branch == "side")
    with capsys.disabled():
        print(f"\n1000 deliveries: {dict(Counter(a.status for a in answers))}, {len(api.builds())} rows")


def test_deliveries_are_taken_while_redis_is_away(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    keys, order = secrets(api), random.Random(8)
    pushes = [delivery(n, app := order.choice(APPS), keys[app]) for n in range(160)]
    answers = burst(api, pushes[:80])
    with ThreadPoolExecutor(THREADS) as pool:
        parts = [pool.submit(deliver, api, pushes[80:][n::THREADS]) for n in range(THREADS)]
        api.redis.kill()
        answers += [answer for part in parts for answer in part.result()]
    assert api.site.waker.pending() is None
    assert {answer.status for answer in answers} == {202}
    check_rows(api, answers)

    api.redis.start()
    api.app.state.sweeper.sweep()
    assert api.site.waker.pending()
    assert len(api.builds()) == 160
    again = burst(api, pushes)
    assert {answer.status for answer in again} == {200}
    assert {a.sent.key: a.build for a in again} == {a.sent.key: a.build for a in answers}
    with capsys.disabled():
        print(f"\n160 deliveries, Redis killed: {dict(Counter(a.status for a in answers))}, {len(api.builds())} rows")


def test_a_wake_up_waits_however_long_all_workers_are_busy(api: Api) -> None:
    """Its place in the queue is what keeps others out: what it says must not be forgotten before that is taken."""
    waker = api.site.waker
    assert waker.wake(1)
    assert waker.wake(2)
    assert waker.pending() == 1
    (job,) = waker._redis.keys("rq:job:*")  # type: ignore[misc]
    assert waker._redis.ttl(job) == -1, "it is forgotten at some time"


@pytest.mark.parametrize(
    "text",
    ["\\ud800", "\\u0000", "\\udcff\\ud800", "\\u202e", "x" * 100_000],
    ids=["half", "nul", "halves", "bidi", "long"],
)
@pytest.mark.parametrize(
    "old", ["Try the webhook", "acme/shop", "https://git.example.org", "refs/heads/main", f"{GITHUB + 1:040x}"]
)
def test_what_is_signed_may_still_be_odd(old: str, text: str, odd: tuple[Api, str]) -> None:
    api, secret = odd
    request = delivery(GITHUB, "shop", secret).request
    assert old.encode() in request.body
    body = request.body.replace(old.encode(), text.encode())
    signature = f"sha256={hex_digest(secret, body)}"
    headers = {**request.headers, "X-Hub-Signature-256": signature, "X-GitHub-Delivery": f"odd-{hash((old, text))}"}
    with api.client("") as client:
        answer = client.post("/v1/webhooks/shop", content=body, headers=headers)
    assert answer.status_code in (200, 202, 400, 422), answer.text
    if answer.status_code == 202:
        assert api.ask("GET", f"/v1/builds/{answer.json()['build']}").status_code == 200
        assert api.ask("GET", "/v1/builds").status_code == 200


@pytest.fixture(scope="module")
def odd() -> Iterator[tuple[Api, str]]:
    with running_api() as running:
        yield running, secrets(running)["shop"]
