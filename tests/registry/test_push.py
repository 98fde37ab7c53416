"""Pushing to a real registry, to one that refuses, and to things that are none."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry import Descriptor, ImageManifest, ImageRef, MediaType, OciLayout, RegistryClient, push
from registry.auth import Credentials, Secret, find_credentials
from registry.errors import LayoutError, RefusedError, TransportError
from tests.plain_registry import HTPASSWD, PASSWORD, plain_registry

Start = Callable[..., str]


@pytest.fixture
def start_registry(tmp_path: Path, free_port: int) -> Iterator[Start]:
    """Starts docker-registry with changes to our configuration; gives its address."""
    with contextlib.ExitStack() as running:
        yield lambda **changes: running.enter_context(plain_registry(tmp_path, free_port, **changes))


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    made = OciLayout.create(tmp_path / "layout")

    def blob(data: bytes, media_type: str) -> Descriptor:
        return Descriptor(media_type=media_type, digest=made.add_blob(data), size=len(data))

    config = blob(json.dumps({"architecture": "amd64", "os": "linux"}).encode(), MediaType.OCI_CONFIG)
    layers = [blob(os.urandom(3_000_000), MediaType.OCI_LAYER_GZIP), blob(b"small", MediaType.OCI_LAYER_GZIP)]
    made.put_manifest(ImageManifest.create(config=config, layers=layers))
    return made


def test_a_push_is_complete_and_the_second_sends_nothing(start_registry: Start, layout: OciLayout) -> None:
    address = start_registry()
    reference = ImageRef.parse(f"{address}/team/app:v1")
    progress: dict[str, int] = {}
    first = push(layout, reference, on_progress=lambda digest, sent, total: progress.update({digest: sent}))
    manifest = layout.manifest()
    assert first.digest == manifest.digest
    assert str(first.reference) == f"{address}/team/app@{manifest.digest}"
    assert first.uploaded_bytes == sum(blob.size for blob in (manifest.config, *manifest.layers))
    assert sum(progress.values()) == first.uploaded_bytes
    second = push(layout.path, reference.with_tag("v2"))
    assert (second.uploaded_blobs, second.skipped_blobs) == (0, 3)
    with RegistryClient(address) as client:
        assert client.tags("team/app") == ("v1", "v2")
        assert client.get_manifest("team/app", "v1").raw == manifest.raw
        assert client.mount_blob("other/app", manifest.layers[0].digest, "team/app")
        assert client.has_blob("other/app", manifest.layers[0].digest)
        assert not client.mount_blob("other/app", "sha256:" + "0" * 64, "team/app")
        assert client.delete_manifest("team/app", manifest.digest)
        assert not client.has_manifest("team/app", "v1")
        assert client.tags("nobody/nothing") == ()


def test_a_damaged_blob_is_found_and_no_tag_is_made(start_registry: Start, layout: OciLayout) -> None:
    address = start_registry()
    victim = layout.blob_path(layout.manifest().layers[0].digest)
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    with pytest.raises(LayoutError) as caught:
        push(layout, ImageRef.parse(f"{address}/app:v1"))
    assert caught.value.code == "blob-damaged"
    victim.unlink()
    with pytest.raises(LayoutError):
        push(layout, ImageRef.parse(f"{address}/app:v1"))
    with RegistryClient(address) as client:
        assert client.tags("app") == ()


def test_login_by_htpasswd(start_registry: Start, layout: OciLayout, tmp_path: Path) -> None:
    file = tmp_path / "htpasswd"
    file.write_text(f"{HTPASSWD}\n")
    address = start_registry(auth={"htpasswd": {"realm": "forge", "path": str(file)}})
    reference = ImageRef.parse(f"{address}/app:v1")
    with pytest.raises(RefusedError) as caught:
        push(layout, reference)
    assert caught.value.code == "registry-unauthorized"
    assert "docker login" in (caught.value.hint or "")
    wrong = Credentials(user="forge", password=Secret("hunter2"))
    with RegistryClient(address, credentials=wrong) as client, pytest.raises(RefusedError) as caught:
        push(layout, reference, client=client)
    assert "hunter2" not in str(caught.value)
    right = Credentials(user="forge", password=Secret(PASSWORD))
    with RegistryClient(address, credentials=right) as client:
        assert push(layout, reference, client=client).digest == layout.manifest().digest


def test_a_read_only_registry_says_so(start_registry: Start, layout: OciLayout, tmp_path: Path) -> None:
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "maintenance": {"readonly": {"enabled": True}}}
    address = start_registry(storage=storage)
    with pytest.raises(RefusedError) as caught:
        push(layout, ImageRef.parse(f"{address}/app:v1"))
    assert caught.value.code == "registry-unsupported"
    assert "read-only" in (caught.value.hint or "")


def test_nobody_listens(layout: OciLayout, free_port: int) -> None:
    with pytest.raises(TransportError) as caught:
        push(layout, ImageRef.parse(f"127.0.0.1:{free_port}/app:v1"))
    assert caught.value.code == "registry-unreachable"
    assert caught.value.kind == "environment"


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is no registry."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_HEAD(self) -> None:
        self.send_response(418)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_something_else_listens(layout: OciLayout) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"127.0.0.1:{server.server_port}"
        with RegistryClient(address) as client, pytest.raises(TransportError) as caught:
            client.ping()
        assert caught.value.code == "not-a-registry"
        with pytest.raises(TransportError) as caught:
            push(layout, ImageRef.parse(f"{address}/app:v1"))
        assert caught.value.code == "not-a-registry"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_cancelled_push_moves_no_tag(start_registry: Start, layout: OciLayout) -> None:
    address = start_registry()
    with pytest.raises(InterruptedError):
        push(layout, ImageRef.parse(f"{address}/app:v1"), cancelled=lambda: True)
    with RegistryClient(address) as client:
        assert client.tags("app") == ()


@pytest.mark.parametrize(
    ("config", "user"),
    [
        ({"auths": {"r.example": {"auth": "Zm9yZ2U6c2VjcmV0"}}}, "forge"),
        ({"auths": {"https://r.example": {"username": "a", "password": "b"}}}, "a"),
        ({"auths": {"r.example": {"auth": "%%%"}}}, None),
        ({"auths": {"other.example": {"auth": "Zm9yZ2U6c2VjcmV0"}}}, None),
        ({"credsStore": "../../bin/sh"}, None),
        ({}, None),
    ],
)
def test_credentials_come_from_docker_s_own_file(tmp_path: Path, config: dict[str, object], user: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = find_credentials("r.example", {"DOCKER_CONFIG": str(tmp_path)})
    assert (found.user if found else None) == user


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-vault"
    helper.write_text('#!/bin/sh\nread key\n[ "$key" = r.example ] && echo \'{"Username":"u","Secret":"s"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "vault"}}))
    found = find_credentials("r.example", {"DOCKER_CONFIG": str(tmp_path)})
    assert found is not None
    assert (found.user, found.password.reveal(), f"{found.password} {found!r}".count("***")) == ("u", "s", 2)


def test_the_index_names_one_image(layout: OciLayout, tmp_path: Path) -> None:
    layout.verify()
    with pytest.raises(LayoutError) as caught:
        OciLayout.open(tmp_path / "nothing")
    assert caught.value.code == "layout-missing"
    (layout.path / "index.json").write_text("{")
    with pytest.raises(LayoutError) as caught:
        OciLayout.open(layout.path)
    assert caught.value.code == "layout-damaged"
