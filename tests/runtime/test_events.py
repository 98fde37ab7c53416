"""What happened is told once, and counted when it happens again."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from runtime.events import KEPT, KEPT_SECONDS, TRIM_EVERY, Recorder
from runtime.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "x.db")


def test_an_event_that_repeats_is_counted_and_comes_last(store: Store) -> None:
    clock = iter(float(number) for number in range(100, 200))
    recorder = Recorder(store, lambda: next(clock))
    recorder.say("Pod", "shop", "web-1", "BackOff", "restarting", warning=True)
    recorder.say("Deployment", "shop", "web", "ScalingReplicaSet", "up to 3")
    recorder.say("Pod", "shop", "web-1", "BackOff", "restarting", warning=True)
    recorder.say("Pod", "other", "web-1", "BackOff", "restarting", warning=True)
    first, second, third = recorder.past()
    assert (first.kind, first.count, first.warning) == ("Deployment", 1, False)
    assert (second.count, second.first_at, second.last_at, second.warning) == (2, 100.0, 102.0, True)
    assert (third.namespace, third.count) == ("other", 1)
    assert recorder.past("shop", "Pod") == (second,)
    assert recorder.past(name="web-1", after=second.number) == (third,)
    # Another process of the same store goes on counting.
    assert Recorder(store).newest == third.number


def test_who_waits_is_woken(store: Store) -> None:
    recorder = Recorder(store)
    assert not recorder.wait(recorder.newest, 0.01)
    seen: list[bool] = []
    waiter = threading.Thread(target=lambda: seen.append(recorder.wait(0, 30)))
    waiter.start()
    recorder.say("Pod", "n", "a", "Started", "")
    waiter.join()
    assert seen == [True]


def test_old_ones_and_too_many_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at = 1000.0
    recorder = Recorder(store, lambda: at)
    recorder.say("Pod", "n", "old", "Started", "")
    at += KEPT_SECONDS + 1
    for number in range(TRIM_EVERY):
        recorder.say("Pod", "n", f"new-{number}", "Started", "")
    assert [event.name for event in recorder.past()] == [f"new-{number}" for number in range(TRIM_EVERY)]
    assert KEPT > 10
    monkeypatch.setattr("runtime.events.KEPT", 10)
    for number in range(TRIM_EVERY):
        recorder.say("Pod", "n", f"newer-{number}", "Started", "")
    # Those that came since it was looked at last are over the limit until the next look.
    assert 10 <= len(recorder.past()) <= 10 + TRIM_EVERY
    assert recorder.past(name="new-0") == ()


def test_a_store_that_fails_fails_nobody(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(store)
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("DROP TABLE event")
    recorder.say("Pod", "n", "a", "Started", "")
    assert "event not kept" in caplog.text
