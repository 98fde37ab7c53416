"""A patient client and a controller that is away: a server on the socket that answers as it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import ControllerClient, ControllerUnreachable, Outcome, RolloutRecord
from runtime.wire import encode, pack

RUNNING = RolloutRecord(
    namespace="default", name="web", revision=1, generation=1, hash="a", change="created", stored_at=1.0, replicas=1
)
ENDED = replace(RUNNING, outcome=Outcome.COMPLETE, ended_at=2.0)


@contextmanager
def controller(path: Path, answers: Sequence[tuple[str, Sequence[RolloutRecord], bool]]) -> Iterator[list[str]]:
    """Answers one connection after the other: the method that is expected, what is given, and whether it then says that
    this was all; else it hangs up."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            for _, items, done in answers:
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as lines:
                    asked.append(json.loads(lines.readline())["method"])
                    for item in items:
                        connection.sendall(encode({"item": pack(item)}))
                    if done:
                        connection.sendall(encode({"done": True}))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(30)
    assert asked == [method for method, *_ in answers]


def test_a_rollouts_record_is_awaited_over_a_controller_that_dies(short_path: Path) -> None:
    path = short_path / "controller.sock"
    answers = [
        ("watch_rollout", [], False),
        ("rollouts", [RUNNING], True),
        ("watch_rollout", [RUNNING], True),  # it is stopped in order
        ("rollouts", [RUNNING], True),
        ("watch_rollout", [RUNNING, ENDED], True),
    ]
    with controller(path, answers):
        found = list(ControllerClient(path, patience=20).watch_rollout("default", "web", timeout=20))
    assert [record.outcome for record in found] == [Outcome.RUNNING, Outcome.RUNNING, Outcome.COMPLETE]


def test_the_record_is_looked_at_once_however_long_the_controller_was_away(short_path: Path) -> None:
    path = short_path / "controller.sock"
    answers = [("watch_rollout", [], False), ("rollouts", [RUNNING], True), ("watch_rollout", [RUNNING], True)]
    with controller(path, answers):
        found = list(ControllerClient(path, patience=20).watch_rollout("default", "web", timeout=0))
    assert found == [RUNNING]


def test_without_patience_it_is_told_at_once(short_path: Path) -> None:
    with pytest.raises(ControllerUnreachable):
        next(iter(ControllerClient(short_path / "controller.sock").watch_rollout("default", "web")))
