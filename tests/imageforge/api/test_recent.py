"""A costly answer for anybody who asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from imageforge.api.recent import FRESH_SECONDS, Recent
from tests.imageforge.api.service import Api


class Look:
    """Counts its calls; waits where it is told to."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0
        self.begun, self.allowed = threading.Event(), threading.Event()
        self.allowed.set()

    def __call__(self) -> int:
        self.made += 1
        self.begun.set()
        assert self.allowed.wait(60)
        return self.made


@pytest.fixture
def look() -> Look:
    return Look()


def test_it_is_looked_once_a_second_at_most(look: Look) -> None:
    recent = Recent(look, clock=lambda: look.now)
    assert [recent.get() for _ in range(100)] == [1] * 100
    look.now = FRESH_SECONDS
    assert [recent.get() for _ in range(100)] == [2] * 100


def test_who_comes_while_it_is_looked_gets_the_answer_of_before(look: Look) -> None:
    recent = Recent(look, clock=lambda: look.now)
    recent.get()
    look.now = FRESH_SECONDS
    look.begun.clear()
    look.allowed.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(recent.get)
        assert look.begun.wait(60)
        assert [recent.get() for _ in range(10)] == [1] * 10
        look.allowed.set()
        assert slow.result() == 2


def test_a_look_that_fails_is_made_again(look: Look) -> None:
    def fails() -> int:
        look()
        raise OSError("gone")

    recent = Recent(fails)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            recent.get()
    assert look.made == 2


def test_anybody_may_ask_whether_the_service_is_ready_without_its_parts_being_asked_each_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    real = api.site.waker.pending
    monkeypatch.setattr(type(api.site.waker), "pending", lambda _: (asked.append(1), real())[1])  # type: ignore[func-returns-value]
    monkeypatch.setattr("imageforge.api.recent.FRESH_SECONDS", 3600.0)
    with api.client("") as client:
        answers = {client.get("/v1/ready").status_code for _ in range(50)}
    assert answers == {503}
    assert len(asked) <= 1
