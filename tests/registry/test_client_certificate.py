"""Registries that want to know who we are, by TLS: a real one here, and certificates in folders as Docker's."""

from __future__ import annotations

import http.server
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from registry import (
    Access,
    ImageRef,
    LayoutSink,
    LayoutSource,
    OciLayout,
    RegistryClient,
    RegistrySink,
    RegistrySource,
    TransportError,
    copy,
)
from registry.access import docker_certificates
from tests.plain_registry import plain_registry
from tests.ports import unused_port
from tests.registry.conftest import QUICK, Maker
from tests.registry.test_access import fine, say, serving


@dataclass(frozen=True)
class Guarded:
    """A registry that takes nobody without a certificate of `clients`, and what those keep of it."""

    address: str
    clients: trustme.CA
    certificates: Path

    @property
    def folder(self) -> Path:
        return self.certificates / self.address

    def access(self) -> Access:
        return Access(certificates=(self.certificates,))

    def reference(self, tag: str) -> ImageRef:
        return ImageRef.parse(f"{self.address}/app:{tag}")


def write_identity(folder: Path, authority: trustme.CA, name: str = "client") -> None:
    made = authority.issue_cert("somebody@example.org")
    made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.cert"))
    made.private_key_pem.write_to_path(str(folder / f"{name}.key"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    work = tmp_path_factory.mktemp("guarded")
    servers, clients = trustme.CA(), trustme.CA()
    made = servers.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(str(work / "server.pem"))
    clients.cert_pem.write_to_path(str(work / "clients.pem"))
    port = unused_port()
    guarded = Guarded(f"127.0.0.1:{port}", clients, work / "certs.d")
    guarded.folder.mkdir(parents=True)
    servers.cert_pem.write_to_path(str(guarded.folder / "ca.crt"))
    write_identity(guarded.folder, clients)
    pem, authority = str(work / "server.pem"), str(work / "clients.pem")
    http = {"addr": guarded.address, "tls": {"certificate": pem, "key": pem, "clientcas": [authority]}}
    with plain_registry(work, port, access=guarded.access(), http=http):
        yield guarded


@pytest.fixture
def guarded(running: Guarded, tmp_path: Path) -> Guarded:
    """With a folder of certificates that this test may change."""
    mine = Guarded(running.address, running.clients, tmp_path / "certs.d")
    mine.folder.mkdir(parents=True)
    for file in running.folder.iterdir():
        (mine.folder / file.name).write_bytes(file.read_bytes())
    return mine


def refused(guarded: Guarded) -> TransportError:
    with (
        pytest.raises(TransportError) as caught,
        RegistryClient(guarded.address, access=guarded.access(), patience=QUICK) as client,
    ):
        client.ping()
    return caught.value


def test_an_image_goes_to_a_registry_that_asks_for_a_certificate_and_back(
    guarded: Guarded, make: Maker, tmp_path: Path, noise: Callable[[int], bytes]
) -> None:
    image = make.image(noise(3_000_000))
    make.layout.put_manifest(image)
    there = guarded.reference("1")
    with RegistryClient(guarded.address, access=guarded.access()) as client:
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=there))
        copy(RegistrySource(client=client, reference=there), LayoutSink(path=tmp_path / "back"))
    assert OciLayout.open(tmp_path / "back").manifest().digest == image.digest


def test_the_user_s_folder_is_looked_into_before_the_machine_s(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert docker_certificates() == (tmp_path / "certs.d", Path("/etc/docker/certs.d"))
    with RegistryClient(guarded.address) as client:
        client.ping()


def test_without_a_certificate_it_is_said_where_one_is_looked_for(guarded: Guarded) -> None:
    for name in ("client.cert", "client.key"):
        (guarded.folder / name).unlink()
    error = refused(guarded)
    assert error.code == "client-certificate-refused"
    assert str(guarded.folder) in str(error.hint)
    assert not error.retryable


def test_another_authority_s_certificate_is_told_to_be_of_no_use(guarded: Guarded) -> None:
    write_identity(guarded.folder, trustme.CA())
    assert refused(guarded).code == "client-certificate-refused"


def test_a_certificate_without_its_key_is_told_before_anything_is_asked(guarded: Guarded) -> None:
    (guarded.folder / "client.key").unlink()
    error = refused(guarded)
    assert (error.code, error.subject) == ("client-key-missing", str(guarded.folder / "client.cert"))


@pytest.mark.parametrize("key", [b"", b"hello", b"other"])
def test_a_key_that_is_none_or_another_s_is_told_and_not_shown(guarded: Guarded, key: bytes) -> None:
    if key == b"other":
        key = guarded.clients.issue_cert("other@example.org").private_key_pem.bytes()
    (guarded.folder / "client.key").write_bytes(key)
    error = refused(guarded)
    assert error.code == "client-certificate-unreadable"
    assert "PRIVATE" not in f"{error} {error.hint}"


def test_a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(guarded: Guarded) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key((guarded.folder / "client.key").read_bytes(), None)
    locked = plain.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"swordfish"),
    )
    (guarded.folder / "client.key").write_bytes(locked)
    assert refused(guarded).code == "client-certificate-unreadable"


@pytest.mark.parametrize("own", [("127.0.0.1", 0), ("127.86.11.1", 443)], ids=["a port", "the port of https"])
def test_a_certificate_does_not_follow_a_download_to_another_host(tmp_path: Path, own: tuple[str, int]) -> None:
    """Nor to another port of the same."""
    authority, seen = trustme.CA(), list[tuple[str, bool]]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(own[0]).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL

    def note(handler: http.server.BaseHTTPRequestHandler, name: str) -> None:
        connection = handler.connection
        assert isinstance(connection, ssl.SSLSocket)
        seen.append((name, bool(connection.getpeercert())))

    def store(handler: http.server.BaseHTTPRequestHandler) -> None:
        note(handler, "store")
        say(handler, 200, b"bytes")

    with serving(store, context, at=(own[0], 0)) as elsewhere:

        def registry(handler: http.server.BaseHTTPRequestHandler) -> None:
            note(handler, "registry")
            if "/blobs/" in handler.path:
                say(handler, 307, Location=f"https://{own[0]}:{elsewhere}/there")
            else:
                fine(handler)

        with serving(registry, context, at=own) as port:
            name = own[0] if own[1] else f"{own[0]}:{port}"
            folder = tmp_path / name
            folder.mkdir()
            authority.cert_pem.write_to_path(str(folder / "ca.crt"))
            write_identity(folder, authority)
            with RegistryClient(name, access=Access(certificates=(tmp_path,))) as client:
                client.ping()
                with client.open_blob("app", "sha256:" + "0" * 64) as (_, pieces):
                    assert b"".join(pieces) == b"bytes"
    assert seen == [("registry", True), ("registry", True), ("store", False)]
