"""[lint] of imageforge.toml and [tool.imageforge.lint] of pyproject.toml: one policy, and errors with their place."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from imageforge.config import load_repository
from imageforge.config.repository import LARGEST, parse_size
from imageforge.errors import ConfigError, GateRefused
from imageforge.pipeline.event import EventKind, Recorder
from imageforge.pipeline.gate import lint
from imageforge.pipeline.plan import Plan, Request, plan
from linters import Policy, Profile, Severity, Waiver

WHOLE = """\
{table}
profile = "strict"
fail-on = "warning"
require = "measured"
ignore-comments = false
registries = ["registry.example.org"]
rules = {{IF003 = "off", IF203 = "warning", DL3008 = {{severity = "error"}}}}
budgets = {{size = "200MB", waste = 4096}}
waivers = [{{rule = "IF402", reason = "a tool", until = 2030-01-31, paths = ["tools/*"]}}]
"""


@pytest.mark.parametrize(
    ("file", "table"), [("imageforge.toml", "[lint]"), ("pyproject.toml", "[tool.imageforge.lint]")]
)
def test_all_of_it_becomes_a_policy(tmp_path: Path, file: str, table: str) -> None:
    (tmp_path / file).write_text(WHOLE.format(table=table))
    section = load_repository(tmp_path).lint
    assert section.fail_on == "warning"
    assert section.policy() == Policy(
        profile=Profile.STRICT,
        severities={"IF003": None, "IF203": Severity.WARNING, "DL3008": Severity.ERROR},
        waivers=(Waiver(rule="IF402", reason="a tool", until=datetime.date(2030, 1, 31), paths=("tools/*",)),),
        registries=("registry.example.org",),
        size_budget=200_000_000,
        waste_budget=4096,
        require_measured=True,
        comments=False,
    )


def test_a_project_of_python_has_its_app_in_one_file_and_its_rules_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "imageforge.toml").write_text('[app]\nname = "shop"\n')
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.imageforge.lint]\nfail-on = "info"\n')
    config = load_repository(tmp_path)
    assert (config.app.name, config.lint.fail_on) == ("shop", "info")


@pytest.mark.parametrize("text", ["[tool.ruff]\nline-length = 120\n", "no toml of imageforge's\n", "[tool]\nx = 1\n"])
def test_a_file_of_others_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert load_repository(tmp_path).lint.policy() == Policy()


@pytest.mark.parametrize(
    ("file", "text", "place", "message", "hint"),
    [
        ("imageforge.toml", "[lint]\nproflie = 1\n", ":2: lint.proflie", "unknown key", "`profile`"),
        ("imageforge.toml", '[lint]\nprofile = "hard"\n', ":2: lint.profile", "'strict', 'default' or", "mend"),
        ("imageforge.toml", '[lint.rules]\nIF3 = "off"\n', ":2: lint.rules.IF3", "no rule `IF3`", "did you mean"),
        ("imageforge.toml", '[lint.rules]\nIF301 = "of"\n', ":1: lint.rules", "expected one of off, error", "mend"),
        (
            "imageforge.toml",
            "[lint.rules.IF301]\nsiez = 3\n",
            ":2: lint.rules.IF301.siez",
            "IF301 has no option `siez`",
            "severity",
        ),
        (
            "imageforge.toml",
            '[[lint.waivers]]\nrule = "ZZ9"\nreason = "why"\nuntil = 2030-01-01\n',
            ":2: lint.waivers.0.rule",
            "no rule `ZZ9`",
            "imageforge rules",
        ),
        (
            "imageforge.toml",
            '[[lint.waivers]]\nrule = "IF402"\nreson = "why"\nuntil = 2030-01-01\n',
            ":3: lint.waivers.0.reson",
            "unknown key `reson`",
            "`reason`",
        ),
        ("imageforge.toml", '[lint.budgets]\nsize = "big"\n', ":2: lint.budgets.size", "no size", "mend"),
        ("imageforge.toml", "[lint.budgets]\nsise = 1\n", ":2: lint.budgets.sise", "unknown key", "`size`"),
        (
            "pyproject.toml",
            '[tool.imageforge.lint]\nfail-no = "error"\n',
            ":2: tool.imageforge.lint.fail-no",
            "unknown key",
            "`fail-on`",
        ),
        (
            "pyproject.toml",
            '[tool.imageforge]\napp = "x"\n',
            ":2: tool.imageforge.app",
            "unknown key `app`",
            "imageforge.toml",
        ),
        ("pyproject.toml", "[tool.imageforge.lint]\nfail-on =\n", "pyproject.toml", "not TOML", "mend"),
        ("pyproject.toml", "[tool.imageforge]\nlint = 3\n", "tool.imageforge.lint", "", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, file: str, text: str, place: str, message: str, hint: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_repository(tmp_path)
    error = caught.value
    assert error.code == "config-invalid"
    assert file in error.subject
    assert place in error.subject
    assert message in error.message
    assert error.hint
    assert hint in error.hint


def test_both_files_cannot_say_it(tmp_path: Path) -> None:
    (tmp_path / "imageforge.toml").write_text("[lint]\n")
    (tmp_path / "pyproject.toml").write_text("[tool.imageforge.lint]\n")
    with pytest.raises(ConfigError) as caught:
        load_repository(tmp_path)
    assert "keep one of the two" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "size"),
    [("200MB", 200_000_000), ("1.5 GiB", 1_610_612_736), ("4096", 4096), ("1k", 1000), ("2 Ki", 2048), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1XB", "1 2"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


def _planned(folder: Path, config: str) -> Plan:
    (folder / "Dockerfile").write_text(
        f"FROM debian:12@sha256:{'0' * 64}\n# imageforge ignore=IF106 reason=it is short\nCMD run it\nMAINTAINER a\n"
    )
    (folder / "imageforge.toml").write_text(config)
    return plan(Request(path=folder, name="shop"), load_repository(folder))


def _linted(folder: Path, config: str) -> tuple[list[tuple[str, bool]], str]:
    """Rule and whether it is waived of each finding's event, and the stage's summary."""
    events: list[tuple[str, bool]] = []
    recorder = Recorder(
        listeners=(
            lambda event: (
                events.append((event.data["rule"], event.data["waived"])) if event.kind is EventKind.FINDING else None
            ),
        )
    )
    with recorder.stage("lint") as log:
        lint(_planned(folder, config), log, memory=folder / "memory")
    return events, log.summary


def test_the_gate_of_a_build_obeys_it(tmp_path: Path) -> None:
    events, summary = _linted(tmp_path, '[lint]\nrules = {IF003 = "off"}\n')
    assert events == [("IF402", False)]
    assert summary == "Dockerfile: 0 errors, 1 warning, 1 ignored"
    day = datetime.date.today().isoformat()
    waived = f'[lint]\nwaivers = [{{rule = "IF402", reason = "a tool", until = {day}}}]\n'
    events, summary = _linted(tmp_path, f'{waived}fail-on = "error"\nprofile = "default"\n')
    assert ("IF402", True) in events
    assert summary.endswith("1 waived, 1 ignored")


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ('[lint]\nfail-on = "warning"\n', "IF402"),
        ('[lint]\nrules = {IF003 = "error"}\n', "IF003"),
        ('[lint]\nignore-comments = false\nrules = {IF106 = "error"}\n', "IF106"),
        ('[lint]\nregistries = ["registry.example.org"]\n', "IF022"),
    ],
)
def test_the_gate_refuses_what_the_project_minds(tmp_path: Path, config: str, first: str) -> None:
    with pytest.raises(GateRefused) as caught:
        _linted(tmp_path, config)
    assert f"first {first}: " in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("size", ["9" * 400, "-1", "1e400"])
def test_no_budget_is_beyond_numbers(size: str, tmp_path: Path) -> None:
    (tmp_path / "imageforge.toml").write_text(f'[lint.budgets]\nsize = "{size}"\n')
    with pytest.raises(ConfigError, match=r"lint\.budgets\.size"):
        load_repository(tmp_path)
    (tmp_path / "imageforge.toml").write_text("[lint.budgets]\nsize = -1\n")
    with pytest.raises(ConfigError, match=r"lint\.budgets\.size"):
        load_repository(tmp_path)


@pytest.mark.parametrize("kind", ["device", "pipe", "large"])
def test_a_file_that_has_no_end_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    for name in ("imageforge.toml", "pyproject.toml"):
        file = tmp_path / name
        if kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(file)
        else:
            file.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(ConfigError, match=r"no regular file|larger than"):
        load_repository(tmp_path)
    (tmp_path / "imageforge.toml").unlink()
    assert load_repository(tmp_path).lint.policy() == Policy()
