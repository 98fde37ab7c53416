"""Which engine is used: the order, and what is said when one that was named does not answer."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.engine import connection, find_engine
from builders.errors import EngineError

pytestmark = pytest.mark.engine


def write_context(folder: Path, name: str, host: str, *, tls: bool = False) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    if tls:
        (folder / "contexts" / "tls" / key / "docker").mkdir(parents=True)


@pytest.fixture
def system_socket(engine_host: str) -> Path:
    return Path(engine_host.removeprefix("unix://"))


@pytest.fixture
def config(tmp_path: Path) -> dict[str, str]:
    """An environment whose Docker settings are this test's own."""
    return {"DOCKER_CONFIG": str(tmp_path)}


@pytest.fixture
def mute_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket that accepts and says nothing, as an engine that hangs does."""
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(8)
        yield path


def test_a_docker_host_that_does_not_answer_is_named_and_not_skipped(tmp_path: Path, system_socket: Path) -> None:
    host = f"unix://{tmp_path}/nothing.sock"
    with pytest.raises(EngineError) as caught:
        find_engine(private_socket=system_socket, environ={"DOCKER_HOST": host}, system_socket=system_socket)
    assert caught.value.code == "engine-unreachable"
    assert host in caught.value.subject
    assert "DOCKER_HOST" in caught.value.subject
    assert "No such file" in caught.value.message
    assert "unset DOCKER_HOST" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("tcp://127.0.0.1:1", "refused"),
        ("ssh://somewhere", "ssh -L"),
        ("nonsense", "not an address"),
        ("unix://", "."),
        ("tcp://127.0.0.1:port", "."),
    ],
)
def test_addresses_that_cannot_be_used(host: str, part: str) -> None:
    with pytest.raises(EngineError, match=part) as caught:
        find_engine(private_socket=None, environ={"DOCKER_HOST": host})
    assert caught.value.code == "engine-unreachable"


def test_an_engine_that_hangs_is_given_up(mute_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(connection.Unreachable, match="no answer in time"):
        connection.ping(f"unix://{mute_socket}", timeout=0.3)


def test_what_answers_and_is_no_engine(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)

        def answer() -> None:
            asked = b""
            while not asked:  # a caller may only look whether somebody is there
                peer, _ = server.accept()
                with peer:
                    asked = peer.recv(4096)
                    if asked:
                        peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(EngineError) as caught:
            find_engine(private_socket=None, environ={"DOCKER_HOST": f"unix://{path}"})
        thread.join()
    assert caught.value.code == "engine-unreachable"


def test_permission_denied_is_said_as_such(tmp_path: Path, engine_host: str) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test gives up root for a moment, and so needs it")
    environ = {"DOCKER_CONFIG": "/nonexistent"}  # the test's own folder is closed to others
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "docker.sock").symlink_to(engine_host.removeprefix("unix://"))
    found: list[EngineError] = []

    def as_nobody() -> None:
        os.seteuid(65534)
        try:
            find_engine(private_socket=None, environ=environ, system_socket=closed / "docker.sock")
        except EngineError as error:
            found.append(error)
        finally:
            os.seteuid(0)

    as_nobody()
    assert found[0].code == "engine-unreachable"
    assert "may not open its socket" in found[0].message
    assert "root" in (found[0].hint or "")


def test_a_context_that_is_set_and_missing_is_an_error(config: dict[str, str], system_socket: Path) -> None:
    for environ in (config | {"DOCKER_CONTEXT": "lost"}, config):
        Path(config["DOCKER_CONFIG"], "config.json").write_text('{"currentContext": "lost"}')
        with pytest.raises(EngineError) as caught:
            find_engine(private_socket=None, environ=environ, system_socket=system_socket)
        assert caught.value.code == "engine-context-missing"
        assert "lost" in caught.value.subject


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_settings_that_cannot_be_read_are_named(config: dict[str, str], text: str, system_socket: Path) -> None:
    Path(config["DOCKER_CONFIG"], "config.json").write_text(text)
    with pytest.raises(EngineError) as caught:
        find_engine(private_socket=None, environ=config, system_socket=system_socket)
    assert caught.value.code == "engine-context-invalid"


def test_a_context_whose_engine_is_gone_is_named(config: dict[str, str], tmp_path: Path, system_socket: Path) -> None:
    write_context(tmp_path, "far", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError) as caught:
        find_engine(private_socket=None, environ=config | {"DOCKER_CONTEXT": "far"}, system_socket=system_socket)
    assert "context far" in caught.value.subject
    assert "docker context use" in (caught.value.hint or "")


def test_none_at_all_says_what_was_tried(config: dict[str, str], tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(stale))
    with pytest.raises(EngineError) as caught:
        find_engine(private_socket=tmp_path / "private.sock", environ=config, system_socket=stale)
    assert caught.value.code == "engine-missing"
    assert "stale.sock: Connection refused" in caught.value.message
    assert "private.sock: No such file" in caught.value.message
    assert "imageforge up" in (caught.value.hint or "")


def test_the_order(config: dict[str, str], tmp_path: Path, system_socket: Path, engine_host: str) -> None:
    private = tmp_path / "private.sock"
    private.symlink_to(system_socket)
    write_context(tmp_path, "mine", f"unix://{private}")

    def origin(environ: dict[str, str], system: Path = system_socket) -> str:
        return find_engine(private_socket=private, environ=environ, system_socket=system).origin

    assert origin(config) == "system socket"
    assert origin(config, tmp_path / "none.sock") == "private engine"
    assert origin(config | {"DOCKER_CONTEXT": "default"}) == "system socket"
    assert origin(config | {"DOCKER_CONTEXT": "mine"}) == "context mine"
    assert origin(config | {"DOCKER_CONTEXT": "mine", "DOCKER_HOST": engine_host}) == "DOCKER_HOST"
    (tmp_path / "config.json").write_text('{"currentContext": "mine", "auths": {}}')
    assert origin(config) == "context mine"
    assert origin(config | {"DOCKER_CONTEXT": "default"}) == "system socket"


def test_the_home_folder_holds_the_settings_where_nothing_else_is_said(tmp_path: Path, system_socket: Path) -> None:
    write_context(tmp_path / ".docker", "mine", f"unix://{system_socket}")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "mine"}')
    assert find_engine(private_socket=None, environ={"HOME": str(tmp_path)}).origin == "context mine"


def test_certificates_go_to_the_client() -> None:
    from builders.engine import Endpoint

    endpoint = Endpoint(host="tcp://h:2376", origin="context x", tls=Path("/certs"))
    assert endpoint.environment() == {
        "DOCKER_HOST": "tcp://h:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": "/certs",
    }
