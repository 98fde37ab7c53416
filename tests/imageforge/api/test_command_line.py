"""The command line at a server: what a newcomer sees of it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imageforge.cli.main import run
from imageforge.store import Builds, Scope, Tokens
from tests.imageforge.api.service import Api, running_api

GIT = {"url": "https://git.example.org/acme/shop.git"}
Said = tuple[int, str, str]
Forge = Callable[..., Said]


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with running_api() as running:
        assert running.ask("POST", "/v1/apps", json={"name": "shop"}).status_code == 201
        yield running


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Forge:
    """The command line of a user who is logged in nowhere; gives exit code, output and errors."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    def forge(*arguments: str, given: str = "") -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = run(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return forge


@pytest.fixture
def forge(stranger: Forge, served: Api) -> Forge:
    code, _, err = stranger("login", served.url, given=served.token)
    assert code == 0, err
    return stranger


def test_login_says_that_a_token_was_refused_and_why(stranger: Forge, served: Api) -> None:
    tokens = Tokens(served.site.database)
    expired, old = tokens.create("old laptop", Scope.DEPLOY, expires_at=1_700_000_000)
    revoked, gone = tokens.create("gone", Scope.DEPLOY)
    tokens.revoke(revoked.id)
    for text, code, why in (
        ("nonsense", "unauthorized", "the token: there is none like it here"),
        (old[:-1] + ("A" if old[-1] != "A" else "B"), "unauthorized", "the token: there is none like it here"),
        (old, "token-expired", f"token {expired.id} (old laptop): it expired on 2023-11-14 22:13 UTC"),
        (gone, "token-revoked", f"token {revoked.id} (gone): it was revoked"),
    ):
        exit_code, _, err = stranger("login", served.url, given=text)
        assert exit_code == 2
        assert err.startswith(f"error[{code}]: {served.url}: the token was refused: {why}\n")
        assert f"imageforge token create NAME`, then here: imageforge login {served.url}" in err
        assert text not in err
    assert stranger("context", "ls")[1] == ""


def test_a_request_without_a_token_is_told_of_login(served: Api) -> None:
    with served.client("") as client:
        told = client.get("/v1/apps").json()
    assert (told["code"], told["message"]) == ("unauthorized", "it carries no token")
    assert "imageforge login" in told["hint"]
    assert "Bearer" in told["hint"]


def test_a_build_is_shown_for_people_and_as_it_is_in_json(forge: Forge, served: Api) -> None:
    build = served.ask("POST", "/v1/builds", json={"app": "shop", "git": GIT}).json()["build"]
    code, out, err = forge("builds", "show", str(build))
    assert code == 0, err
    rows = dict(line.split(None, 1) for line in out.splitlines())
    assert rows["status"] == "queued"
    assert rows["created"].endswith("s ago")
    assert "+00:00" in rows["created"]
    assert not {"started", "finished", "took", "image", "release", "error", "attempt"} & set(rows)
    assert "None" not in out
    assert (
        json.loads(forge("builds", "show", str(build), "-o", "json")[1])
        == served.ask("GET", f"/v1/builds/{build}").json()
    )
    assert Builds(served.site.database).find(build) is not None
    assert forge("builds", "cancel", str(build))[0] == 0
    assert "\nfinished " in forge("builds", "show", str(build))[1]


def test_a_domain_that_is_not_there_is_told_before_anything_is_asked(forge: Forge) -> None:
    assert forge("domains", "rm", "shop", "www.example.org")[2].startswith(
        "error[no-such-domain]: www.example.org: shop has no domain of this name"
    )
    assert forge("domains", "add", "shop", "bücher.example")[0] == 0
    _, _, err = forge("domains", "rm", "shop", "www.example.org")
    assert "its domains: xn--bcher-kva.example" in err
    assert forge("domains", "rm", "shop", "bücher.example")[2].startswith("error[not-confirmed]")
    assert forge("domains", "rm", "shop", "Bücher.example", "--yes")[0] == 0


def test_a_login_at_a_registry(forge: Forge) -> None:
    host = "127.0.0.1:5000"
    assert forge("secret", "set", "shop", host, "--for", "registry", given="bot")[2].startswith(
        f"error[registry-login-invalid]: {host}: expected USER:PASSWORD"
    )
    code, _, err = forge("secret", "set", "shop", host, "--for", "registry", given="bot:word\n")
    assert (code, err) == (0, f"{host} set: builds of shop pull from it with that\n")
    assert forge("secret", "set", "shop", "--for", "registry", given="A=bot:word")[2].startswith(
        "error[secret-name-missing]"
    )
    _, out, _ = forge("secret", "ls", "shop", "-o", "json")
    assert [(row["name"], row["purpose"]) for row in json.loads(out)] == [(host, "registry")]
    assert forge("secret", "rm", "shop", host)[0] == 0


def test_secrets_that_nobody_gave_are_not_listed(forge: Forge) -> None:
    assert forge("secret", "set", "shop", "KEY", given="a value")[0] == 0
    assert forge("webhook", "show", "shop")[0] == 0
    _, out, _ = forge("secret", "ls", "shop", "-o", "json")
    assert [(row["name"], row["purpose"]) for row in json.loads(out)] == [("KEY", "build")]


def test_a_webhook_s_test_without_a_commit_says_that_it_went_well(forge: Forge, served: Api) -> None:
    before = len(served.builds())
    code, out, err = forge("webhook", "test", "shop")
    assert code == 0
    assert "200" in out
    assert "delivered, and its signature is right. Nothing is built" in err
    assert "--commit SHA" in err
    assert len(served.builds()) == before
