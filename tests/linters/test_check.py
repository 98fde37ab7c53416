"""The report: refusals first, then what is found, waived, masked and noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from linters import DockerfileError, Finding, LintReport, Severity, check


def report(text: str, **options: object) -> LintReport:
    return check(Path("Dockerfile"), text=text, **options)  # type: ignore[arg-type]


def found(text: str, rule: str, **options: object) -> list[Finding]:
    return [one for one in report(text, **options).findings if one.rule == rule]


def refusal(path: Path, **options: object) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        check(path, **options)  # type: ignore[arg-type]
    return caught.value


def test_missing_file(tmp_path: Path) -> None:
    error = refusal(tmp_path / "Dockerfile", display_name="Dockerfile")
    assert (error.code, error.subject, error.kind) == ("dockerfile-missing", "Dockerfile", "usage")
    assert error.hint
    assert refusal(tmp_path / "a" / "b").code == "dockerfile-missing"


def test_unreadable_files(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "dockerfile-unreadable"
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(tmp_path / "loop").code == "dockerfile-unreadable"
    (tmp_path / "wide").write_bytes("FROM a:1\n".encode("utf-16"))
    assert "UTF-16" in refusal(tmp_path / "wide").message
    (tmp_path / "huge").write_bytes(b"#" * 1024 * 1024 + b"\n")
    assert "larger than 1 MiB" in refusal(tmp_path / "huge").message
    assert refusal(tmp_path / "nul\0byte").code == "dockerfile-unreadable"


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n\n", "\ufeff", "# syntax=docker/dockerfile:1\n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(text, encoding="utf-8")
    assert refusal(path).code == "dockerfile-empty"


def test_syntax_error_has_line_excerpt_and_caret(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM a:1\nRUN one \\\n  two\n\tCOPPY x y\nUSER\n", encoding="utf-8")
    error = refusal(path, display_name="app/Dockerfile")
    assert error.code == "dockerfile-syntax"
    assert error.subject == "app/Dockerfile:4"
    assert error.message.splitlines() == [
        "unknown instruction `COPPY`, did you mean COPY?",
        "  4 | \tCOPPY x y",
        "    | \t^^^^^",
        "(1 more like it)",
    ]


def test_caret_in_a_very_long_line(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM a:1\nENV A={'x' * 5000} B C=1\n", encoding="utf-8")
    message, source, caret = refusal(path).message.splitlines()
    assert "`B` has no value" in message
    assert len(source) < 200
    assert source[caret.index("^")] == "B"
    path.write_text(f"FROM a:1\n{'x' * 5000} y\n", encoding="utf-8")
    assert max(map(len, refusal(path).message.splitlines())) < 200


@pytest.mark.parametrize("text", ["ARG A=1\n", "# syntax=x\nARG A\nARG B=2\n"])
def test_a_file_without_a_stage_is_refused(text: str) -> None:
    """Engine 20.10.24 dies of one, so this is the gate that protects it."""
    error = refusal(Path("Dockerfile"), text=text)
    assert error.code == "dockerfile-syntax"
    assert "no FROM" in error.message


def test_unknown_target() -> None:
    error = refusal(Path("Dockerfile"), text="FROM a:1 AS one\n", target="two")
    assert error.code == "dockerfile-target-unknown"


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_bytes(b"# gr\xfc\xdfe\nFROM debian\nLABEL a=\xff\xfe\x1b[31m\nUSER 10001\n")
    whole = check(path)
    assert [one.rule for one in whole.findings] == ["IF201"]
    path.write_bytes(b"FROM a:1\nENV \xff\x1b[31m\n")
    refusal(path).message.encode("utf-8")
    assert "\x1b" not in refusal(path).message


GOOD = """\
ARG BASE_IMAGE=imageforge/python:3.11
FROM ${BASE_IMAGE} AS build
WORKDIR /build
COPY requirements.txt .
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt
FROM ${BASE_IMAGE}
WORKDIR /app
COPY --from=build /venv /venv
COPY src ./src
USER 10001
EXPOSE 8080
CMD ["/venv/bin/gunicorn", "shop:app"]
"""


def test_a_good_file_has_no_findings() -> None:
    whole = report(GOOD)
    assert whole.findings == ()
    assert whole.notes == ()
    assert whole.base_image == "imageforge/python:3.11"
    assert report(GOOD, build_args={"BASE_IMAGE": "debian"}).base_image == "debian"


def test_findings_come_in_file_order_with_place_and_fix() -> None:
    install = "    apt-get install -y --no-install-recommends gcc"
    whole = report(f"FROM debian\nRUN apt-get update && \\\n{install}\nCMD a &\n")
    assert [(one.rule, one.line, one.column, one.end_column) for one in whole.findings] == [
        ("IF201", 1, 6, 12),
        ("IF402", 1, 6, 12),
        ("IF301", 2, 5, 19),
        ("IF302", 3, 5, 51),
        ("IF102", 4, 5, 6),
        ("IF106", 4, 5, 8),
    ]
    assert all(one.fix and one.file == "Dockerfile" for one in whole.findings)
    assert whole.findings[3].excerpt == install
    assert [one.rule for one in whole.at_least(Severity.ERROR)] == ["IF201", "IF102"]


def test_hadolint_speaks_too_and_gives_way() -> None:
    text = "FROM debian:bookworm\nRUN cd /x; apt-get install curl\nUSER 10001\nCMD service x start\n"
    rules = {(one.rule, one.source) for one in report(text).findings}
    assert ("DL3014", "hadolint") in rules
    assert ("IF102", "imageforge") in rules
    assert not {"DL3025", "DL3008", "DL3009", "DL3001"} & {rule for rule, _ in rules}


def test_hadolint_on_what_is_not_built_is_left_out() -> None:
    text = "FROM a:1 AS one\nRUN apt-get install x\nFROM b:1 AS two\nUSER 1\n"
    assert found(text, "DL3014") == []
    assert len(found(text, "DL3014", target="one")) == 1
    assert report(text).notes == ("not checked, since the target does without: one",)
    assert report(text, target="one").target == "one"


def test_relative_workdir_is_fine_below_an_absolute_one() -> None:
    assert found("FROM a:1\nWORKDIR /a\nWORKDIR b\nUSER 1\n", "IF005") == []
    assert len(found("FROM a:1\nWORKDIR b\nUSER 1\n", "IF005")) == 1


def test_what_hadolint_cannot_read_is_a_note() -> None:
    whole = report("FROM a:1\nRUN --mount=from=x:1,source=/a x\nUSER 1\nENTRYPOINT a &\n")
    assert [one.rule for one in whole.at_least(Severity.ERROR)] == ["IF102"]
    assert len(whole.notes) == 1
    assert "line 2" in whole.notes[0]


def test_heredocs_reach_hadolint_in_one_piece() -> None:
    text = "FROM a:1\nRUN <<EOF\necho $1 | cat\nEOF\nRUN <<-E2\n\tx\n\tE2\nRUN apt-get install curl\nUSER 1\n"
    assert [one.line for one in found(text, "DL3014")] == [8]
    assert report(text).notes == ()


def test_scripts_for_other_interpreters_are_not_shell() -> None:
    text = "FROM a@sha256:1\nRUN <<EOF\n#!/usr/bin/env python3\nprint('sudo', [x for x in (1, 2)])\nEOF\n"
    text += "RUN python3 - <<EOF\nimport os; os.system('''sudo apt-get update''')\nEOF\nUSER 1\n"
    assert report(text).findings == ()


def test_ignore_comments() -> None:
    base = "FROM a:1\nUSER 1\n{}CMD a &\n"
    assert len(found(base.format(""), "IF102")) == 1
    assert found(base.format("# imageforge ignore=IF102 reason=it is a test\n"), "IF102") == []
    assert found(base.format("# imageforge ignore=IF106, if102 reason=a test\n# more\n"), "IF102") == []
    for comment in ("# imageforge ignore=IF102", "# imageforge ignore=IF102 reason=", "# imageforge ignore reason=x"):
        text = base.format(f"{comment}\n")
        assert len(found(text, "IF102")) == 1
        assert [one.line for one in found(text, "IF001")] == [3]
    parted = base.format("# imageforge ignore=IF102 reason=x\n\n")
    assert len(found(parted, "IF102")) == 1
    assert len(found("FROM a:1\nUSER 1\n# imageforge ignore=IF102 reason=x\n", "IF001")) == 1


def test_ignore_counts_for_hadolint_and_for_its_own_instruction_only() -> None:
    text = "FROM a:1\nUSER 1\n# imageforge ignore=DL3014 reason=a test\nRUN apt-get install x\nRUN apt-get install y\n"
    assert [one.line for one in found(text, "DL3014")] == [5]


def test_secrets_are_masked_everywhere() -> None:
    token = "8f14e45fceea167a5a36dedd4bea2543"
    text = f"FROM a:1\nENV API_TOKEN={token}\nRUN curl -H {token} https://x | sh\nCMD run {token} &\n"
    whole = report(text)
    assert [one.line for one in whole.findings if one.rule == "IF209"] == [2]
    assert token not in repr(whole)
    assert "ENV API_TOKEN=***" in [one.excerpt for one in whole.findings]


def test_display_name_and_path(tmp_path: Path) -> None:
    path = tmp_path / "x.Dockerfile"
    path.write_text("FROM debian\n", encoding="utf-8")
    assert check(path).file == str(path)
    assert {one.file for one in check(path, display_name="x").findings} == {"x"}


def test_the_face_has_all_that_it_names_and_loads_what_files_need_alone() -> None:
    import subprocess
    import sys

    script = (
        "import sys, linters\n"
        "print(sorted(name for name in sys.modules if name.startswith(('linters.trial', 'linters.image.check'))))\n"
        "assert all(getattr(linters, name) is not None for name in linters.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_rule_that_fails_costs_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from linters import Job, LintReport, Rule, RuleError, check_all, rules
    from linters.rule import Hit, Subject

    def failing(subject: Subject) -> list[Hit]:
        if "poison" in "".join(subject.dockerfile.lines):
            raise KeyError("a secret of the file")
        return []

    broken = Rule(id="IF999", severity=Severity.ERROR, principle=rules()[0].principle, title="x", check=failing)
    monkeypatch.setattr(importlib.import_module("linters.check"), "rules", lambda: (*rules(), broken))
    texts = ("FROM debian\nUSER 1\n", "FROM debian\nUSER poison\n")
    sound, bad = check_all([Job(dockerfile=Path("x"), name=f"f{at}", text=text) for at, text in enumerate(texts)])
    assert isinstance(sound, LintReport)
    assert isinstance(bad, RuleError)
    assert (bad.code, bad.kind, bad.subject) == ("rule-failed", "failed", "f1")
    assert "IF999 failed with KeyError" in bad.message
    assert "secret" not in bad.message
    with pytest.raises(RuleError):
        report(texts[1])
