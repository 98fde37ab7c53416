"""Waiting for the balancer behind a Service that was just made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imageforge.cli.expose import ROUTE_SECONDS, await_route
from runtime import ServiceStatus


def status(*, served: bool, endpoints: tuple[str, ...] = ("10.0.0.2",), message: str = "") -> ServiceStatus:
    return ServiceStatus(
        name="web",
        namespace="default",
        type="ClusterIP",
        address="",
        ports=(),
        endpoints=endpoints,
        message=message,
        served=served,
    )


class Time:
    """A clock that goes on by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waited(looks: Iterator[ServiceStatus | None]) -> tuple[str, float]:
    time = Time()
    return await_route(lambda: next(looks), clock=lambda: time.now, sleep=time.sleep), time.now


def test_it_is_waited_for_until_the_balancer_has_it() -> None:
    note, seconds = waited(iter([status(served=False)] * 3 + [status(served=True)]))
    assert note == ""
    assert 0 < seconds < 1


def test_a_balancer_that_does_not_come_to_it_is_told_with_the_reason() -> None:
    note, seconds = waited(iter([status(served=False, message="its address 10.0.0.9 is not on br-1: no")] * 1000))
    assert seconds == pytest.approx(ROUTE_SECONDS, abs=0.1)
    assert note.startswith("the balancer does not lead there yet, 15 s after: its address 10.0.0.9 is not on br-1: no;")


def test_what_a_request_meets_all_the_same_is_told() -> None:
    assert waited(iter([status(served=True, endpoints=())]))[0].startswith("no replica is ready: requests")
    assert waited(iter([status(served=False), None]))[0] == "it was deleted meanwhile"
