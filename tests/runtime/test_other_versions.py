"""A caller and a controller of two versions: what they do not understand of each other is said, with what helps."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runtime.controller import Controller
from runtime.errors import RuntimeFailure
from runtime.server import ControllerServer
from runtime.wire import OTHER_VERSION, PROTOCOL, encode, unpack_failure


@pytest.fixture
def path(short_path: Path) -> Iterator[Path]:
    place = short_path / "c.sock"
    server = ControllerServer(place, cast(Controller, SimpleNamespace(objects=None)))
    server.start()
    yield place
    server.close()


def refused(path: Path, method: str, params: object) -> RuntimeFailure:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(encode({"protocol": PROTOCOL, "method": method, "params": params}))
        return unpack_failure(json.loads(connection.makefile("rb").readline())["error"])


def test_a_method_or_a_word_that_comes_later_is_refused_with_what_helps(path: Path) -> None:
    asked: list[tuple[str, object, str]] = [
        ("comes_later", {}, "unknown-method"),
        ("_output", {}, "unknown-method"),
        ("scale", {"namespace": "default", "name": "web", "replicas": 1, "slowly": True}, "unknown-parameter"),
        ("scale", {"namespace": "default"}, "unknown-parameter"),
        ("scale", ["default"], "unknown-parameter"),
        ("execute", {"selection": {}, "command": ["ls"], "slowly": True}, "unknown-parameter"),
    ]
    for method, params, code in asked:
        failure = refused(path, method, params)
        assert (failure.code, failure.hint) == (code, OTHER_VERSION), (method, params)


def test_a_controller_of_an_earlier_version_gives_no_hint_and_the_caller_knows_one() -> None:
    said = {"class": "RuntimeFailure", "code": "unknown-method", "subject": "controller", "message": "no method output"}
    assert unpack_failure(said).hint == OTHER_VERSION
    assert unpack_failure({**said, "code": "other"}).hint is None
