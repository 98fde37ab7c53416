"""What of an image's findings counts: waivers, comments, severities; at the gate, and where it is released."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imageforge.config import RepositoryConfig
from imageforge.errors import GateRefused
from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.image_gate import refusal, together, told
from imageforge.pipeline.plan import Plan, Request, plan
from imageforge.pipeline.release import _check_user
from linters import Basis, Finding, LintReport, Principle, Severity

TODAY = datetime.date.today()
ROOT = Finding(
    rule="IF402",
    severity=Severity.ERROR,
    principle=Principle.NON_ROOT,
    message="the image runs as root",
    file="shop",
    line=0,
    fix="add USER 10001 before CMD",
    basis=Basis.IMAGE,
)
IMAGE = LintReport(file="shop", findings=(ROOT,))


def planned(folder: Path, comment: str = "", **lint: Any) -> Plan:
    (folder / "Dockerfile").write_text(f"{comment}FROM scratch\n")
    return plan(Request(path=folder, name="shop"), RepositoryConfig.model_validate({"lint": lint}))


def waiver(rule: str, days: int) -> dict[str, Any]:
    return {"rule": rule, "reason": "a tool of ours", "until": TODAY + datetime.timedelta(days=days)}


LETS_PASS: list[tuple[str, dict[str, Any]]] = [
    ("", {"waivers": (waiver("IF402", 1),)}),
    ("", {"waivers": (waiver("IF401", 1),)}),  # who waives what the file says means what it makes, too
    ("# imageforge ignore=IF402 reason=a tool\n", {}),
    ("# imageforge ignore=IF401,IF206 reason=a tool\n", {}),
    ("", {"rules": {"IF402": "off"}}),
    ("", {"rules": {"IF402": "warning"}}),
]
REFUSE: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("", {"waivers": (waiver("IF402", -1),)}),
    ("", {"waivers": (waiver("IF211", 1),)}),
    ("# imageforge ignore=IF402\n", {}),  # without a reason
    ("# imageforge ignore=IF402 reason=a tool\n", {"ignore-comments": False}),
    ("", {"rules": {"IF402": "warning"}, "fail-on": "warning"}),
]


@pytest.mark.parametrize(("comment", "lint"), LETS_PASS)
def test_what_lets_an_image_run_as_root(tmp_path: Path, comment: str, lint: dict[str, Any]) -> None:
    given = planned(tmp_path, comment, **lint)
    with Recorder().stage("image") as log:
        assert told(IMAGE, given, log).at_least(given.fail_on) == ()
    # The gate has let it pass, so the release does too.
    assert _check_user(given, {"config": {}}) is False


@pytest.mark.parametrize(("comment", "lint"), REFUSE)
def test_what_does_not(tmp_path: Path, comment: str, lint: dict[str, Any]) -> None:
    given = planned(tmp_path, comment, **lint)
    with Recorder().stage("image") as log:
        assert told(IMAGE, given, log).at_least(given.fail_on)
    with pytest.raises(GateRefused, match="run as root"):
        _check_user(given, {"config": {"User": ""}})


def test_what_is_waived_is_told_as_that_and_a_waiver_that_is_over_is_named(tmp_path: Path) -> None:
    events: list[Event] = []
    recorder = Recorder(listeners=(events.append,))
    with recorder.stage("image") as log:
        told(IMAGE, planned(tmp_path, waivers=(waiver("IF402", 1),)), log)
    assert [event.data["waived"] for event in events if event.kind is EventKind.FINDING] == [True]
    with recorder.stage("image") as log:
        told(IMAGE, planned(tmp_path, waivers=(waiver("IF402", -1),)), log)
    assert [event.text for event in events if event.kind is EventKind.NOTE] == [
        f"the waiver of IF402 ended on {TODAY - datetime.timedelta(days=1)}: a tool of ours"
    ]


def test_a_refusal_has_the_waiver_that_would_let_it_pass(tmp_path: Path) -> None:
    error = refusal([ROOT, ROOT], Severity.ERROR, TODAY)
    assert (error.code, error.kind, error.message) == (
        "image-refused",
        "refused",
        "2 findings at error or above, first IF402: the image runs as root",
    )
    lines = (error.hint or "").splitlines()[1:]
    file = tmp_path / "imageforge.toml"
    file.write_text("\n".join(line.strip() for line in lines))
    from imageforge.config import load_repository

    (proposed,) = load_repository(tmp_path).lint.waivers
    assert (proposed.rule, proposed.until > TODAY) == ("IF402", True)


def test_what_the_image_says_takes_the_place_of_the_files_guess() -> None:
    guess = replace(ROOT, severity=Severity.WARNING, line=3, basis=Basis.FILE)
    other = replace(guess, rule="IF301")
    file = LintReport(file="Dockerfile", findings=(guess, other), notes=("a",))
    assert together(file, replace(IMAGE, notes=("b",))).findings == (other, ROOT)
    assert together(file, LintReport(file="shop")).findings == (other,)
    assert together(file, IMAGE).file == "Dockerfile"
    assert together(file) is file
