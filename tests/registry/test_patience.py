"""How long is waited, and when it is given up: pure."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.patience import ONCE, Patience, retry_after


@given(
    failed=st.integers(1, 20),
    hung=st.integers(0, 20),
    asked=st.none() | st.floats(0, 1000),
    chance=st.floats(0, 1),
)
def test_pauses_are_bounded_and_what_is_asked_for_is_waited(
    failed: int, hung: int, asked: float | None, chance: float
) -> None:
    patience = Patience()
    found = patience.pause(failed, hung, asked=asked, chance=chance)
    if failed >= patience.tries or hung >= patience.hangs or (asked or 0) > patience.longest:
        assert found is None
    else:
        assert found is not None
        assert found >= (asked or 0)
        assert found <= (asked or 0) + patience.most


def test_pauses_grow_and_differ() -> None:
    patience = Patience(tries=9, first=1.0, most=8.0)
    longest = [patience.pause(failed, 0, asked=None, chance=1.0) for failed in range(1, 7)]
    shortest = [patience.pause(failed, 0, asked=None, chance=0.0) for failed in range(1, 7)]
    assert longest == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert shortest == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert ONCE.pause(1, 0, asked=None, chance=0.5) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("Fri, 27 Nov 2026 18:00:10 GMT", 10.0),
        ("Fri, 27 Nov 2026 17:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_registry_asks_for(header: str | None, seconds: float | None) -> None:
    found = retry_after(header, 1795802400.0)
    assert found == seconds or (found is not None and seconds is not None and math.isclose(found, seconds))
