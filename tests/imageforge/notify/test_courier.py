"""Telling for real: a store, a courier, receivers on loopback; and what an address may not be."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook

from imageforge.config import Settings
from imageforge.errors import UsageError
from imageforge.notify import post
from imageforge.notify.courier import Courier
from imageforge.notify.post import Reach, check_url, post_to_hook
from imageforge.notify.turns import AT_ONCE, AT_ONCE_OF_AN_APP
from imageforge.store import (
    Apps,
    AppSettings,
    Build,
    BuildQueue,
    Builds,
    BuildStatus,
    Database,
    Draft,
    Hooks,
    Notices,
    Purpose,
    Release,
    Releases,
    ReleaseStatus,
    SealedSecrets,
    Submission,
)
from imageforge.store.notices import target_of
from imageforge.store.schema import notices
from imageforge.vault import Vault
from tests.imageforge.notify.receiver import Received, Receiver, github, receiving

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TOKEN = "ghp_a-token-of-the-test"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
OWNER = {"pid": 1, "started": 1, "boot": "another"}


class Bench:
    """A store with an app, and a courier that is told when to look."""

    def __init__(self, database: Database, vault: Vault, github_api: str) -> None:
        self.database, self.vault = database, vault
        self.queue, self.builds = BuildQueue(database), Builds(database)
        self.hooks, self.notices = Hooks(database), Notices(database)
        Apps(database).ensure("shop")
        Apps(database).configure("shop", AppSettings(git_url="https://127.0.0.1/acme/shop.git"))
        settings = Settings(hook_http=True, hook_networks=("127.0.0.0/8",), github_api=github_api)
        self.courier = Courier(settings, database, vault)

    def submit(self, revision: str = "d" * 40, **more: object) -> int:
        values = {"app": "shop", "source": "x", "spec": {}, "origin": "git", "branch": "main", "revision": revision}
        return self.queue.submit(Submission(**{**values, **more})).build_id  # type: ignore[arg-type]

    def hook(self, url: str, *events: str, app: str = "shop") -> str:
        hook = self.hooks.add(app, url, events)
        SealedSecrets(self.database).put(app, hook.id, Purpose.HOOK, self.vault.seal(KEY))
        return hook.id

    def set_token(self, token: str = TOKEN) -> None:
        SealedSecrets(self.database).put("shop", "status-token", Purpose.SOURCE, self.vault.seal(token))

    def drafts(self, build: Build) -> tuple[Draft, ...]:
        """What the courier would write down of a build."""
        return self.courier._drafts(build, self.courier._listeners(build.app))

    def hurry(self) -> None:
        """Whatever waits for another attempt is due now."""
        with self.database.writing() as connection:
            connection.execute(notices.update().where(notices.c.next_at.is_not(None)).values(next_at=0.0))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path, receiver: Receiver) -> Iterator[Bench]:
    with Database.at(tmp_path / "s.sqlite") as database:
        yield Bench(database, Vault(tmp_path / "key"), receiver.url)


def test_a_hook_is_told_each_step_signed_and_once(bench: Bench, receiver: Receiver) -> None:
    bench.hook(f"{receiver.url}/told?by=forge")
    build = bench.submit()
    bench.courier.look()
    bench.queue.claim(OWNER, most_running=1)
    bench.courier.look()
    bench.builds.finish(build, BuildStatus.FAILED, error={"code": "build-step-failed", "message": "RUN false"})
    bench.courier.look()
    assert bench.courier.look() == 0
    told = [Webhook(KEY).verify(got.body, got.headers) for got in receiver.got]
    assert [event["type"] for event in told] == ["build.queued", "build.started", "build.failed"]
    assert told[-1]["data"]["error"]["code"] == "build-step-failed"
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 3
    assert {got.path for got in receiver.got} == {"/told?by=forge"}


def test_only_what_was_asked_for_is_told(bench: Bench, receiver: Receiver) -> None:
    bench.hook(receiver.url, "build.superseded")
    first, second = bench.submit(), bench.submit()
    bench.courier.look()
    (got,) = receiver.got
    assert got.json["data"]["build"] == first
    assert got.json["data"]["superseded_by"] == second


def test_a_deaf_receiver_is_told_later_the_same_thing_under_the_same_id(bench: Bench, receiver: Receiver) -> None:
    hook = bench.hook(receiver.url)
    bench.submit()
    receiver.answer = lambda _: (503, {"Retry-After": "3000"})
    bench.courier.look()
    (waiting,) = bench.notices.of("shop", target_of(hook))
    assert waiting.next_at
    assert waiting.next_at > time.time() + 2900
    assert (waiting.attempts, waiting.error) == (1, "answered 503")
    assert bench.courier.look() == 0, "not before its time"
    bench.hurry()
    receiver.answer = lambda _: (204, {})
    bench.courier.look()
    (told,) = bench.notices.of("shop", target_of(hook))
    assert (told.attempts, told.error, told.next_at) == (2, None, None)
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_a_receiver_that_is_gone_is_told_nothing_any_more(bench: Bench, receiver: Receiver) -> None:
    hook = bench.hook(receiver.url)
    receiver.answer = lambda _: (410, {})
    bench.submit()
    bench.courier.look()
    bench.submit()
    bench.courier.look()
    assert len(receiver.got) == 1
    found = bench.hooks.find("shop", hook)
    assert found
    assert found.gone_at is not None


def test_a_redirect_is_not_followed(bench: Bench, receiver: Receiver) -> None:
    with receiving() as elsewhere:
        bench.hook(receiver.url)
        receiver.answer = lambda _: (307, {"Location": elsewhere.url})
        bench.submit()
        bench.courier.look()
        assert len(receiver.got) == 1
        assert elsewhere.got == []


def test_a_receiver_that_hangs_up_holds_up_nobody(bench: Bench, receiver: Receiver) -> None:
    with receiving() as bad:
        bad.answer = lambda _: (_ for _ in ()).throw(ConnectionError)  # type: ignore[assignment,return-value]
        bad_hook = bench.hook(bad.url)
        bench.hook(receiver.url)
        bench.submit()
        bench.courier.look()
    assert len(receiver.got) == 1
    (notice,) = bench.notices.of("shop", target_of(bad_hook))
    assert notice.next_at
    assert notice.error


def test_a_receiver_that_answers_without_end_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "ATTEMPT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                try:
                    while not left.wait(0.01):
                        connection.sendall(b"X-More: to come\r\n")
                except OSError:
                    return  # who was told so has gone

        left = threading.Event()
        thread = threading.Thread(target=dribble)
        thread.start()
        reach = Reach(http=True, networks=LOOPBACK)
        told = post_to_hook(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, reach)
        left.set()
        thread.join()
    assert told.error == "no answer in time"


def hanging(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A receiver that takes connections and never answers, and nobody who would run out of patience."""
    monkeypatch.setattr(post, "ATTEMPT_SECONDS", None)
    monkeypatch.setattr(post, "TIMEOUT", None)
    return socket.create_server(("127.0.0.1", 0), backlog=100)


def test_receivers_that_hang_hold_up_no_other_app_nor_the_end(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    receiver.answer = lambda _: (told.set(), (204, {}))[1]  # type: ignore[func-returns-value]
    with hanging(monkeypatch) as deaf, ExitStack() as open_:
        Apps(bench.database).ensure("deaf")
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        hung = [bench.hook(url, app="deaf") for _ in range(AT_ONCE + 1)]
        bench.submit(app="deaf")
        bench.courier.start()
        for _ in range(AT_ONCE_OF_AN_APP):
            open_.enter_context(deaf.accept()[0])  # from here on each of them waits for an answer
        bench.hook(receiver.url)
        bench.submit()
        assert told.wait(60.0)
        bench.courier.close()
    waiting = [notice for hook in hung for notice in bench.notices.of("deaf", target_of(hook))]
    assert {(notice.attempts, notice.error) for notice in waiting} == {(0, None)}
    assert all(notice.next_at is not None and notice.next_at <= time.time() for notice in waiting), "no lease is left"


def test_a_target_that_fails_rests_with_all_that_waits_for_it(bench: Bench, receiver: Receiver) -> None:
    hook = bench.hook(receiver.url)
    receiver.answer = lambda _: (500, {})
    for _ in range(3):
        bench.submit(branch="")
    bench.courier.look()
    assert len(receiver.got) == 1, "the others are not tried one after the other"
    receiver.answer = lambda _: (204, {})
    bench.hurry()
    bench.courier.look()
    assert all(notice.done_at for notice in bench.notices.of("shop", target_of(hook)))


def test_what_is_to_be_told_again_while_it_is_told_is_told_again(bench: Bench, receiver: Receiver) -> None:
    bench.set_token()
    build = bench.submit()

    def meanwhile(got: Received) -> tuple[int, dict[str, str]]:
        if len(receiver.got) == 1:
            seen = bench.builds.find(build)
            assert seen
            bench.notices.tell([(seen, bench.drafts(seen))])
        return github(TOKEN)(got)

    receiver.answer = meanwhile
    bench.courier.look()
    assert len(receiver.got) == 2


def test_a_build_that_cannot_be_told_of_holds_up_no_other(bench: Bench, receiver: Receiver) -> None:
    bench.hook(receiver.url)
    bench.set_token()
    receiver.answer = github(TOKEN)
    broken = bench.submit()
    Releases(bench.database).add(
        Release(
            app="shop",
            number=1,
            build_id=broken,
            reference="x",
            image_id="x",
            manifests="",
            status=ReleaseStatus.LIVE,
            created_at=0.0,
            report={"requests": 1},  # as no version of ours has it
        ),
        made_by=broken,
    )
    bench.builds.finish(broken, BuildStatus.SUCCEEDED)
    other = bench.submit()
    bench.courier.look()
    assert {got.json["data"]["build"] for got in receiver.got if got.path == "/"} == {other}
    assert bench.notices.untold() == ()


def test_a_crash_between_telling_and_noting_it_tells_again(bench: Bench, receiver: Receiver) -> None:
    bench.hook(receiver.url)
    bench.submit()
    killed = Notices(bench.database)
    for build in killed.untold():
        killed.tell([(build, bench.drafts(build))])
    (leased,) = killed.take([item.id for item in killed.waiting()], lease=60.0)
    assert bench.courier.look() == 0, "it is somebody else's for now"
    bench.hurry()
    bench.courier.look()
    assert receiver.got[0].headers["webhook-id"].endswith(f"_{leased.id}")


def test_github_is_told_the_statuses_of_a_commit(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = github(TOKEN)
    bench.set_token()
    build = bench.submit()
    bench.courier.look()
    bench.queue.claim(OWNER, most_running=1)
    bench.courier.look()
    bench.builds.finish(
        build, BuildStatus.REFUSED, error={"code": "lint-refused", "subject": "Dockerfile:3", "message": "x"}
    )
    bench.courier.look()
    assert [(got.path, got.json["state"]) for got in receiver.got] == [
        (f"/repos/acme/shop/statuses/{'d' * 40}", state) for state in ("pending", "pending", "failure")
    ]
    assert receiver.got[-1].json["description"] == "lint-refused: Dockerfile:3: x"
    assert all(notice.error is None for notice in bench.notices.of("shop", "github-status"))


def test_of_statuses_that_wait_the_newest_counts(bench: Bench, receiver: Receiver) -> None:
    bench.set_token()
    receiver.answer = lambda _: (502, {})
    build = bench.submit()
    bench.courier.look()
    bench.queue.claim(OWNER, most_running=1)
    bench.builds.finish(build, BuildStatus.FAILED, error={"code": "x", "message": "y"})
    receiver.answer = github(TOKEN)
    bench.courier.look()
    bench.hurry()
    bench.courier.look()
    assert [got.json["state"] for got in receiver.got] == ["pending", "failure"]


def test_a_wrong_token_is_final_and_said(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = github(TOKEN)
    bench.set_token("ghp_another")
    bench.submit()
    bench.courier.look()
    (notice,) = bench.notices.of("shop", "github-status")
    assert (notice.error, notice.next_at, notice.done_at) == ("answered 401", None, None)


def test_without_a_token_and_without_hooks_nothing_is_stored(bench: Bench, receiver: Receiver) -> None:
    bench.submit()
    bench.courier.look()
    assert receiver.got == []
    assert bench.notices.untold() == ()
    assert bench.notices.of("shop", "github-status") == ()


def test_a_key_and_a_token_are_in_no_notice(bench: Bench, receiver: Receiver, tmp_path: Path) -> None:
    bench.set_token()
    bench.hook(receiver.url)
    bench.submit()
    bench.courier.look()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("s.sqlite*"))
    assert TOKEN.encode() not in stored
    assert KEY.encode() not in stored


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.org/x", "plain http"),
        ("ftp://example.org/x", "no https address"),
        ("https:///x", "no https address"),
        ("https://user:pass@example.org/", "a user or a password"),
        ("https://127.0.0.1/x", "not on the public internet"),
        ("https://[::1]/x", "not on the public internet"),
        ("https://169.254.169.254/latest/meta-data", "not on the public internet"),
        ("https://localhost/x", "not on the public internet"),
        ("https://2130706433/x", "not on the public internet"),
        ("https://example.org:99999/x", "malformed"),
        ("https://01.02.03.04/x", "malformed"),
        ("https://exa mple.org/x", "spaces"),
        ("https://nobody.invalid/secret-path", "does not resolve"),
    ],
)
def test_an_address_that_must_not_be_gone_to_is_refused(url: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url, Reach())
    assert caught.value.code == "hook-url-refused"
    assert says in caught.value.message
    assert "secret-path" not in str(caught.value)
    assert "pass" not in caught.value.subject


def test_a_certificate_is_checked_against_the_name_though_the_address_is_pinned() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with receiving(context) as receiver:
        name, address = f"https://localhost:{receiver.port}/x", f"https://127.0.0.1:{receiver.port}/x"
        reach = Reach(networks=(*LOOPBACK, ipaddress.ip_network("::1/128")), trust=trust)
        told = post_to_hook(name, json.dumps({}).encode(), {}, reach)
        assert told.told
        assert receiver.got[0].headers["host"] == f"localhost:{receiver.port}"
        assert "certificate" in str(post_to_hook(address, b"{}", {}, reach).error).lower()
        stranger = Reach(networks=reach.networks, trust=ssl.create_default_context())
        assert "certificate" in str(post_to_hook(name, b"{}", {}, stranger).error).lower()
