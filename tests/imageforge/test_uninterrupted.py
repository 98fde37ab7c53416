"""Blocks that a signal waits for, also where other threads run that would take it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from imageforge.pipeline.conduct import recorder_for
from imageforge.pipeline.event import EventKind
from imageforge.pipeline.interrupt import cancelled_by_interrupt
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.store import Builds, Database
from imageforge.vault import Mask


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block_though_other_threads_run(number: signal.Signals) -> None:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    done: list[int] = []
    try:
        with cancelled_by_interrupt() as cancelled, pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012
            os.kill(os.getpid(), number)
            for step in range(1000):
                done.append(step)
            assert not cancelled.is_set()
        assert len(done) == 1000
    finally:
        stop.set()
        other.join()


def test_an_interrupt_while_events_are_stored_stores_none_of_them_twice(tmp_path: Path) -> None:
    with Database.at(tmp_path / "s.sqlite") as database:
        builds = Builds(database)
        build = builds.start(app="shop", source=".")
        recorder = recorder_for(build, database, (), Mask(()))
        stored = recorder._sink
        assert stored is not None

        def interrupted(rows: list[dict[str, object]]) -> None:
            stored(rows)
            signal.raise_signal(signal.SIGINT)

        recorder._sink = interrupted
        recorder.emit("lint", EventKind.LINE, "one")
        with pytest.raises(KeyboardInterrupt):
            recorder.flush()
        recorder._sink = stored
        recorder.emit("lint", EventKind.LINE, "two")
        recorder.close()
        assert [row["text"] for row in builds.events(build)] == ["one", "two"]
