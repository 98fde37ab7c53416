"""Verdicts over rows of results, held against the kubelet's worker written out plainly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.manifest.probe import Probe
from runtime.verdict import Kind, Verdict, is_asked, pause, warns

RESULTS = st.lists(st.sampled_from([True, False, None]), max_size=40)
THRESHOLD = st.integers(1, 5)


def worker(kind: Kind, results: list[bool | None], successes: int, failures: int) -> list[bool | None]:
    """doProbe of kubernetes/pkg/kubelet/prober/worker.go, in its own words."""
    result_manager: bool | None = {"readiness": False, "liveness": True, "startup": None}[kind]
    last_result: bool | None = None
    result_run = 0
    on_hold = False
    out = []
    for result in results:
        if not on_hold and result is not None:
            if last_result == result:
                result_run += 1
            else:
                last_result = result
                result_run = 1
            below = (not result and result_run < failures) or (result and result_run < successes)
            if not below:
                result_manager = result
                if kind != "readiness" and not result:
                    on_hold = True
                    result_run = 0
        out.append(result_manager)
    return out


@given(st.sampled_from(Kind), RESULTS, THRESHOLD, THRESHOLD)
def test_a_verdict_is_the_kubelets(kind: Kind, results: list[bool | None], successes: int, failures: int) -> None:
    probe = Probe(success_threshold=successes, failure_threshold=failures)
    verdict, seen = Verdict.first(kind), []
    for result in results:
        verdict = verdict.after(result, probe)
        seen.append(verdict.passes)
    assert seen == worker(kind, results, successes, failures)


@given(st.sampled_from(Kind), RESULTS, THRESHOLD)
def test_an_error_of_the_one_who_asks_changes_nothing(kind: Kind, results: list[bool | None], failures: int) -> None:
    probe = Probe(failure_threshold=failures)
    with_errors = without = Verdict.first(kind)
    for result in results:
        with_errors = with_errors.after(result, probe)
        without = without if result is None else without.after(result, probe)
    assert with_errors == without


def test_what_a_container_is_before_it_was_asked() -> None:
    assert {kind: Verdict.first(kind).passes for kind in Kind} == {
        Kind.STARTUP: None, Kind.LIVENESS: True, Kind.READINESS: False
    }  # fmt: skip


@pytest.mark.parametrize("kind", [Kind.STARTUP, Kind.LIVENESS])
def test_one_that_ends_its_container_says_nothing_more(kind: Kind) -> None:
    probe = Probe(failure_threshold=2)
    verdict = Verdict.first(kind).after(False, probe)
    assert not verdict.held
    verdict = verdict.after(False, probe)
    assert (verdict.held, verdict.passes) == (True, False)
    assert verdict.after(True, probe) == verdict


def test_readiness_comes_and_goes() -> None:
    probe = Probe(success_threshold=2, failure_threshold=3)
    verdict, seen = Verdict.first(Kind.READINESS), []
    for ok in [True, False, True, True, False, False, True, False, False, False, True]:
        verdict = verdict.after(ok, probe)
        seen.append(verdict.passes)
    assert seen == [False, False, False, True, True, True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("started", "ending", "asked"),
    [
        (False, False, {Kind.STARTUP}),
        (True, False, {Kind.LIVENESS, Kind.READINESS}),
        (True, True, {Kind.READINESS}),
        (False, True, set()),
    ],
)
def test_startup_gates_the_others_and_readiness_alone_goes_on_to_the_end(
    started: bool, ending: bool, asked: set[Kind]
) -> None:
    assert {kind for kind in Kind if is_asked(kind, started=started, ending=ending)} == asked


def test_who_has_not_passed_yet_is_asked_more_often_unless_that_costs_a_process() -> None:
    first = Verdict.first(Kind.READINESS)
    assert [pause(Probe(period=10), first, ran_for) for ran_for in (0.5, 2.0, 60.0)] == [0.02, 0.1, 0.25]
    assert pause(Probe(period=10, command=("true",)), first, 0.5) == 10
    assert pause(Probe(period=10), Verdict.first(Kind.LIVENESS), 0.5) == 10
    passed = first.after(True, Probe())
    assert pause(Probe(period=10), passed, 0.5) == 10
    gone = passed.after(False, Probe(failure_threshold=1))
    assert (gone.passes, pause(Probe(period=10), gone, 0.5)) == (False, 10)


def test_of_several_successes_each_but_the_first_waits_its_period() -> None:
    probe = Probe(period=10, success_threshold=2)
    assert pause(probe, Verdict.first(Kind.READINESS).after(True, probe), 0.5) == 10


def test_of_one_on_its_way_the_first_failure_in_the_time_of_others_is_warned_of() -> None:
    """In its first second it is asked far more often than its period says, and most programs come to listen then."""
    probe = Probe(period=10, failure_threshold=3)
    failed = Verdict.first(Kind.READINESS).after(False, probe)
    told = [warns(probe, failed, ran_for, warned=False) for ran_for in (0.02, 0.9, 1.0, 30.0)]
    assert told == [False, False, True, True]
    assert not warns(probe, failed, 30.0, warned=True)
    nobody_asked = Verdict.first(Kind.READINESS).after(None, probe)
    assert not warns(probe, nobody_asked, 30.0, warned=False), "what follows is a failure, and is told"
    # A command is asked in its period alone, as elsewhere.
    assert warns(Probe(period=10, command=("true",)), failed, 0.02, warned=False)
    # Of one that has passed before, or is ended for it, each.
    assert warns(probe, Verdict.first(Kind.LIVENESS).after(False, probe), 0.02, warned=True)
    once = Probe(period=10, failure_threshold=1)
    assert warns(once, Verdict.first(Kind.STARTUP).after(False, once), 0.02, warned=True)
