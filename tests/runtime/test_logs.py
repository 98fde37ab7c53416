"""Following output: nothing of it is lost where the engine is asked too early."""

from __future__ import annotations

from collections import Counter
from typing import cast

from runtime.engine import Engine, Output
from runtime.job import Attempt
from runtime.logs import LogReader

LINE = b"2026-01-01T00:00:00.5Z begun\n"


class EarlyEngine:
    """Gives nothing of a container that is not started yet, as Docker does, and then what it wrote."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, bool]] = Counter()

    def output(
        self, container_id: str, stream: str, *, follow: bool, tail: int | None = None, since: float = 0.0
    ) -> Output:
        del container_id, tail, since
        self.asked[stream, follow] += 1
        started = follow and self.asked[stream, True] > 1
        return Output(iter_closable(LINE) if started and stream == "stdout" else None)


def iter_closable(*frames: bytes) -> object:
    yield from frames


def test_a_container_that_was_asked_before_its_start_is_asked_again() -> None:
    engine = EarlyEngine()
    pod = Attempt(name="task-a", container_id="c1", started_at=1.0)

    def over() -> bool:
        return engine.asked["stdout", True] > 1

    # There is none yet when the reader begins.
    seen = iter([()])
    reader = LogReader(cast(Engine, engine), lambda: next(seen, (pod,)), over=over)
    assert [line.text for line in reader.follow(None) if line is not None] == ["begun"]
