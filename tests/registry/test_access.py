"""How registries are reached and logged in to: TLS, authorities, plain HTTP, tokens, helpers; real servers here."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import trustme

from registry import Access, ImageRef, LayoutSource, RefusedError, RegistryClient, RegistrySink, TransportError, copy
from registry.auth import Challenge, Credentials, Secret, look_up
from registry.transport import Transport
from tests.plain_registry import PASSWORD, USER, registry_with_login
from tests.registry.conftest import Maker

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(
    answer: Answer, context: ssl.SSLContext | None = None, *, at: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[int]:
    """A web server on loopback, by TLS where a context is given; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that do not trust us go away in the handshake."""

    server = Server(at, Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def fine(handler: http.server.BaseHTTPRequestHandler) -> None:
    say(handler, 200, Docker_Distribution_API_Version="registry/2.0")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[str]:
    """A registry on loopback that speaks TLS alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(fine, context) as port:
        yield f"127.0.0.1:{port}"


def test_an_authority_that_is_named_is_believed(secured: str, authority: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    with RegistryClient(secured, access=Access(ca=file)) as client:
        client.ping()


def test_dockers_folder_of_authorities_is_read(secured: str, authority: trustme.CA, tmp_path: Path) -> None:
    folder = tmp_path / secured
    folder.mkdir()
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    with RegistryClient(secured, access=Access(certificates=(tmp_path,))) as client:
        client.ping()


def test_another_authority_is_not_believed(secured: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with RegistryClient(secured, access=Access(ca=file)) as client, pytest.raises(TransportError) as caught:
        client.ping()
    assert caught.value.code == "registry-unreachable"
    assert "--ca" in (caught.value.hint or "")


def test_with_an_authority_named_loopback_may_speak_plainly_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with serving(fine) as port, RegistryClient(f"127.0.0.1:{port}", access=Access(ca=file)) as client:
        client.ping()


def test_what_is_no_authority_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("hello")
    with pytest.raises(TransportError) as caught:
        RegistryClient("r.example", access=Access(ca=file))
    assert caught.value.code == "ca-unreadable"


def test_plain_http_is_spoken_on_loopback_and_where_it_was_asked_for() -> None:
    nowhere = Path("/nonexistent")
    access = Access(plain_http=frozenset({"r.lan:5000"}), certificates=(nowhere,))
    plain = {name: access.is_plain(name) for name in ("r.lan:5000", "r.lan", "127.0.0.1:5", "[::1]:5", "10.0.0.1:5")}
    assert plain == {"r.lan:5000": True, "r.lan": False, "127.0.0.1:5": True, "[::1]:5": True, "10.0.0.1:5": False}


def test_other_names_are_spoken_to_by_tls() -> None:
    for name, base in {"r.example:5000": "https://r.example:5000", "docker.io": "https://registry-1.docker.io"}.items():
        transport = Transport(name)
        assert transport.base == base
        transport.close()


class Tokens:
    """A token service and a registry that believes it, as the distribution specification has them."""

    def __init__(self, realm: str = "") -> None:
        self.asked: list[tuple[list[str], str | None]] = []
        self.tokens: list[str] = []
        self.uses = 99
        self.realm = realm
        self.lacks = "repository:a:pull"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        if parts.path == "/token":
            self.asked.append((parse_qs(parts.query).get("scope", []), handler.headers.get("Authorization")))
            self.tokens.append(f"t{len(self.tokens)}")
            self.uses = 2
            say(handler, 200, json.dumps({"token": self.tokens[-1], "expires_in": 1}).encode())
        elif self.tokens and handler.headers.get("Authorization") == f"Bearer {self.tokens[-1]}" and self.uses > 0:
            self.uses -= 1
            fine(handler)
        else:
            realm = self.realm or f"http://{handler.headers['Host']}/token"
            say(handler, 401, WWW_Authenticate=f'Bearer realm="{realm}",service="s",scope="{self.lacks}"')


def test_a_token_is_asked_for_once_and_again_when_it_is_no_good_any_more() -> None:
    tokens = Tokens()
    login = Credentials(user="u", password=Secret("p"))
    with serving(tokens.answer) as port, RegistryClient(f"127.0.0.1:{port}", credentials=login) as client:
        for _ in range(4):
            client.has_blob("a", "sha256:" + "0" * 64)
    basic = "Basic " + base64.b64encode(b"u:p").decode()
    # Each is good for two requests.
    assert tokens.asked == [(["repository:a:pull"], basic)] * 2


def test_each_scope_is_asked_for_by_itself() -> None:
    tokens = Tokens()
    tokens.lacks = "repository:a:pull,push repository:b:pull"
    with serving(tokens.answer) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        client.has_blob("a", "sha256:" + "0" * 64)
    assert tokens.asked == [(["repository:a:pull,push", "repository:b:pull"], None)]


def test_a_login_is_not_sent_where_others_can_read_it() -> None:
    tokens = Tokens(realm="http://tokens.example/token")
    login = Credentials(user="u", password=Secret("swordfish"))
    with (
        serving(tokens.answer) as port,
        RegistryClient(f"127.0.0.1:{port}", credentials=login) as client,
        pytest.raises(TransportError) as caught,
    ):
        client.ping()
    assert caught.value.code == "registry-insecure-login"
    assert "swordfish" not in str(caught.value)


def test_a_password_does_not_follow_an_upload_to_another_host(make: Maker) -> None:
    seen: list[str | None] = []

    def elsewhere(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        say(handler, 201)

    with serving(elsewhere) as other:

        def registry(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            if not handler.headers.get("Authorization"):
                say(handler, 401, WWW_Authenticate='Basic realm="r"')
            elif handler.command == "POST":
                say(handler, 202, Location=f"http://127.0.0.1:{other}/upload")
            else:
                say(handler, 404 if handler.command == "HEAD" else 201)

        make.layout.put_manifest(make.image(b"x"))
        login = Credentials(user="u", password=Secret("p"))
        with serving(registry) as port, RegistryClient(f"127.0.0.1:{port}", credentials=login) as client:
            reference = ImageRef.parse(f"127.0.0.1:{port}/a:v1")
            copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
    assert seen == [None, None]


def test_blobs_are_followed_to_an_object_store_without_the_login(tmp_path: Path) -> None:
    data = b"bytes of a blob"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    seen: list[str | None] = []

    def store(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        say(handler, 200, data)

    with serving(store) as other:

        def registry(handler: http.server.BaseHTTPRequestHandler) -> None:
            if handler.headers.get("Authorization"):
                say(handler, 307, Location=f"http://127.0.0.1:{other}/there")
            else:
                say(handler, 401, WWW_Authenticate='Basic realm="r"')

        login = Credentials(user="u", password=Secret("p"))
        with serving(registry) as port, RegistryClient(f"127.0.0.1:{port}", credentials=login) as client:
            assert client.has_blob("a", digest)
            with (tmp_path / "out").open("wb") as out:
                assert client.fetch_blob("a", digest, out) == len(data)
    assert (tmp_path / "out").read_bytes() == data
    assert seen == [None, None]


def test_a_registry_may_not_send_us_to_where_others_can_change_what_comes() -> None:
    def registry(handler: http.server.BaseHTTPRequestHandler) -> None:
        say(handler, 307, Location="http://store.example/there")

    with serving(registry) as port, RegistryClient(f"127.0.0.1:{port}") as client:
        for ask in (client.has_blob, client.get_manifest):
            with pytest.raises(TransportError) as caught:
                ask("a", "sha256:" + "0" * 64)
            assert caught.value.code == "insecure-redirect"


def helper(folder: Path, name: str, script: str) -> None:
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("config", "script", "user", "note"),
    [
        ({"credsStore": "vault"}, 'read key; echo "{\\"Username\\":\\"$key\\",\\"Secret\\":\\"s\\"}"', "r.example", ""),
        (
            {"credHelpers": {"r.example": "vault"}, "credsStore": "no"},
            'echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"s\\"}"',
            "u",
            "",
        ),
        (
            {"credsStore": "vault", "auths": {"r.example": {"auth": "YTpi"}}},
            "echo credentials not found in native keychain; exit 1",
            "a",
            "",
        ),
        ({"credsStore": "vault"}, "echo hunter2 >&2; exit 3", None, "ended with 3"),
        ({"credsStore": "vault"}, "echo hunter2", None, "something else than a login"),
        ({"credsStore": "absent"}, "", None, "is not installed"),
        ({"credsStore": "../sh"}, "", None, "no such name"),
        ([], "", None, "no JSON object"),
    ],
)
def test_helpers_are_asked_and_what_goes_wrong_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: object, script: str, user: str | None, note: str
) -> None:
    helper(tmp_path, "vault", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = look_up("r.example", {"DOCKER_CONFIG": str(tmp_path)})
    assert (found.credentials.user if found.credentials else None) == user
    assert note in found.note
    assert bool(note) == bool(found.note)
    assert "hunter2" not in found.note


def test_a_helper_that_fails_is_told_of_where_the_login_is_missed(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, make: Maker
) -> None:
    helper(tmp_path, "vault", "exit 7")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "vault"}))
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry_with_login(folder, free_port) as address:
        with RegistryClient(address) as client, pytest.raises(RefusedError) as caught:
            client.tags("a")
        assert caught.value.code == "registry-unauthorized"
        assert "docker-credential-vault ended with 7" in caught.value.message
        secret = f'read key; echo "{{\\"Username\\":\\"{USER}\\",\\"Secret\\":\\"{PASSWORD}\\"}}"'
        helper(tmp_path, "vault", secret)
        with RegistryClient(address) as client:
            assert client.tags("a") == ()


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        ('Bearer realm="https://a/t",service="s"', "bearer", {"realm": "https://a/t", "service": "s"}),
        (
            'bearer realm = "x" , scope="repository:a:pull,push"',
            "bearer",
            {"realm": "x", "scope": "repository:a:pull,push"},
        ),
        ('Basic realm="a \\"b\\""', "basic", {"realm": 'a \\"b\\"'}),
        ("", "", {}),
    ],
)
def test_challenges(header: str, scheme: str, parameters: dict[str, str]) -> None:
    found = Challenge.parse(header)
    assert (found.scheme, dict(found.parameters)) == (scheme, parameters)


AS_ANOTHER_USER = """
import os
from registry import Access, RegistryClient
from registry.auth import look_up
RegistryClient("127.0.0.1:5000").close()  # what is imported late may be out of the other user's reach
os.setresuid(54321, 54321, 54321)
assert Access().is_plain("127.0.0.1:5000")
RegistryClient("127.0.0.1:5000").close()
assert look_up("127.0.0.1:5000").credentials is None
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("homeless", [True, False])
def test_a_home_that_is_another_users_or_none_keeps_nobody_from_a_registry(tmp_path: Path, *, homeless: bool) -> None:
    (tmp_path / ".docker" / "certs.d" / "127.0.0.1:5000").mkdir(parents=True)
    (tmp_path / ".docker").chmod(0o700)
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "DOCKER_CONFIG")}
    if not homeless:
        environ["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr


def test_threads_that_meet_a_plain_registry_at_once_all_speak_plainly(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    start = threading.Barrier(8)

    def ask(client: RegistryClient) -> None:
        start.wait()
        client.ping()

    with (
        serving(fine) as port,
        RegistryClient(f"127.0.0.1:{port}", access=Access(ca=file)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        for done in [pool.submit(ask, client) for _ in range(8)]:
            done.result()


def test_where_tls_may_be_meant_the_hint_says_how() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        said = b"Client sent an HTTP request to an HTTPS server.\n"
        handler.send_response(400)
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    with (
        serving(answer) as port,
        RegistryClient(f"127.0.0.1:{port}", access=Access(certificates=())) as client,
        pytest.raises(TransportError) as caught,
    ):
        client.ping()
    assert (caught.value.code, "--ca FILE" in (caught.value.hint or "")) == ("not-a-registry", True)


class Elsewhere:
    """A place that takes what is sent to it, in plain HTTP or by TLS."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.seen.append((handler.command, handler.headers.get("Authorization")))
        say(handler, 201)


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "127.0.0.2").configure_cert(context)
    return context


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of loopback, `localhost` and 127.0.0.1 alone are this machine: 127.0.0.2 stands for another one."""
    monkeypatch.setattr("registry.transport.is_loopback", lambda place: place.startswith(("localhost", "127.0.0.1")))


@contextlib.contextmanager
def sending_on(location: str, after: str, tls: ssl.SSLContext) -> Iterator[str]:
    """A registry by TLS that goes on with an upload at `location`, after the request `after`; gives its address."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if not handler.headers.get("Authorization"):
            say(handler, 401, WWW_Authenticate='Basic realm="r"')
        else:
            say(handler, 202, Location=location if handler.command == after else "/v2/a/blobs/uploads/u1")

    with serving(answer, tls, at=("127.0.0.2", 0)) as port:
        yield f"127.0.0.2:{port}"


@pytest.mark.parametrize("after", ["POST", "PATCH", "GET"])
@pytest.mark.parametrize("place", ["127.0.0.2:{port}", "127.0.0.1:80@127.0.0.2:{port}"])
@pytest.mark.usefixtures("far")
def test_no_upload_leaves_tls_for_where_others_can_read_it(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, after: str, place: str
) -> None:
    elsewhere = Elsewhere()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    login = Credentials(user="u", password=Secret("p"))

    def send(client: RegistryClient) -> None:
        opened = client.begin_upload("a")
        assert opened is not None
        if after == "GET":
            client.upload_offset("a", opened.location)
        client.send_chunk("a", opened.location, lambda: [b"x"], offset=0, length=1, whole=False)

    with (
        serving(elsewhere.answer, at=("127.0.0.2", 0)) as port,
        sending_on(f"http://{place.format(port=port)}/up", after, tls) as address,
        RegistryClient(address, access=Access(ca=tmp_path / "ca.pem"), credentials=login) as client,
        pytest.raises(TransportError) as caught,
    ):
        send(client)
    assert (caught.value.code, elsewhere.seen) == ("insecure-redirect", [])
    assert caught.value.hint


@pytest.mark.usefixtures("far")
def test_an_upload_that_was_left_in_clear_is_not_gone_on_with(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    elsewhere = Elsewhere()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        serving(elsewhere.answer, at=("127.0.0.2", 0)) as port,
        sending_on("/", "POST", tls) as address,
        RegistryClient(address, access=Access(ca=tmp_path / "ca.pem")) as client,
        pytest.raises(TransportError) as caught,
    ):
        client.finish_upload("a", f"http://127.0.0.2:{port}/up", "sha256:" + "0" * 64, body=lambda: [b"x"], length=1)
    assert (caught.value.code, elsewhere.seen) == ("insecure-redirect", [])


@pytest.mark.usefixtures("far")
def test_an_upload_may_go_on_at_another_host_by_tls_without_the_login(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    elsewhere = Elsewhere()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    login = Credentials(user="u", password=Secret("p"))
    with (
        serving(elsewhere.answer, tls, at=("127.0.0.2", 0)) as port,
        sending_on(f"https://127.0.0.2:{port}/up", "POST", tls) as address,
        RegistryClient(address, access=Access(ca=tmp_path / "ca.pem"), credentials=login) as client,
    ):
        opened = client.begin_upload("a")
        assert opened is not None
        client.finish_upload("a", opened.location, "sha256:" + "0" * 64, body=lambda: [b"x"], length=1)
    assert elsewhere.seen == [("PUT", None)]


@pytest.mark.usefixtures("far")
def test_an_upload_may_go_on_in_clear_where_that_was_asked_for(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    elsewhere = Elsewhere()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    login = Credentials(user="u", password=Secret("p"))
    with serving(elsewhere.answer, at=("127.0.0.2", 0)) as port:
        access = Access(ca=tmp_path / "ca.pem", plain_http=frozenset({f"127.0.0.2:{port}"}))
        with (
            sending_on(f"http://127.0.0.2:{port}/up", "POST", tls) as address,
            RegistryClient(address, access=access, credentials=login) as client,
        ):
            opened = client.begin_upload("a")
            assert opened is not None
            client.finish_upload("a", opened.location, "sha256:" + "0" * 64)
    assert elsewhere.seen == [("PUT", None)]


@pytest.mark.parametrize(
    ("registry", "plain", "location", "own"),
    [
        ("r.example:443", False, "https://r.example/up", True),
        ("r.example", False, "https://R.example:443/up", True),
        ("r.lan:80", True, "http://r.lan/up", True),
        ("r.example:443", False, "/up", True),
        ("r.example", False, "https://r.example:444/up", False),
        ("r.example", False, "https://store.example/up", False),
    ],
)
def test_a_login_goes_to_the_registry_itself_however_its_port_is_written(
    monkeypatch: pytest.MonkeyPatch, registry: str, plain: bool, location: str, own: bool
) -> None:
    sent: list[str | None] = []

    def handle(_: object, request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Authorization"))
        answered = 401 if len(sent) == 1 else 200
        return httpx.Response(answered, headers={"WWW-Authenticate": 'Basic realm="r"'}, stream=httpx.ByteStream(b"{}"))

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    access = Access(plain_http=frozenset({registry} if plain else ()), certificates=())
    transport = Transport(registry, credentials=Credentials(user="u", password=Secret("p")), access=access)
    transport.request("GET", "/v2/", expected=(200,))
    transport.request("GET", location, expected=(200,))
    transport.close()
    assert [value is not None for value in sent] == [False, True, own]
