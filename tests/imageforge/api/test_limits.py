"""What the API refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from imageforge.api import problems
from imageforge.api.app import create_app
from imageforge.api.body_limit import LARGEST_JSON
from imageforge.api.headers import HEADERS
from imageforge.api.routes import webhooks
from imageforge.config import Home, Settings
from imageforge.store import Answers, Apps, BuildStatus, Purpose, SealedSecrets
from tests.imageforge.api.service import Api, archive, running_api, until

MIB = 1024 * 1024
GIT = {"url": "https://git.example.org/acme/shop.git"}
BUILD = {"app": "shop", "git": GIT}


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """The status and the code that come on a connection."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while line := stream.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, json.loads(stream.read(length))["code"]


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_an_archive_that_says_it_is_too_big_is_refused_unread(api: Api) -> None:
    with api.upload(f"Content-Length: {MIB + 1}") as connection:
        assert answer_on(connection) == (413, "context-too-big")
    assert api.files() == set()
    assert api.builds() == ()


def test_an_archive_that_turns_out_too_big_is_refused_and_its_draft_removed(api: Api) -> None:
    with api.upload("Transfer-Encoding: chunked") as connection:
        connection.sendall(chunk(archive(MIB)))
        until(lambda: any(name.startswith(".draft") for name in api.files()))
        connection.sendall(chunk(b"x"))
        assert answer_on(connection) == (413, "context-too-big")
    assert api.files() == set()
    assert api.builds() == ()


def test_the_largest_archive_is_taken(api: Api) -> None:
    sent = {"params": {"app": "shop"}, "headers": {"Content-Type": "application/x-tar"}}
    assert api.ask("POST", "/v1/builds", content=archive(MIB), **sent).status_code == 202
    assert len(api.files()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "archive-empty"),
        (b"FROM scratch\n", "archive-unreadable"),
        (b"FROM scratch\n" * 50_000, "archive-unreadable"),
        (gzip.compress(archive(9000))[:-4], "archive-unreadable"),
        (gzip.compress(b"FROM scratch\n"), "archive-unreadable"),
    ],
    ids=["empty", "text", "long text", "cut short", "text in gzip"],
)
def test_what_is_no_archive_is_refused_before_there_is_a_build(body: bytes, code: str, api: Api) -> None:
    archived = {"params": {"app": "shop"}, "headers": {"Content-Type": "application/gzip"}}
    answer = api.ask("POST", "/v1/builds", content=body, **archived)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert "tar cz" in answer.json()["hint"]
    assert api.files() == set()
    assert api.builds() == ()
    assert Apps(api.site.database).all() == ()


@pytest.mark.parametrize("value", ["x" * 65_000, "þ" * 65_000, "😀" * 65_000], ids=["ascii", "latin", "beyond"])
def test_the_longest_options_of_an_archive_are_taken(value: str, api: Api) -> None:
    query = urlencode({"app": "shop", "options": json.dumps({"args": {"A": value}}, ensure_ascii=False)})
    status, _, _ = api.raw("POST", f"/v1/builds?{query}", archive(1024), Content_Type="application/x-tar")
    assert status == 202


@pytest.mark.parametrize("head", ["Content-Length: 500000", "Transfer-Encoding: chunked"])
def test_an_upload_that_breaks_off_leaves_nothing(head: str, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with api.upload(head) as connection, caplog.at_level(logging.INFO, problems.__name__):
        connection.sendall(chunk(archive(100_000)) if "chunked" in head else archive(100_000))
        until(api.files)
        connection.close()
        until(lambda: not api.files())
        until(lambda: caplog.records)
    assert api.builds() == ()
    assert Apps(api.site.database).all() == ()
    assert [record.levelname for record in caplog.records] == ["INFO"]  # no bug of ours


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/builds"), ("POST", "/v1/apps"), ("PATCH", "/v1/apps/shop/env"), ("POST", "/v1/tokens")],
)
def test_a_json_body_is_not_read_without_end(method: str, path: str, api: Api) -> None:
    # Without a token where FastAPI reads the body before it asks for one.
    token = f"Authorization: Bearer {api.token}\r\n" if path == "/v1/builds" else ""
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk(b" " * LARGEST_JSON))
        connection.sendall(chunk(b" "))
        assert answer_on(connection) == (413, "body-too-big")


def test_strangers_cannot_have_many_large_deliveries_held(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(webhooks, "LARGE", places)
    large = b"x" * (LARGEST_JSON + 1)
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as first:
        lines = ("POST /v1/webhooks/shop HTTP/1.1", "Host: x", f"Content-Length: {len(large) + 1}")
        first.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode() + large)
        until(lambda: places._value == 0)  # type: ignore[attr-defined]
        with api.client("") as client:
            assert client.post("/v1/webhooks/shop", content=b"{}").status_code == 401
            refused = client.post("/v1/webhooks/shop", content=large)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
            assert refused.headers["retry-after"] == "10"
    until(lambda: places._value == 1)  # type: ignore[attr-defined]
    with api.client("") as client:
        assert client.post("/v1/webhooks/shop", content=large).status_code == 401


def test_who_guesses_tokens_is_slowed_down(api: Api) -> None:
    guess = {"Authorization": "Bearer ifg_00000000_" + "x" * 43}
    with api.client("") as client:
        # Another address each time is of no use: nobody's word for it is taken.
        answers = [
            client.get("/v1/apps", headers={**guess, "X-Forwarded-For": f"192.0.2.{number}"}) for number in range(60)
        ]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:30] == [401] * 30
    assert statuses[-1] == 429
    assert set(statuses) == {401, 429}
    last = answers[-1]
    assert int(last.headers["retry-after"]) >= 1
    assert last.headers["content-type"] == problems.MEDIA_TYPE
    assert last.json()["code"] == "too-many-requests"


def test_guesses_are_slowed_down_and_a_valid_token_from_the_same_address_is_not(api: Api) -> None:
    """Everybody comes from this machine's own address, so a guesser could lock out whom he likes; 256 random bits are
    not found by guessing at any speed."""
    with api.client("wrong") as client:
        until(lambda: client.get("/v1/apps").status_code == 429)
    assert api.ask("GET", "/v1/apps").status_code == 200
    assert api.ask("GET", "/v1/health").status_code == 200
    assert api.ask("POST", "/v1/webhooks/shop").status_code == 401
    with api.client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as elsewhere:
        assert elsewhere.get("/v1/apps").status_code == 200


def test_many_calls_with_a_valid_token_are_slowed_down(api: Api) -> None:
    seconds = 0.0
    while not seconds:
        seconds = api.site.calls.wait("another token")
    assert 0 < seconds < 1
    assert api.ask("GET", "/v1/apps").status_code == 200


@pytest.mark.parametrize("way", ["git", "archive"])
def test_sixteen_calls_with_one_key_make_one_build(way: str, api: Api) -> None:
    more: dict[str, Any] = {"json": BUILD}
    if way == "archive":
        more = {"params": {"app": "shop"}, "content": archive(5000)}
    kind = {"Content-Type": "application/json" if way == "git" else "application/x-tar"}

    def call(_: int) -> httpx.Response:
        return api.ask("POST", "/v1/builds", headers={"Idempotency-Key": "one", **kind}, **more)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(16)))
    assert [answer.status_code for answer in answers] == [202] * 16
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 15
    assert [build.id for build in api.builds()] == [answers[0].json()["build"]]

    other = api.ask("POST", "/v1/builds", headers={"Idempotency-Key": "one"}, json={**BUILD, "app": "blog"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert len(api.builds()) == 1


def test_a_crash_before_the_answer_was_kept_makes_no_second_build(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed here")

    headers = {"Idempotency-Key": "one"}
    with monkeypatch.context() as dying:
        dying.setattr(Answers, "keep", killed)
        assert api.ask("POST", "/v1/builds", headers=headers, json=BUILD).status_code == 500
    again = api.ask("POST", "/v1/builds", headers=headers, json=BUILD)
    assert again.status_code == 202
    assert [build.id for build in api.builds()] == [again.json()["build"]]


def test_what_fetches_a_source_is_forgotten_where_the_source_moves_to_another_host(api: Api) -> None:
    def token() -> bool:
        return bool(SealedSecrets(api.site.database).of("shop", Purpose.SOURCE))

    def set_url(url: str | None) -> None:
        assert api.ask("PATCH", "/v1/apps/shop", json={"git_url": url}).status_code == 200

    api.ask("POST", "/v1/apps", json={"name": "shop"})
    for elsewhere in ("https://git.example.net/acme/shop.git", "https://git.example.org:444/acme/shop.git", None):
        set_url(GIT["url"])
        assert api.ask("PUT", "/v1/apps/shop/source/token", json={"value": "t0ken-of-the-forge"}).status_code < 300
        set_url("https://git.example.org/acme/renamed.git")
        assert token()
        set_url(elsewhere)
        assert not token()


def test_the_same_calls_without_a_key_make_a_build_each(api: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: api.ask("POST", "/v1/builds", json=BUILD), range(16)))
    assert len({answer.json()["build"] for answer in answers}) == 16
    # Whoever asks for builds one by one wants each; only a push replaces the one before it.
    assert [build.status for build in api.builds()] == [BuildStatus.QUEUED] * 16


def test_every_answer_carries_the_headers(api: Api) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    api.app.add_api_route("/v1/bug", bug)
    assert api.ask("POST", "/v1/builds", json=BUILD).status_code == 202
    assert api.ask("POST", "/v1/builds/1/cancel").status_code == 202
    expected = {
        ("GET", "/v1/health"): 200,
        ("GET", "/v1/ready"): 503,
        ("GET", "/v1/metrics"): 200,
        ("GET", "/openapi.json"): 200,
        ("GET", "/docs"): 200,
        ("GET", "/v1/apps"): 200,
        ("GET", "/v1/builds/1/events?format=sse"): 200,
        ("GET", "/v1/builds/1/events?format=ndjson"): 200,
        ("GET", "/v1/builds/1/events?format=text"): 200,
        ("GET", "/v1/apps/shop/logs"): 503,
        ("GET", "/v1/apps/blog"): 404,
        ("GET", "/nothing"): 404,
        ("PUT", "/v1/apps"): 405,
        ("POST", "/v1/apps"): 422,
        ("POST", "/v1/builds"): 415,
        ("POST", "/v1/webhooks/shop"): 401,
        ("GET", "/git/shop.git/HEAD"): 404,
        ("GET", "/git/SHOP.git/HEAD"): 422,
        ("GET", "/v1/bug"): 500,
    }
    for (method, path), status in expected.items():
        answer = api.ask(method, path)
        assert answer.status_code == status, path
        wanted = HEADERS if path != "/docs" else {k: v for k, v in HEADERS.items() if k != "Content-Security-Policy"}
        assert wanted.items() <= {name: answer.headers.get(name) for name in HEADERS}.items(), path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        if status >= 400 and path != "/v1/ready":
            assert answer.headers["content-type"] == problems.MEDIA_TYPE
            assert answer.json()["code"]
    with api.client("wrong") as client:
        for path in ("/v1/apps", "/git/shop.git/info/refs?service=git-receive-pack"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert HEADERS.items() <= {name: answer.headers.get(name) for name in HEADERS}.items()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/apps", {"name": "shop"}),
        ("PATCH", "/v1/apps/shop", {}),
        ("PATCH", "/v1/apps/shop/env", {"values": {}}),
        ("PUT", "/v1/apps/shop/source/token", {"value": "x"}),
        ("POST", "/v1/apps/shop/rollback", {}),
        ("POST", "/v1/apps/shop/scale", {"replicas": 1}),
        ("POST", "/v1/tokens", {"name": "x", "scope": "build"}),
    ],
)
@pytest.mark.parametrize("field", ["surprise", "\ud800", "\x00", "x" * 5000])
def test_unknown_fields_are_refused(method: str, path: str, body: dict[str, Any], field: str, served: Api) -> None:
    # As JSON writes it: half a surrogate pair is escaped, and so arrives.
    content = json.dumps({**body, field: 1})
    answer = served.ask(method, path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert len(answer.content) < 2000


@pytest.mark.parametrize("where", ["body", "git", "options"])
def test_unknown_fields_of_a_build_are_refused(where: str, served: Api) -> None:
    body = {"app": "shop", "git": dict(GIT), "options": {}}
    target: Any = body if where == "body" else body[where]
    target["surprise"] = 1
    answer = served.ask("POST", "/v1/builds", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    archive = {"app": "shop", "options": '{"surprise": 1}'}
    answer = served.ask(
        "POST", "/v1/builds", params=archive, content=b"x", headers={"Content-Type": "application/gzip"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert served.builds() == ()


@pytest.mark.parametrize("token", ["", "wrong"])
@pytest.mark.parametrize("path", ["info/refs?service=git-receive-pack", "info/refs?service=git-upload-pack", "HEAD"])
def test_git_is_asked_for_a_password(token: str, path: str, served: Api) -> None:
    with served.client(token) as client:
        answer = client.get(f"/git/shop.git/{path}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert not served.home.repositories.exists()


NAMES = {
    "parent": "..",
    "parent, encoded": "%2e%2e",
    "slashes, encoded": "..%2f..%2f..%2foutside",
    "slashes": "../../../outside",
    "absolute": "%2fetc%2fpasswd",
    "backslash": "..%5c..%5coutside",
    "upper": "SHOP",
    "long": "a" * 41,
    "very long": "a" * 30_000,
    "nul": "shop%00",
    "newline": "shop%0a",
    "no utf-8": "%ff%fe",
    "surrogate": "%ed%a0%80",
    "twice": "%252e%252e",
    "option": "--upload-pack=x",
    "dot": "shop.git",
}
BODIES = {
    "POST /v1/apps/{app}/scale": {"replicas": 1},
    "PUT /v1/apps/{app}/source/{name}": {"value": "x"},
    "PATCH /v1/apps/{app}/env": {"values": {"A": "b"}},
}


@pytest.fixture(scope="module")
def served() -> Any:
    with running_api(context_limit=1) as running:
        # How many calls a token has is another test's: here one asks for every route by every name.
        running.site.calls._rate = 1e6
        yield running


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Every route that has something in its path."""
    app = create_app(Home(tmp_path_factory.mktemp("api") / "home"), Settings())
    app.state.site.database.close()
    app.state.site.waker.close()
    found = [(m.upper(), path) for path, ms in app.openapi()["paths"].items() for m in ms if "{" in path]
    git = "/git/{app}.git/"
    return [
        *found,
        ("GET", f"{git}info/refs?service=git-upload-pack"),
        ("GET", f"{git}info/refs?service=git-receive-pack"),
        ("POST", f"{git}git-upload-pack"),
        ("POST", f"{git}git-receive-pack"),
        ("GET", "/git/shop.git/{path}"),
        ("POST", "/git/shop.git/{path}"),
    ]


def tree(folder: Path) -> dict[str, bytes]:
    """Files and folders, but those that the home's daemons write."""
    return {
        str(entry.relative_to(folder)): entry.read_bytes() if entry.is_file() else b""
        for entry in sorted(folder.rglob("*"))
        if not re.search(r"/(run|log)/|store\.sqlite", str(entry))
    }


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leads_out_of_the_home(name: str, served: Api, paths: list[tuple[str, str]]) -> None:
    outside = served.home.path.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("as it was")
    before = tree(served.home.path.parent)
    allowed = {401, 404, 405, 422, 431} if len(name) > 1000 else {401, 404, 405, 422}
    for method, template in paths:
        path = re.sub(r"\{\w+\}", name, template)
        body = json.dumps(BODIES.get(f"{method} {template}", {})).encode()
        status, headers, said = served.raw(method, path, body, Content_Type="application/json")
        # A name that an object can have is looked for at the controller, of which there is none here.
        away = status == 503 and json.loads(said)["code"] == "controller-unreachable"
        assert status in allowed or away, (method, path[:200])
        assert headers["content-type"].startswith((problems.MEDIA_TYPE, "text/plain"))
    assert tree(served.home.path.parent) == before
    assert Apps(served.site.database).all() == ()
    assert served.builds() == ()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_in_a_query_or_a_body_makes_an_app(name: str, served: Api) -> None:
    plain = httpx.URL(f"http://x/?app={name}").params["app"]
    before = tree(served.home.path.parent)
    calls = [
        ("POST", f"/v1/builds?app={name}", b"x", "application/x-tar"),
        ("POST", "/v1/builds", json.dumps({"app": plain, "git": GIT}).encode(), "application/json"),
        ("POST", "/v1/apps", json.dumps({"name": plain}).encode(), "application/json"),
        ("GET", f"/v1/builds?app={name}", b"", "application/json"),
    ]
    for method, path, body, kind in calls:
        status, _, _ = served.raw(method, path, body, Content_Type=kind)
        assert status == 422, (method, path[:200])
    assert tree(served.home.path.parent) == before
    assert Apps(served.site.database).all() == ()


def test_an_upload_that_would_leave_no_disk_for_what_runs_is_refused_and_removed() -> None:
    with running_api(build_free_disk=10**9) as api:
        answer = api.ask(
            "POST",
            "/v1/builds",
            params={"app": "shop"},
            content=archive(5000),
            headers={"Content-Type": "application/x-tar"},
        )
        assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")
        assert api.files() == set()
        assert api.builds() == ()
