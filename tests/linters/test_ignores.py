"""Ignore comments: ours, hadolint's and BuildKit's, for a line, a stage and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from linters import LintReport, Policy, Profile, Severity, check
from linters.ignores import check_options

STRICT = Policy(profile=Profile.STRICT)


def report(text: str, policy: Policy | None = None) -> LintReport:
    return check(Path("Dockerfile"), text=text, policy=policy)


def found(text: str, policy: Policy | None = None) -> set[tuple[str, int]]:
    # The bases have no digest, which is not what is looked at here.
    return {(one.rule, one.line) for one in report(text, policy).findings if one.rule != "IF202"}


TWO_STAGES = """\
{above}FROM a:1 AS one
RUN apt-get install b
FROM one
RUN apt-get install c
USER 1
"""


@pytest.mark.parametrize(
    ("above", "left"),
    [
        ("", {2, 4}),
        ("# hadolint stage ignore=DL3014\n", {5}),
        ("# imageforge stage ignore=DL3014 reason=they answer\n", {5}),
        ("# hadolint global ignore=DL3014\n", set()),
        ("# imageforge global ignore=DL3014, DL3015 reason=they answer\n", set()),
        ("# imageforge global ignore=DL3014\n", {3, 5}),
        ("# hadolint ignore=DL3014\n", {3, 5}),
    ],
)
def test_how_far_a_comment_reaches(above: str, left: set[int]) -> None:
    said = found(TWO_STAGES.format(above=above))
    assert {line for rule, line in said if rule == "DL3014"} == left


def test_a_comment_anywhere_can_be_for_the_whole_file() -> None:
    text = TWO_STAGES.format(above="") + "# imageforge global ignore=DL3014 reason=they answer\n"
    assert "DL3014" not in {rule for rule, _ in found(text)}


@pytest.mark.parametrize(
    "comment",
    [
        "# hadolint ignore=DL4000",
        "# hadolint ignore=DL3001,DL4000 # why",
        "# hadolint ignore=IF003 reason=why",
        "# imageforge ignore=DL4000 reason=why",
        "# imageforge ignore=MaintainerDeprecated reason=why",
        "# check=skip=MaintainerDeprecated",
        "# check=skip=UndefinedVar,MaintainerDeprecated why",
        "# check=skip=all",
    ],
)
def test_a_rule_goes_by_all_its_names(comment: str) -> None:
    text = f"FROM a:1\n{comment}\nMAINTAINER b\nUSER 1\n"
    (one,) = [one for one in report(text).suppressed if one.finding.rule == "IF003"]
    assert one.cause.value == "comment"
    assert found(text) == set()


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# hadolint ignore=DL4000", False),
        ("# hadolint ignore=DL4000 # it is shown", True),
        ("# check=skip=MaintainerDeprecated", False),
        ("# check=skip=MaintainerDeprecated # it is shown", True),
        ("# imageforge ignore=IF003 reason=it is shown", True),
    ],
)
def test_strict_wants_a_reason_of_everybody(comment: str, silent: bool) -> None:
    text = f"FROM a:1@sha256:{'0' * 64}\n{comment}\nMAINTAINER b\nUSER 1\n"
    said = {rule for rule, _ in found(text, STRICT)}
    assert said == (set() if silent else {"IF001", "IF003"})


def test_comments_can_be_made_to_count_for_nothing() -> None:
    text = "FROM a:1\n# imageforge ignore=IF003 reason=why\nMAINTAINER b\nUSER 1\n"
    assert found(text) == set()
    assert found(text, Policy(comments=False)) == {("IF003", 3)}


def test_the_directive_on_top_is_obeyed() -> None:
    text = "# syntax=docker/dockerfile:1\n# check=skip=FromAsCasing;error=true\nFROM a:1 as b\nMAINTAINER c\nUSER 1\n"
    (left,) = [one for one in report(text).findings if one.rule != "IF202"]
    assert (left.rule, left.severity) == ("IF003", Severity.ERROR)
    # BuildKit's checks are off; what it has none for is not.
    everything = found("# check=skip=all\nFROM a:1 as b\nMAINTAINER c\nADD d.txt /\nUSER 1\n")
    assert everything == {("IF004", 4)}


def test_a_directive_is_nothing_to_complain_of() -> None:
    assert found("# check=error=true\nFROM a:1\nUSER 1\n", STRICT) == set()


@pytest.mark.parametrize(
    ("text", "skipped", "error"),
    [
        ("skip=A,B;error=true", {"A", "B"}, True),
        ("error=false;skip=all", {"*"}, False),
        ("skip=", set(), False),
        ("nonsense", set(), False),
    ],
)
def test_options_of_the_directive(text: str, skipped: set[str], error: bool) -> None:
    options = check_options(text)
    assert (options.skipped, options.error) == (skipped, error)


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# imageforge ignore=IF003", "gives no reason"),
        ("# imageforge ignore reason=x", "names no rule"),
        ("# imageforge stage ignore=IF003 reason=x", "for a stage and stands above no FROM"),
        ("# hadolint ignore=DL4000 because", "names no rule"),
    ],
)
def test_one_that_silences_nothing_is_told(comment: str, said: str) -> None:
    (told,) = [one for one in report(f"FROM a:1\n{comment}\nMAINTAINER b\nUSER 1\n").findings if one.rule == "IF001"]
    assert said in told.message
