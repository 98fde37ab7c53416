"""BuildKit's plain progress, recorded from real builds, in pieces of every size."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.buildkit.progress import ProgressParser
from builders.model import BuildEvent, BuildEventKind

D = "sha256:" + "0d96" * 16

# Recorded from a 20.10 client and engine: two stages built at once, a line without an end, a failing step.
RECORDED = f"""\
#1 [internal] load build definition from Dockerfile
#1 {D}
#1 transferring dockerfile: 403B done
#1 DONE 0.0s

#4 [base 1/2] FROM docker.io/imageforge/debian:bookworm
#4 {D}
#4 CACHED

#5 [base 2/2] RUN echo one && echo two >&2 && sleep 0.3 && printf 'partial'
#5 {D}
#5 0.300 one
#5 0.300 two
#5 0.603 partial#5 DONE 0.6s

#6 [b 1/1] RUN for i in 1 2 3; do echo b$i; sleep 0.2; done
#6 {D}
#6 0.472 b1
#6 ...

#8 [c 1/1] RUN for i in 1 2 3; do echo c$i; sleep 0.2; done
#8 {D}
#8 0.474 c1
#8 0.677 #6 DONE 9.9s
#8 ...

#6 [b 1/1] RUN for i in 1 2 3; do echo b$i; sleep 0.2; done
#6 0.674 b2
#6 DONE 1.1s

#8 [c 1/1] RUN for i in 1 2 3; do echo c$i; sleep 0.2; done
#8 CANCELED

#12 [stage-3 4/4] RUN cat /d &&   echo doomed &&   false
#12 {D}
#12 0.201 FROM imageforge/debian:bookworm AS base
#12 0.202
#12 0.202 caf\u00e9 doomed
#12 ERROR: executor failed running [/bin/sh -c cat /d &&   echo doomed &&   false]: exit code: 1
------
 > [stage-3 4/4] RUN cat /d &&   echo doomed &&   false:
------
executor failed running [/bin/sh -c cat /d &&   echo doomed &&   false]: exit code: 1
"""
# As buildx prints it: times before the output, a summary with the line.
BUILDX = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 92B 0.0s done
#1 DONE 0.1s

#4 [1/2] FROM docker.io/library/alpine@sha256:abc
#4 resolve docker.io/library/alpine@sha256:abc 0.0s done
#4 sha256:4abcf 3.62MB / 3.62MB 0.1s done
#4 extracting sha256:4abcf 0.1s done
#4 DONE 0.3s

#5 [2/2] RUN false
#5 0.112 about to fail
#5 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1
------
 > [2/2] RUN false:
0.112 about to fail
------
Dockerfile:2
--------------------
   1 |     FROM alpine
   2 | >>> RUN false
--------------------
ERROR: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1
"""


def read(text: str | bytes, size: int | None = None) -> tuple[list[BuildEvent], ProgressParser]:
    raw = text.encode() if isinstance(text, str) else text
    parser = ProgressParser()
    step = size or max(1, len(raw))
    events = [event for at in range(0, len(raw), step) for event in parser.feed(raw[at : at + step])]
    return [*events, *parser.finish()], parser


def of_step(events: list[BuildEvent], step: int) -> list[tuple[str, str]]:
    return [(str(event.kind), event.text) for event in events if event.step == step]


def test_steps_that_are_interleaved() -> None:
    events, _ = read(RECORDED)
    assert of_step(events, 6) == [
        ("step-started", ""),
        ("step-output", "b1"),
        ("step-output", "b2"),
        ("step-finished", ""),
    ]
    finished = next(event for event in events if event.kind is BuildEventKind.STEP_FINISHED and event.step == 6)
    assert finished.seconds == 1.1
    assert finished.name == "[b 1/1] RUN for i in 1 2 3; do echo b$i; sleep 0.2; done"


def test_what_a_step_prints_is_not_taken_for_another_steps_end() -> None:
    events, _ = read(RECORDED)
    assert ("step-output", "#6 DONE 9.9s") in of_step(events, 8)
    assert sum(event.kind is BuildEventKind.STEP_FINISHED for event in events if event.step == 6) == 1


def test_cached_failed_and_unfinished_lines() -> None:
    events, parser = read(RECORDED)
    assert of_step(events, 4) == [("step-started", ""), ("step-cached", "")]
    assert of_step(events, 5)[-2:] == [("step-output", "partial"), ("step-finished", "")]
    assert of_step(events, 12)[-2] == ("step-output", "caf\u00e9 doomed")
    assert of_step(events, 12)[-1][0] == "step-failed"
    assert of_step(events, 8)[-1][0] == "step-output"
    assert parser.failed is parser.steps[12]
    assert list(parser.steps[12].tail) == ["FROM imageforge/debian:bookworm AS base", "", "caf\u00e9 doomed"]
    assert parser.summary[-1].startswith("executor failed running")


def test_transfers_are_noise() -> None:
    for text in (RECORDED, BUILDX):
        events, _ = read(text)
        texts = [event.text for event in events if event.kind is BuildEventKind.STEP_OUTPUT]
        assert not [
            said for said in texts if "transferring" in said or "extracting" in said or said.startswith("sha256")
        ]


def test_buildx_prints_the_same_grammar() -> None:
    events, parser = read(BUILDX)
    assert of_step(events, 5) == [
        ("step-started", ""),
        ("step-output", "about to fail"),
        ("step-failed", 'process "/bin/sh -c false" did not complete successfully: exit code: 1'),
    ]
    assert "Dockerfile:2" in parser.summary


@given(size=st.integers(1, 200))
def test_pieces_of_any_size_give_the_same_events(size: int) -> None:
    assert read(RECORDED, size)[0] == read(RECORDED)[0]
    assert read(BUILDX, size)[0] == read(BUILDX)[0]


@given(cuts=st.lists(st.integers(0, len(RECORDED.encode())), max_size=30))
def test_cuts_anywhere_give_the_same_events(cuts: list[int]) -> None:
    raw = RECORDED.encode()
    bounds = [0, *sorted(cuts), len(raw)]
    parser = ProgressParser()
    events = [event for low, high in itertools.pairwise(bounds) for event in parser.feed(raw[low:high])]
    assert [*events, *parser.finish()] == read(RECORDED)[0]


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(raw: bytes) -> None:
    read(raw, 7)


@given(st.lists(st.text(alphabet="#0123456789 .DONECAHRs\r\n[]:", max_size=30), max_size=20))
def test_anything_that_looks_like_progress_is_survived(lines: list[str]) -> None:
    events, _ = read("\n".join(lines))
    for event in events:
        assert event.step >= 0


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
def test_a_line_without_end_costs_no_memory(size: int) -> None:
    text = "#1 RUN x\n#1 0.1 " + "x" * 500_000 + "\n#1 0.2 then\n#1 DONE 0.3s\n"
    events, parser = read(text, size)
    lines = [event.text for event in events if event.kind is BuildEventKind.STEP_OUTPUT]
    assert lines[-1] == "then"
    assert len(parser.steps[1].tail) == 2
    if size < 1 << 16:
        assert len(lines[0]) < 70_000


def test_a_progress_bar_shows_its_last_state() -> None:
    events, _ = read("#1 RUN pip\n#1 0.1 10%\r 50%\r100%\r\n")
    assert events[-1].text == "100%"


def test_the_tail_is_the_last_fifteen_lines() -> None:
    _, parser = read("#1 RUN x\n" + "".join(f"#1 0.1 line {number}\n" for number in range(100)))
    assert list(parser.steps[1].tail) == [f"line {number}" for number in range(85, 100)]
