"""SECURITY.md: each claim names its test, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROWS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "SECURITY.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| claim", "| ---"))
]


def test_there_are_claims() -> None:
    assert len(ROWS) > 15
    assert all(len(row) == 2 for row in ROWS)


@pytest.mark.parametrize(("claim", "tests"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_each_claim_names_a_test_that_is_there(claim: str, tests: str) -> None:
    named = NAMED.findall(tests)
    assert named, claim
    for file, name in named:
        text = (ROOT / file).read_text()
        assert not name or re.search(rf"^\s*(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"
