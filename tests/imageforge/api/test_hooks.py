"""Hooks over the API: made, listed, told, removed; the key is shown once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from tests.imageforge.api.service import Api, running_api, until
from tests.imageforge.notify.receiver import Receiver, github, receiving

BUILD = {"app": "shop", "git": {"url": "https://git.example.org/acme/shop.git", "commit": "e" * 40}}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def api(receiver: Receiver) -> Iterator[Api]:
    with running_api(hook_http=True, hook_networks=("127.0.0.0/8",), github_api=receiver.url) as running:
        running.ask("POST", "/v1/apps", json={"name": "shop"})
        yield running


def test_a_hook_is_told_of_a_build_with_the_key_that_was_shown_once(api: Api, receiver: Receiver) -> None:
    made = api.ask("POST", "/v1/apps/shop/hooks", json={"url": receiver.url, "events": ["build.queued"]})
    assert made.status_code == 201
    hook, key = made.json()["id"], made.json()["key"]
    listed = api.ask("GET", "/v1/apps/shop/hooks").json()
    assert [(row["id"], row["key"], row["gone"]) for row in listed] == [(hook, None, False)]
    build = api.ask("POST", "/v1/builds", json=BUILD).json()["build"]
    until(lambda: receiver.got)
    told = Webhook(key).verify(receiver.got[0].body, receiver.got[0].headers)
    assert (told["type"], told["data"]["build"]) == ("build.queued", build)
    until(lambda: api.ask("GET", f"/v1/apps/shop/hooks/{hook}/notices").json()[0]["done_at"])
    assert api.ask("DELETE", f"/v1/apps/shop/hooks/{hook}").status_code == 204
    assert api.ask("GET", f"/v1/apps/shop/hooks/{hook}/notices").json()["code"] == "no-such-hook"


def test_a_commit_gets_its_status_when_a_token_is_set(api: Api, receiver: Receiver) -> None:
    receiver.answer = github("t0ken-of-the-test")
    api.ask("PATCH", "/v1/apps/shop", json={"git_url": "https://127.0.0.1/acme/shop.git"})
    assert api.ask("PUT", "/v1/apps/shop/source/status-token", json={"value": "t0ken-of-the-test"}).status_code == 204
    api.ask("POST", "/v1/builds", json=BUILD)
    until(lambda: receiver.got)
    assert receiver.got[0].path == f"/repos/acme/shop/statuses/{'e' * 40}"
    assert api.ask("DELETE", "/v1/apps/shop/source/status-token").status_code == 204
    assert api.ask("DELETE", "/v1/apps/shop/source/status-token").status_code == 404


def test_where_a_hook_may_not_be_is_refused_and_nothing_is_made(api: Api) -> None:
    refused = api.ask("POST", "/v1/apps/shop/hooks", json={"url": "https://10.0.0.1/x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "hook-url-refused")
    assert api.ask("POST", "/v1/apps/nobody/hooks", json={"url": "https://10.0.0.1/x"}).status_code == 404
    assert api.ask("GET", "/v1/apps/shop/hooks").json() == []


def test_an_app_has_so_many_hooks_and_no_more(api: Api, receiver: Receiver) -> None:
    answers = [api.ask("POST", "/v1/apps/shop/hooks", json={"url": receiver.url}) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [201] * 20 + [409]
