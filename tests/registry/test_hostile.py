"""Answers that no registry gives: each ends with a code and a hint, in bounded memory, and none in an error of ours."""

from __future__ import annotations

import gzip
import http.server
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import MediaType, Patience, RegistryClient, RegistryError, TransportError
from registry.answers import LONGEST_ANSWER
from registry.auth import TOKEN_USER, Challenge, Credentials, Secret
from registry.upload import upload_blob
from tests.registry.conftest import QUICK
from tests.registry.test_access import fine, say, serving

DIGEST = "sha256:" + "0" * 64
DEEP = b"[" * 200_000
Handler = http.server.BaseHTTPRequestHandler
BOMB = gzip.compress(b"[" + b" " * (8 * LONGEST_ANSWER), 1)
NO_ADDRESSES = [
    "http://[::1",
    "http://127.0.0.1:abc/x",
    "http://127.0.0.1:99999/x",
    "/x\x01y",
    "/x\ty",
    "/" + "a" * 70_000,
    "/?" + "é".encode().decode("latin-1") * 20_000,
    "http://" + "a" * 64 + ".example/x",
    "http://☃é/x".encode().decode("latin-1"),
    "file:///etc/passwd",
]


def failure(
    answer: Callable[[Handler], None],
    ask: Callable[[RegistryClient], object] = lambda client: client.get_manifest("a", "v1"),
    *,
    credentials: Credentials | None = None,
    patience: Patience = QUICK,
) -> RegistryError:
    """What comes of a question that is answered so; an error with a hint, fit for a terminal."""
    with (
        serving(answer) as port,
        RegistryClient(f"127.0.0.1:{port}", credentials=credentials, patience=patience) as client,
        pytest.raises(RegistryError) as caught,
    ):
        ask(client)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000
    return caught.value


def here(handler: Handler) -> str:
    return f"http://{handler.headers['Host']}"


def tokens(body: bytes, **headers: str) -> Callable[[Handler], None]:
    """A registry that wants a token, and a token service that answers so."""

    def answer(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.path.startswith("/token"):
            say(handler, 200, body, **headers)
        elif handler.headers.get("Authorization"):
            fine(handler)
        else:
            say(handler, 401, WWW_Authenticate=f'Bearer realm="{here(handler)}/token",service="s"')

    return answer


@pytest.mark.parametrize("location", [*NO_ADDRESSES, ""], ids=lambda location: location[:30] or "none")
def test_an_upload_that_goes_on_nowhere(tmp_path: Path, location: str) -> None:
    asked = list[str]()

    def answer(handler: Handler) -> None:
        asked.append(handler.command)
        say(handler, 202, **({"Location": location} if location else {}))

    file = tmp_path / "blob"
    file.write_bytes(b"x")
    error = failure(answer, lambda client: upload_blob(client, "a", DIGEST, file))
    assert (error.code, asked) == ("not-a-registry", ["POST"])


@pytest.mark.parametrize("location", NO_ADDRESSES, ids=lambda location: location[:30])
@pytest.mark.parametrize("what", ["manifest", "blob"])
def test_a_redirect_to_nowhere_is_not_tried_again(location: str, what: str) -> None:
    asked = list[str]()

    def answer(handler: Handler) -> None:
        asked.append(handler.path)
        say(handler, 307, Location=location)

    def ask(client: RegistryClient) -> None:
        if what == "manifest":
            client.get_manifest("a", "v1")
        else:
            with client.open_blob("a", DIGEST):
                pass

    assert failure(answer, ask).code == "not-a-registry"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "location", ["u1?state=x", "/v2/a/blobs/uploads/u1?state=x", "{here}/v2/a/blobs/uploads/u1?state=x"]
)
def test_an_upload_goes_on_where_the_registry_says(tmp_path: Path, location: str) -> None:
    asked = list[str]()

    def answer(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked.append(f"{handler.command} {handler.path}")
        say(handler, 202 if handler.command == "POST" else 201, Location=location.replace("{here}", here(handler)))

    file = tmp_path / "blob"
    file.write_bytes(b"x")
    digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    with serving(answer) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        upload_blob(client, "a", digest, file)
    put = f"PUT /v2/a/blobs/uploads/u1?state=x&digest={digest.replace(':', '%3A')}"
    assert asked == ["POST /v2/a/blobs/uploads/", put]


@pytest.mark.parametrize(
    "name", ["X-Owner", "Server", "Content-Type", "Retry-After", "Docker-Upload-UUID", "Set-Cookie"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_headers_that_are_not_ascii(name: str, encoding: str) -> None:
    def answer(handler: Handler) -> None:
        say(handler, 200, b"{}", **{name.replace("-", "_"): "a=Zoë".encode(encoding).decode("latin-1")})

    with serving(answer) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        for _ in range(2):
            assert client.get_manifest("a", "v1").raw == b"{}"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_places_and_numbers_that_are_not_ascii(tmp_path: Path, encoding: str) -> None:
    odd = "²é".encode(encoding).decode("latin-1")
    refused = failure(lambda handler: say(handler, 429, b"{}", Retry_After=odd))
    assert refused.code == "registry-toomanyrequests"
    asked = list[str]()

    def answer(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked.append(handler.path)
        headers = {"Location": f"/v2/a/{odd}", "Range": f"0-{odd}", "OCI_Chunk_Min_Length": odd}
        say(handler, 201 if handler.command == "PUT" else 202, **headers)

    with serving(answer) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        opened = client.begin_upload("a")
        assert opened is not None
        assert (opened.least, opened.offset) == (0, 0)
        client.finish_upload("a", opened.location, DIGEST)
        found = client.upload_offset("a", opened.location)
        assert found is not None
        assert found.offset == 0
    assert asked[1].startswith("/v2/a/%C2%B2%C3%A9?")


def bombs() -> dict[str, tuple[Callable[[Handler], None], Callable[[RegistryClient], object]]]:
    def blob(client: RegistryClient) -> None:
        with client.open_blob("a", DIGEST):
            pass

    def packed(handler: Handler) -> None:
        say(handler, 404, BOMB, Content_Encoding="gzip")

    twice = gzip.compress(BOMB)
    return {
        "manifest": (packed, lambda client: client.get_manifest("a", "v1")),
        "blob": (packed, blob),
        "token": (tokens(BOMB, Content_Encoding="gzip"), RegistryClient.ping),
        "twice": (tokens(twice, Content_Encoding="gzip, gzip"), RegistryClient.ping),
        "plain": (lambda handler: say(handler, 404, b" " * (LONGEST_ANSWER + 1)), blob),
    }


@pytest.mark.parametrize("which", list(bombs()))
def test_no_answer_fills_the_memory(which: str) -> None:
    answer, ask = bombs()[which]
    tracemalloc.start()
    try:
        error = failure(answer, ask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "not-a-registry"
    assert peak < 5 * LONGEST_ANSWER


def test_an_identity_token_service_that_answers_without_end() -> None:
    login = Credentials(user=TOKEN_USER, password=Secret("t"))
    error = failure(tokens(BOMB, Content_Encoding="gzip"), RegistryClient.ping, credentials=login)
    assert error.code == "not-a-registry"


def test_an_answer_in_gzip_is_read() -> None:
    packed = gzip.compress(b'{"schemaVersion":2}')
    with (
        serving(lambda handler: say(handler, 200, packed, Content_Encoding="gzip")) as port,
        RegistryClient(f"127.0.0.1:{port}") as client,
    ):
        assert client.get_manifest("a", "v1").raw == b'{"schemaVersion":2}'
        assert client.has_manifest("a", "v1")


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"x" * 999)[:-9]])
def test_an_answer_that_is_no_gzip(body: bytes) -> None:
    error = failure(lambda handler: say(handler, 200, body, Content_Encoding="gzip"))
    assert error.code == "not-a-registry"


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"errors":' + DEEP,
        b'{"errors":[{"code":null,"message":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"errors":[{"code":' + b"9" * 5000 + b"}]}",
        b'{"errors":[{"code":["DENIED"],"message":{"a":1}}]}',
    ],
    ids=["deep", "deep errors", "deep message", "long number", "no texts"],
)
def test_errors_that_are_none(body: bytes) -> None:
    error = failure(lambda handler: say(handler, 403, body), lambda client: client.tags("a", missing=False))
    assert error.code in ("registry-denied", "registry-unknown")


@pytest.mark.parametrize(
    "body", [DEEP, b"<html>", b"[]", b'{"tags":7,"repositories":7}', b'{"tags":[7],"repositories":[7]}']
)
def test_lists_that_are_none(body: bytes) -> None:
    for ask in (RegistryClient.repositories, lambda client: client.tags("a")):
        assert failure(lambda handler: say(handler, 200, body), ask).code == "not-a-registry"


LISTS = {
    "tags": (lambda client: client.tags("a"), "/v2/a/tags/list"),
    "repositories": (lambda client: client.repositories(), "/v2/_catalog"),
}


@pytest.mark.parametrize("which", LISTS)
@pytest.mark.parametrize("goes_on", ["the same page", "another page", "a page of many names"])
def test_a_list_without_end(which: str, goes_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.client.MOST_LISTED", 1000)
    monkeypatch.setattr("registry.client.MOST_LIST_PAGES", 20)
    ask, path = LISTS[which]
    asked = list[str]()

    def answer(handler: Handler) -> None:
        asked.append(handler.path)
        names = [f"n{number}" for number in range(400)] if goes_on == "a page of many names" else ["x"]
        following = path if goes_on == "the same page" else f"{path}?last={len(asked)}"
        body = json.dumps({"name": "a", which: names}).encode()
        say(handler, 200, body, Link=f'<{following}>; rel="next"')

    error = failure(answer, ask)
    assert error.code == "list-without-end"
    assert error.subject.endswith(path)
    assert len(asked) == {"the same page": 1, "another page": 20, "a page of many names": 3}[goes_on]


@pytest.mark.parametrize("which", LISTS)
def test_a_list_of_several_pages_is_whole(which: str) -> None:
    ask, path = LISTS[which]

    def answer(handler: Handler) -> None:
        page = int(handler.path.partition("?last=")[2] or 0)
        links = {"Link": f'<{path}?last={page + 1}>; rel="next"'} if page < 9 else {}
        say(handler, 200, json.dumps({which: [f"n{page}"]}).encode(), **links)

    with serving(answer) as port, RegistryClient(f"127.0.0.1:{port}", patience=QUICK) as client:
        assert ask(client) == tuple(f"n{page}" for page in range(10))


@pytest.mark.parametrize("charset", ["hex", "rot13", "none-such", "base64", "zip"])
def test_a_charset_that_is_none(charset: str) -> None:
    error = failure(
        lambda handler: say(handler, 200, b"hello", Content_Type=f"text/x; charset={charset}"), RegistryClient.ping
    )
    assert error.code == "not-a-registry"


@pytest.mark.parametrize(
    ("realm", "code"),
    [
        ("http://[::1", "not-a-registry"),
        ("http://127.0.0.1:abc/", "not-a-registry"),
        ("http://127.0.0.1:99999/", "not-a-registry"),
        ("https://x\x01/", "not-a-registry"),
        ("https://" + "a" * 64 + ".example/", "not-a-registry"),
        ("/token", "not-a-registry"),
        ("", "not-a-registry"),
        ("http://tokens.example/", "registry-insecure-login"),
        ("http://127.0.0.1:80@tokens.example/", "registry-insecure-login"),
    ],
)
def test_a_token_service_that_is_nowhere(realm: str, code: str) -> None:
    error = failure(lambda handler: say(handler, 401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"'))
    assert error.code == code


@pytest.mark.parametrize("token", ["é☃", "\ud800", "a\r\nX: y", "a b", "\x7f", "", 1, None])
def test_a_token_that_is_none(token: object) -> None:
    error = failure(tokens(json.dumps({"token": token}).encode()), RegistryClient.ping)
    assert error.code == "not-a-registry"
    assert "X: y" not in error.message


def test_a_token_service_that_answers_no_json() -> None:
    for body in (DEEP, b"<html>"):
        assert failure(tokens(body), RegistryClient.ping).code == "not-a-registry"


def test_a_long_challenge_takes_no_time() -> None:
    for header in ("Bearer " + "a" * 60_000, "Bearer " + 'a="' * 20_000, 'Bearer realm="' + "\\" * 60_000):
        begun = time.monotonic()
        Challenge.parse(header)
        assert time.monotonic() - begun < 10


def test_numbers_of_thousands_of_digits(tmp_path: Path) -> None:
    long = "9" * 5000

    def answer(handler: Handler) -> None:
        say(handler, 202, Location="/v2/a/blobs/uploads/u1", Range=f"0-{long}", OCI_Chunk_Min_Length=long)

    with serving(answer) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        opened = client.begin_upload("a")
        assert opened is not None
        assert opened.least == 0
        found = client.upload_offset("a", opened.location)
        assert found is not None
        assert found.offset == 0

    def part(client: RegistryClient) -> None:
        with client.open_blob("a", DIGEST, offset=3):
            pass

    for said in (f"bytes {long}-/5", "bytes ²-/5", "bytes 7-9/20", ""):
        error = failure(lambda handler, said=said: say(handler, 206, b"abc", Content_Range=said), part)  # type: ignore[misc]
        assert error.code == "not-a-registry"


@pytest.mark.parametrize(
    "asked",
    [
        "9" * 400,
        "Fri, 27 Nov 2026 18:00:" + "9" * 40,
        "Fri, 927 Nov 2026 18:00:10 2999999999999",
        "Fri, 27 Nov 2026 18:00:9999999999999999-99999-999999999999999",
    ],
)
def test_a_moment_that_never_comes(asked: str) -> None:
    error = failure(lambda handler: say(handler, 429, b"{}", Retry_After=asked))
    assert error.code == "registry-toomanyrequests"


def test_a_registry_of_no_possible_name() -> None:
    with RegistryClient("a" * 64 + ".example") as client, pytest.raises(TransportError) as caught:
        client.ping()
    assert (caught.value.code, bool(caught.value.hint)) == ("not-a-registry", True)


def test_an_index_of_referrers_that_is_none() -> None:
    error = failure(
        lambda handler: say(handler, 200, DEEP, Content_Type=MediaType.OCI_INDEX),
        lambda client: client.referrers("a", DIGEST),
    )
    assert error.code == "manifest-invalid"


def test_an_upload_whose_state_leaves_no_room_for_a_digest(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        say(handler, 202, Location="/v2/a/blobs/uploads/u1?state=" + "a" * 65_480)

    file = tmp_path / "blob"
    file.write_bytes(b"x")
    digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert failure(answer, lambda client: upload_blob(client, "a", digest, file)).code == "not-a-registry"
