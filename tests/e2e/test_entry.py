"""What others than this machine reach: HTTPS with tokens, certificates that come and go, domains, the registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from cryptography import x509

from imageforge.config import Home, load_settings
from imageforge.pipeline.domains import settle_hosts
from imageforge.store import Database, Domains
from registry import RefusedError, RegistryClient, upload_blob
from registry.auth import Credentials, Secret
from runtime import ControllerClient
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_info
from tests.authority import TestAuthority
from tests.e2e.conftest import Forge, temporary_forge
from tests.e2e.service import Repository, Service, write_app
from tests.pebble import pebble
from tests.ports import unused_port
from tests.sandbox import INSIDE, engine

pytestmark = pytest.mark.engine

HOST = "forge.example.org"
NAMES = ("www.example.org", "shop.example.net", "second.example.org")


def own_address() -> str:
    """An address of this machine that is no loopback one; in the tests' namespace, that of its way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


class World:
    """Others: they know the names by DNS, and trust one authority."""

    def __init__(self, forge: Forge, authority: TestAuthority, folder: Path, certificates: Path) -> None:
        self.forge = forge
        self.authority = authority
        self.folder = folder
        self.certificates = certificates
        self.address = own_address()
        self.http_port, self.https_port = unused_port(), unused_port()
        self.url = f"https://{HOST}:{self.https_port}"

    def ask(self, method: str, url: str, token: str = "", **more: Any) -> httpx.Response:
        """One request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(verify=self.authority.context(), timeout=30) as client:
            return client.request(method, url, headers={**headers, **more.pop("headers", {})}, **more)

    def balancer(self) -> int:
        """The process that serves; a reload makes another."""
        return parse_info(CommandSocket(Home(self.forge.home).balancer_socket).ask("show info")).pid

    def doctor(self) -> list[dict[str, Any]]:
        """What `doctor` says."""
        checks: list[dict[str, Any]] = self.forge.run("doctor", "-o", "json").json
        return checks

    def plain(self, host: str, path: str = "/") -> str:
        """The address of a host over plain HTTP."""
        return f"http://{host}:{self.http_port}{path}"

    def serial(self, host: str) -> tuple[int, str]:
        """The serial number of the certificate that a host shows, and who signed it."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self.address, self.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
        assert shown
        certificate = x509.load_der_x509_certificate(shown)
        return certificate.serial_number, certificate.issuer.rfc4514_string()

    def shows(self, host: str, issuer: str = "") -> bool:
        """Whether a host has a certificate, by this authority."""
        try:
            return issuer in self.serial(host)[1]
        except OSError:
            return False


class Load:
    """Requests without a pause, on one connection and on new ones, for as long as the block lasts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in (True, False)]
        self.failures: list[str] = []
        self.count = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep: bool) -> None:
        context = self._world.authority.context()
        client = httpx.Client(verify=context, timeout=30)
        while not self._done.is_set():
            if not keep:
                client.close()
                client = httpx.Client(verify=context, timeout=30)
            try:
                answer = client.get(f"{self._world.url}/v1/health")
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
            self.count += 1
        client.close()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def world(
    engine_host: str, docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A stack that others reach, with a certificate of its own and an ACME directory for the domains."""
    folder = tmp_path_factory.mktemp("world")
    authority = TestAuthority(folder / "ca")
    certificates = folder / "certificates"
    certificates.mkdir()
    (certificates / "forge.pem").write_bytes(authority.bundle(HOST))
    (certificates / "www.pem").write_bytes(authority.bundle("www.example.org"))
    made = temporary_forge(engine_host, docker_client)
    forge = next(made)
    there = World(forge, authority, folder, certificates)
    try:
        with pebble(folder / "pebble", authority, address=there.address, http_port=there.http_port) as directory:
            forge.extra.update(
                IMAGEFORGE_PUBLIC_ADDRESS=there.address,
                IMAGEFORGE_PUBLIC_HOST=HOST,
                IMAGEFORGE_PUBLIC_HTTP_PORT=str(there.http_port),
                IMAGEFORGE_HTTPS_PORT=str(there.https_port),
                IMAGEFORGE_PUBLIC_REGISTRY_PORT=str(unused_port()),
                IMAGEFORGE_CERTIFICATES=str(certificates),
                IMAGEFORGE_ACME="true",
                IMAGEFORGE_ACME_DIRECTORY=directory,
                IMAGEFORGE_ACME_CONTACT="someone@example.org",
                IMAGEFORGE_ACME_CA_FILE=str(authority.file),
            )
            forge.ok("up")
            write_app(folder / "shop")
            forge.ok("deploy", folder / "shop")
            yield there
    finally:
        next(made, None)


@pytest.fixture(autouse=True)
def names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS, for the clients in this process."""
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        return real(world.address if host in (HOST, *NAMES) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("SSL_CERT_FILE", str(world.authority.file))


@pytest.fixture(scope="module")
def service(world: World) -> Service:
    return Service(world.forge)


def test_a_token_is_taken_over_https_and_not_looked_at_over_plain_http(world: World, service: Service) -> None:
    secured = world.ask("GET", f"{world.url}/v1/apps", service.token)
    assert [app["name"] for app in secured.json()] == ["shop"]
    assert secured.headers["strict-transport-security"].startswith("max-age=")
    assert world.ask("GET", f"{world.url}/docs").status_code == 200
    assert world.ask("GET", f"{world.url}/v1/apps").status_code == 401
    answers = {}
    for token in (service.token, "wrong", ""):
        refused = world.ask("GET", world.plain(HOST, "/v1/apps"), token)
        assert (refused.status_code, refused.json()["code"]) == (403, "https-required")
        assert world.url in refused.json()["hint"]
        answers[token] = refused.json()
    assert len({json.dumps(answer) for answer in answers.values()}) == 1
    for method, path in (("POST", "/v1/webhooks/shop"), ("GET", "/git/shop.git/info/refs"), ("GET", "/v2/")):
        assert world.ask(method, world.plain(HOST, path), service.token).status_code == 403
    # Whoever says that they are the balancer, or somebody else, is neither.
    forged = {"X-Imageforge-Entry": "tls x", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    assert world.ask("GET", world.plain(HOST, "/v1/apps"), service.token, headers=forged).status_code == 403
    assert service.ask("GET", "/v1/apps").status_code == 200


def test_guesses_are_counted_by_the_address_they_come_from(world: World, service: Service) -> None:
    """Those of others do not shut out this machine, and another name for each of them does not help."""
    last = None
    for number in range(60):
        forged = {"X-Forwarded-For": f"198.51.100.{number}"}
        last = world.ask("GET", f"{world.url}/v1/apps", "guess", headers=forged)
        if last.status_code == 429:
            break
    assert last is not None
    assert last.status_code == 429
    assert world.address in last.json()["subject"]
    with service.client("guess") as client:
        assert client.get("/v1/apps").status_code == 401


def test_git_pushes_over_https(world: World, service: Service, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    write_app(repository.folder, "pushed")
    repository.commit("first")
    repository.git("config", "http.curloptResolve", f"{HOST}:{world.https_port}:{world.address}")
    repository.git("config", "http.sslCAInfo", str(world.authority.file))
    address = f"https://x:{service.token}@{HOST}:{world.https_port}/git/pushed.git"
    pushed = repository.git("push", address, "main")
    assert "pushed release 1" in pushed.stderr
    repository.git("config", "http.curloptResolve", f"{HOST}:{world.http_port}:{world.address}")
    plain = repository.git(
        "ls-remote", world.plain(HOST, "/git/pushed.git").replace("//", f"//x:{service.token}@"), check=False
    )
    assert plain.returncode != 0
    assert "403" in plain.stderr
    world.forge.ok("apps", "delete", "pushed", "--yes")


def test_a_domain_comes_and_goes_without_a_rollout_and_stays_over_releases(world: World) -> None:
    forge = world.forge
    before = {row["replica"] for row in forge.replicas("shop")}
    domain, serving = f"https://www.example.org:{world.https_port}/", world.balancer()
    assert world.ask("GET", domain).status_code == 404
    with Load(world) as load:
        forge.ok("domains", "add", "shop", "WWW.example.org.")
        until(lambda: world.ask("GET", domain).text == "one ", 10)
    assert load.failures == []
    redirected = world.ask("POST", world.plain("www.example.org", "/a?b=c"))
    assert (redirected.status_code, redirected.headers["location"]) == (308, f"{domain}a?b=c")
    assert {row["replica"] for row in forge.replicas("shop")} == before

    (row,) = forge.ok("domains", "ls", "shop", "-o", "json").json
    assert (row["domain"], row["certificate"], row["problem"]) == ("www.example.org", "file", None)
    # An app without a domain is not for the world, though the world can say its name.
    local = {"Host": f"shop.localhost:{world.http_port}"}
    assert forge.get("shop") == (200, "one ")
    assert world.ask("GET", world.plain(world.address), headers=local).status_code == 404

    (world.folder / "shop" / "version.txt").write_text("two")
    forge.ok("deploy", world.folder / "shop")
    assert world.ask("GET", domain).text == "two "
    forge.ok("rollback", "shop")
    assert world.ask("GET", domain).text == "one "
    (world.folder / "shop" / "version.txt").write_text("one")

    assert forge.run("domains", "rm", "shop", "www.example.org").code == 3
    with Load(world) as load:
        forge.ok("domains", "rm", "shop", "www.example.org", "--yes")
        until(lambda: world.ask("GET", domain).status_code == 404, 10)
    assert load.failures == []
    assert world.balancer() == serving, "a reload would end what every application has in flight"
    taken = forge.run("domains", "add", "shop", HOST)
    assert (taken.code, "error[domain-invalid]" in taken.err) == (3, True)


def test_a_crash_between_storing_a_domain_and_leading_it_there_is_mended(world: World) -> None:
    forge = world.forge
    home, settings = Home(forge.home), load_settings(forge.home / "none", forge.environ)
    controller = ControllerClient(home.controller_socket)
    with Database.at(home.store) as database:
        more = {"home": home, "settings": settings, "database": database, "controller": controller}
        Domains(database).add("shop", "second.example.org")
        assert settle_hosts("shop", **more)
        assert not settle_hosts("shop", **more)
        assert "second.example.org" in controller.manifests("default", "shop")
        Domains(database).remove("shop", "second.example.org")
        assert settle_hosts("shop", **more)
        assert "second.example.org" not in controller.manifests("default", "shop")


def test_a_certificate_is_got_by_acme_and_one_is_not(world: World, service: Service) -> None:
    made = service.ask("PUT", "/v1/apps/shop/domains/shop.example.net")
    assert (made.status_code, made.json()["domain"]) == (201, "shop.example.net")
    assert service.ask("PUT", "/v1/apps/shop/domains/shop.example.net").status_code == 200

    def stands() -> dict[str, Any]:
        (row,) = service.ask("GET", "/v1/apps/shop/domains").json()
        return dict(row)

    until(lambda: stands()["certificate"] == "acme")

    until(lambda: world.shows("shop.example.net", "Pebble"), 15)
    redirected = world.ask("GET", world.plain("shop.example.net"))
    assert redirected.status_code == 308
    account = world.forge.home / "state" / "acme" / "account.key"
    assert account.stat().st_mode & 0o777 == 0o600
    assert service.ask("DELETE", "/v1/apps/shop/domains/shop.example.net").status_code == 204
    until(lambda: not list((world.forge.home / "state" / "acme" / "certificates").glob("*.pem")), 15)


def test_a_certificate_is_replaced_under_load_and_a_broken_one_harms_no_other(world: World) -> None:
    serving = world.balancer()
    with Load(world) as load:
        for _ in range(3):
            before, asked = world.serial(HOST)[0], load.count
            (world.certificates / "forge.pem").write_bytes(world.authority.bundle(HOST))
            until(lambda before=before: world.serial(HOST)[0] != before, 20)
            until(lambda asked=asked: load.count > asked + 20, 20)
        (world.certificates / "other.pem").write_text("-----BEGIN NONSENSE-----")
        (world.certificates / "old.pem").write_bytes(world.authority.bundle("old.example.org", start=-9, end=-1))
        good = world.serial(HOST)[0]
        (world.certificates / "forge.pem").write_text("")
        (world.certificates / "second.pem").write_bytes(world.authority.bundle("second.example.org"))
        until(lambda: world.shows("second.example.org"), 20)
        assert world.serial(HOST)[0] == good
    assert load.failures == []
    assert load.count > 100
    assert world.balancer() == serving, "a reload would end what every application has in flight"
    said = [check["found"] for check in world.doctor() if check["name"] == "certificate"]
    assert {Path(found.split()[0]).name for found in said} == {"other.pem", "old.pem", "forge.pem"}
    left_out = world.forge.ok("status", "-o", "json").json["left_out_certificates"]
    assert len(left_out) == 3
    (world.certificates / "forge.pem").write_bytes(world.authority.bundle(HOST))
    for name in ("other.pem", "old.pem", "second.pem"):
        (world.certificates / name).unlink()
    (check,) = [check for check in world.doctor() if check["name"] in ("public entry", "certificate")]
    assert check["level"] == "ok"
    assert f"{world.url} on {world.address}, certificate by file until" in check["found"]


def test_the_registry_needs_a_token_that_reaches(world: World, service: Service, tmp_path: Path) -> None:
    registry = f"{HOST}:{world.https_port}"
    live = world.forge.ok("releases", "shop", "-o", "json").json[0]["image"]
    digest = live.partition("@")[2]
    mine = world.forge.ok("token", "create", "mine", "--scope", "build", "--app", "shop").out.strip()
    other = world.forge.ok("token", "create", "other", "--scope", "deploy", "--app", "another").out.strip()

    def pull(password: str | None) -> object:
        credentials = Credentials(user="x", password=Secret(password)) if password else None
        client = RegistryClient(registry, credentials=credentials)
        try:
            return client.get_manifest("shop", digest)
        finally:
            client.close()

    assert pull(mine)
    assert pull(service.token)
    with RegistryClient(registry, credentials=Credentials(user="x", password=Secret(mine))) as client:
        (tmp_path / "blob").write_bytes(blob := secrets.token_bytes(3_000_000))
        name = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        upload_blob(client, "shop", name, tmp_path / "blob")
        assert client.has_blob("shop", name)
        with pytest.raises(RefusedError):
            upload_blob(client, "another", name, tmp_path / "blob")
    with RegistryClient(f"127.0.0.1:{world.forge.registry_port}") as local:
        assert local.has_blob("shop", name), "both registries have the same images"
    for password in (other, "wrong", None):
        with pytest.raises(RefusedError) as caught:
            pull(password)
        assert caught.value.code == "registry-unauthorized"
    # The whole conversation, as it goes over the wire.
    bare = world.ask("GET", f"{world.url}/v2/")
    assert bare.status_code == 401
    assert f'realm="{world.url}/v1/registry/token"' in bare.headers["www-authenticate"]
    query = {"service": HOST, "scope": "repository:shop:pull,push,delete"}
    given = world.ask("GET", f"{world.url}/v1/registry/token", params=query, auth=("x", mine)).json()["token"]
    assert world.ask("POST", f"{world.url}/v2/shop/blobs/uploads/", given).status_code == 202
    assert world.ask("DELETE", f"{world.url}/v2/shop/manifests/{digest}", given).status_code == 401
    assert world.ask("GET", f"{world.url}/v2/_catalog", given).status_code == 401
    assert pull(mine)


ELSEWHERE = """
mount --bind "$1" /etc/hosts
mount -t tmpfs none /etc/docker
mkdir -p "/etc/docker/certs.d/$2"
cp "$3" "/etc/docker/certs.d/$2/ca.crt"
shift 3
exec "$@"
"""
"""A machine that knows the registry's name and trusts its authority, as its owner sets it up: two files that only the
engine sees, for it has these mounts to itself."""


@pytest.mark.skipif(INSIDE not in os.environ, reason="a second engine is only started where the first is private")
def test_the_docker_client_logs_in_pushes_and_pulls(world: World, tmp_path: Path) -> None:
    """Its engine is another than that of the service, so what it pulls came from the registry."""
    registry = f"{HOST}:{world.https_port}"
    token = world.forge.ok("token", "create", "docker", "--scope", "build", "--app", "tool").out.strip()
    (tmp_path / "hosts").write_text(f"127.0.0.1 localhost\n{world.address} {HOST}\n")
    settings = ("sh", "-euc", ELSEWHERE, "sh", str(tmp_path / "hosts"), registry, str(world.authority.file))
    with engine("10.216.0.0/16", "unshare", "--mount", *settings) as host:
        environ = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": str(tmp_path / "config")}

        def docker_(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
            command = ["docker", *arguments]
            return subprocess.run(command, input=data, env=environ, capture_output=True, timeout=120, check=False)

        def ok(*arguments: str, data: bytes = b"") -> str:
            done = docker_(*arguments, data=data)
            assert done.returncode == 0, (arguments, done.stderr.decode())
            return done.stdout.decode().strip()

        def refused(*arguments: str, data: bytes = b"") -> str:
            done = docker_(*arguments, data=data)
            assert done.returncode != 0, (arguments, done.stdout.decode())
            return done.stderr.decode()

        login = ("login", registry, "--username", "anyone", "--password-stdin")
        assert "unauthorized" in refused(*login, data=b"wrong")
        mine, foreign = f"{registry}/tool:1", f"{registry}/another:1"
        image = ok("import", "-", mine, data=_small_tree())
        ok("tag", mine, foreign)
        assert "unauthorized" in refused("push", mine)

        assert "Login Succeeded" in ok(*login, data=token.encode())
        pushed = ok("push", mine)
        digest = next(word for word in pushed.split() if word.startswith("sha256:"))
        with RegistryClient(f"127.0.0.1:{world.forge.registry_port}") as local:
            assert local.get_manifest("tool", "1").digest == digest
        assert "denied" in refused("push", foreign)
        ok("rmi", mine, foreign)
        assert ok("images", "--quiet", "--all") == ""
        ok("pull", f"{registry}/tool@{digest}")
        assert ok("inspect", "--format", "{{.Id}}", f"{registry}/tool@{digest}") == image

        ok("logout", registry)
        ok("rmi", f"{registry}/tool@{digest}")
        assert "unauthorized" in refused("pull", mine)
    assert not Path("/etc/docker/certs.d", registry).exists()


def _small_tree() -> bytes:
    """A file system with one file, as a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 3_000_000
        archive.addfile(entry, io.BytesIO(secrets.token_bytes(entry.size)))
    return packed.getvalue()
